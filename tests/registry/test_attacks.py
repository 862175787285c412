"""What strangers send to a registry: it answers quickly and clearly, stores nothing of it, and serves on."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeyard.registry.collection import IDLE_UPLOAD_S, expire_uploads
from pipeyard.registry.server.access import Access, Right, User
from pipeyard.registry.server.app import registry_app
from pipeyard.registry.store import ContentStore
from tests.registry.running import OCI_INDEX, OCI_MANIFEST, SECRET, Client, digest_of, manifest, serving, until

CONFIG = b"{}"


def raw(port: int, data: bytes, timeout_s: float = 20) -> bytes:
    """What comes back until the server hangs up."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection:
        connection.sendall(data)
        out = b""
        while piece := connection.recv(65536):
            out += piece
        return out


@pytest.mark.parametrize(
    "path",
    [
        "/v2/app/manifests/%FF",
        "/v2/app/manifests/%00",
        "/v2/app/manifests/..%2f..%2fetc",
        "/v2/app/manifests/v1%0d%0aX:1",
        "/v2/app/manifests/" + "a" * 20000,
        "/v2/app/blobs/sha256:..%2f..%2f..%2fetc%2fpasswd",
        "/v2/app/blobs/sha256:" + "A" * 64,
        "/v2/app/blobs/%FF",
        "/v2/app/referrers/%FF",
        "/v2/app/blobs/uploads/..%2f..%2fpassword",
        "/v2/app/blobs/uploads/" + "0" * 32,
        "/v2/..%2f..%2fetc/manifests/passwd",
        "/v2/../../etc/manifests/passwd",
        "/v2/a%FF/tags/list",
        "/v2/" + "a/" * 8000 + "tags/list",
        "/v2/" + "a/manifests/" * 2000,
        "/v2/app/tags/list?n=-1",
        "/v2/app/tags/list?n=9999999999999999999999&last=%FF",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH"])
def test_no_name_leads_anywhere(client: Client, method: str, path: str) -> None:
    began = time.monotonic()
    reply = client(method, path, b"{}" if method in ("PUT", "PATCH") else None)
    assert 400 <= reply.status < 500
    assert time.monotonic() - began < 5
    if method != "HEAD":
        assert reply.codes


def test_a_scope_of_any_length_costs_nothing_before_the_sign_in(client: Client) -> None:
    began = time.monotonic()
    for scope in ("repository:" + "a" * 30000, "repository:" + "a:1" * 9000, "repository(" + "a" * 30000):
        assert client("GET", f"/token?scope={scope}").status == 200
    assert time.monotonic() - began < 2


def put(client: Client, document: Any, kind: str = OCI_MANIFEST) -> tuple[int, list[str]]:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    reply = client("PUT", "/v2/app/manifests/v1", body, Content_Type=kind)
    return reply.status, [] if reply.status == 201 else reply.codes


@pytest.mark.parametrize("size", [-1, 1 << 51, 1 << 63, 10**30, 1.5, "1", None])
def test_a_size_that_nothing_has_is_refused(client: Client, size: object) -> None:
    document = json.loads(manifest(CONFIG, b"layer"))
    document["layers"][0]["size"] = size
    assert put(client, document) == (400, ["MANIFEST_INVALID"])


def test_an_index_of_manifests_that_claim_much_is_still_listed(client: Client, store: ContentStore) -> None:
    members = []
    for number in range(5):
        document = json.loads(manifest(CONFIG, b"layer", annotations={"n": str(number)}))
        document["layers"][0]["size"] = (1 << 50) - 10
        data = json.dumps(document).encode()
        assert client("PUT", f"/v2/app/manifests/m{number}", data, Content_Type=OCI_MANIFEST).status == 201
        members += [{"mediaType": OCI_MANIFEST, "digest": digest_of(data), "size": len(data)}] * 3000
    assert put(client, {"schemaVersion": 2, "manifests": members}, OCI_INDEX)[0] in (201, 400)
    assert len(store.catalog.images("app")) >= 5


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 4_000_000,
        b'{"a":' * 700_000,
        b'{"schemaVersion":2,"config":{},"x":' + b"[" * 3_000_000,
        b"\xff",
        b"",
        b"null",
    ],
)
def test_json_of_any_depth_is_refused(client: Client, body: bytes) -> None:
    assert put(client, body) == (400, ["MANIFEST_INVALID"])


def test_a_manifest_of_more_than_4_mib_is_refused_before_it_is_read(client: Client) -> None:
    assert put(client, b" " * (4 * 1024 * 1024 + 1)) == (413, ["SIZE_INVALID"])
    head = b"PUT /v2/app/manifests/v1 HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n"
    assert raw(client.port, head).startswith(b"HTTP/1.1 413 ")
    chunked = b"PUT /v2/app/manifests/v1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    endless = chunked + (b"100000\r\n" + b" " * 0x100000 + b"\r\n") * 5
    assert raw(client.port, endless).startswith(b"HTTP/1.1 413 ")


def test_trailers_without_end_are_refused(client: Client) -> None:
    head = b"PUT /v2/app/manifests/v1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
    assert raw(client.port, head + b"X-Trailer: more\r\n" * 5000).startswith(b"HTTP/1.1 431 ")


def test_many_headers_are_refused(client: Client) -> None:
    head = b"GET /v2/ HTTP/1.1\r\nHost: a\r\n" + b"".join(b"X-%d: 1\r\n" % number for number in range(5000))
    assert raw(client.port, head + b"\r\n").startswith(b"HTTP/1.1 431 ")


def test_two_requests_in_one_body_are_one_request(client: Client) -> None:
    """What a proxy in front took for the body of the first request is never a request of somebody else."""
    hidden = b"DELETE /v2/app/manifests/v1 HTTP/1.1\r\nHost: a\r\n\r\n"
    client.push_image("app", "v1", b"layer")
    for head in (
        b"POST /v2/ HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        % len(hidden),
        b"POST /v2/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        b"POST /v2/ HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(hidden),
        b"POST /v2/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"POST /v2/ HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(hidden),
    ):
        assert raw(client.port, head + hidden).count(b"HTTP/1.1 ") == 1
    assert client("GET", "/v2/app/manifests/v1").status == 200


def test_the_forms_of_a_request_that_old_programs_and_proxies_send_are_understood(client: Client) -> None:
    for head, status in (
        (b"GET http://a:5000/v2/ HTTP/1.1\r\nHost: A:5000\r\nConnection: close\r\n\r\n", b"200"),
        (b"GET https://a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"404"),
        (b"GET /v2/ HTTP/1.0\r\n\r\n", b"200"),
        (b"GET http://a/v2/ HTTP/1.0\r\n\r\n", b"200"),
        (b"\r\n\r\nGET /v2/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"200"),
    ):
        assert raw(client.port, head).split(b" ")[1] == status


@pytest.mark.parametrize("text", ["0-4", "bytes=0-4", "bytes 0-4", "bytes 0-4/5", "bytes 0-4/*", "0-4/5"])
def test_every_spelling_of_a_chunks_range_that_clients_have_is_taken(client: Client, text: str) -> None:
    place = client("POST", "/v2/app/blobs/uploads/").headers["location"]
    assert client("PATCH", place, b"layer", Content_Range=text).headers["range"] == "0-4"


def test_whoever_is_refused_cannot_hold_a_connection_byte_by_byte(client: Client) -> None:
    with socket.create_connection(("127.0.0.1", client.port), timeout=30) as connection:
        connection.sendall(b"DELETE /v2/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
        ended = threading.Event()

        def drip() -> None:
            while not ended.wait(0.5):
                try:
                    connection.sendall(b".")
                except OSError:
                    return

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            began = time.monotonic()
            out = b""
            while piece := connection.recv(65536):
                out += piece
            assert out.startswith(b"HTTP/1.1 405 ")
            assert time.monotonic() - began < 20
        finally:
            ended.set()
            dripping.join()


def test_a_right_is_for_the_names_that_it_says(client: Client) -> None:
    everything = frozenset({"pull", "push"})
    for pattern, name, covered in (
        ("team/app", "team/app", True),
        ("team/app", "team/app2", False),
        ("team/app", "team/app/x", False),
        ("team/*", "team/a/b", True),
        ("team/*", "teams/a", False),
        ("team/?pp", "team/app", False),
        ("team/[a]pp", "team/app", False),
    ):
        assert Right(pattern, everything).covers(name, "pull") is covered  # type: ignore[arg-type]


def test_an_upload_that_nobody_goes_on_with_is_forgotten(client: Client, store: ContentStore) -> None:
    place = client("POST", "/v2/app/blobs/uploads/").headers["location"]
    fresh = client("POST", "/v2/app/blobs/uploads/").headers["location"]
    client("PATCH", place, b"some bytes")
    data = store.root / "uploads" / f"{place.rpartition('/')[2]}.data"
    long_ago = time.time() - IDLE_UPLOAD_S - 60
    os.utime(data, (long_ago, long_ago))
    expire_uploads(store)
    assert client("GET", place).codes == ["BLOB_UPLOAD_UNKNOWN"]
    assert not data.exists()
    assert client("GET", fresh).status == 204


@contextmanager
def on_a_small_disk(home: Path, size: str) -> Iterator[Client]:
    """`pipeyard registry serve` in a mount namespace of its own, where its home is a disk of this size."""
    unshare = shutil.which("unshare")
    tried = unshare and subprocess.run(
        [unshare, "-m", "mount", "-t", "tmpfs", "-o", "size=1m", "small", str(home)], capture_output=True, check=False
    )
    if not tried or tried.returncode:
        pytest.skip("a small disk cannot be mounted here")
    mount = f'mount -t tmpfs -o size={size} small "$0" && cd "$0" && exec "$@"'
    program = [sys.executable, "-m", "pipeyard", "registry", "serve", "--port", "0", "--anonymous", "push"]
    variables = {"PATH": os.defpath, "PYTHONPATH": ":".join(sys.path), "PIPEYARD_HOME": str(home / "home")}
    command = [str(unshare), "-m", "sh", "-c", mount, str(home), *program]
    with subprocess.Popen(command, env=variables, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            while "registry at" not in (line := process.stderr.readline()):
                assert line, "the registry ended"
            threading.Thread(target=process.stderr.read, daemon=True).start()
            yield Client(int(line.rpartition(":")[2]))
        finally:
            process.kill()


def test_a_full_disk_is_said_and_what_was_stored_before_is_whole(tmp_path: Path) -> None:
    with on_a_small_disk(tmp_path, "6m") as client:
        kept, _ = client.push_image("app", "kept", os.urandom(1_000_000))
        large = os.urandom(8_000_000)
        refused = client("POST", f"/v2/app/blobs/uploads/?digest={digest_of(large)}", large)
        assert (refused.status, refused.json["errors"][0]["message"]) == (507, "the registry's disk is full")
        place = client("POST", "/v2/app/blobs/uploads/").headers["location"]
        assert client("PATCH", place, large).status == 507
        assert client("GET", "/v2/app/manifests/kept").headers["docker-content-digest"] == kept
        assert client("DELETE", place).status == 204
        until(lambda: client.push_image("app", "after", os.urandom(500_000)))
        statuses = set()
        for number in range(3000):
            data = manifest(CONFIG, annotations={"fill": os.urandom(2000).hex(), "n": str(number)})
            reply = client("PUT", f"/v2/app/manifests/t{number}", data, Content_Type=OCI_MANIFEST)
            statuses.add(reply.status)
            if reply.status != 201:
                break
        assert statuses == {201, 507}
        for tag in ("kept", "after"):
            assert client("GET", f"/v2/app/manifests/{tag}").status == 200


_DIGEST = digest_of(b"layer")
_NAMES = st.sampled_from(
    ["app", "team/app", "x/blobs", "x/manifests/y", "uploads", "App", "a//b", "%ff", "%2e%2e", "a%00"]
)
_KEYS = st.sampled_from(["", *f"v1 {_DIGEST} sha512:00 md5:0 uploads .. %ff {'0' * 32} {'a' * 129}".split()])
_QUERY = st.lists(
    st.sampled_from(
        f"digest={_DIGEST} digest=%ff mount={_DIGEST} from=app from=../x n=1 n=-5 last=%00 tag=v2 tag=%ff"
        " artifactType=a/b ns=docker.io digest-algorithm=md5 scope=repository:app:pull".split()
    ),
    max_size=3,
)
_VALUES = (
    f'|0|-1|1-2|bytes=0-3|bytes 0-4/5|5-1|*|{OCI_MANIFEST}|{OCI_INDEX}|"{_DIGEST}"|Basic|Basic !!!|Basic YTpi'
    f"|Basic //4=|Bearer x.y.z|Bearer {'.' * 100}|100-continue"
)
_HEADERS = st.dictionaries(
    st.sampled_from(["Content-Range", "Range", "If-None-Match", "If-Range", "Content-Type", "Authorization", "Expect"]),
    st.sampled_from(_VALUES.split("|")),
    max_size=3,
)
_DESCRIPTOR = {"mediaType": "a/b", "digest": _DIGEST, "size": 5}
_BODIES = st.sampled_from(
    [
        None,
        b"layer",
        b"[]",
        b"\xff" * 100,
        json.dumps({"schemaVersion": 2, "config": _DESCRIPTOR, "layers": []}).encode(),
        json.dumps({"schemaVersion": 2, "manifests": [_DESCRIPTOR]}).encode(),
        json.dumps({"schemaVersion": 2, "config": _DESCRIPTOR, "layers": [], "subject": _DESCRIPTOR}).encode(),
        b"grant_type=password&username=a&password=b",
    ]
)
_PATHS = st.sampled_from(
    [
        "{0}/manifests/{1}",
        "{0}/blobs/{1}",
        "{0}/blobs/uploads/",
        "{0}/blobs/uploads/{1}",
        "{0}/tags/list",
        "{0}/referrers/{1}",
        "_catalog",
        "../token",
    ]
)


@pytest.fixture(scope="module")
def closed_and_open(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, Client]]:
    store = ContentStore(tmp_path_factory.mktemp("store"))
    users = [User(name="a", password="b", rights=(Right("team/*", frozenset({"pull", "push"})),))]
    with (
        serving(registry_app(store, Access(anonymous="push", secret=SECRET))) as everybody,
        serving(registry_app(store, Access(users=users, anonymous="pull", secret=SECRET))) as somebody,
    ):
        yield Client(everybody), Client(somebody)
    store.close()


@settings(max_examples=300, deadline=None)
@given(
    method=st.sampled_from(["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"]),
    path=_PATHS,
    name=_NAMES,
    key=_KEYS,
    query=_QUERY,
    headers=_HEADERS,
    body=_BODIES,
)
def test_no_request_is_a_fault_of_the_server(
    closed_and_open: tuple[Client, Client],
    method: str,
    path: str,
    name: str,
    key: str,
    query: list[str],
    headers: dict[str, str],
    body: bytes | None,
) -> None:
    target = f"/v2/{path.format(name, key)}".replace("/v2/../", "/") + ("?" + "&".join(query) if query else "")
    for client in closed_and_open:
        reply = client(method, target, body, **{each.replace("-", "_"): text for each, text in headers.items()})
        assert reply.status < 500
        if method != "HEAD" and reply.status >= 400:
            assert reply.codes
