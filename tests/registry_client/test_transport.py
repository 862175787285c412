"""What surrounds a request: patience, mirrors, plain HTTP, TLS, proxies; and registries that lie."""

import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec import structs

from pipeyard.errors import DigestMismatch, InputError, RegistryError, Stopped
from pipeyard.oci import Descriptor, digest_of, media_types
from pipeyard.registry.client import Access, Registries, Repository, Request, Response, access_from, open_registries
from pipeyard.registry.client.messages import ConnectionFailed, host_of
from pipeyard.registry.client.retries import Backoff, retrying
from pipeyard.registry.client.routes import mirrored, plain
from pipeyard.registry.client.uploads import resume_offset
from pipeyard.registry.client.wire import Network, Wire
from pipeyard.registry.credentials import Anonymous
from pipeyard.registry.exchange import Document, Offer
from pipeyard.registry.reference import Reference
from pipeyard.settings import RegistrySettings
from pipeyard.threads import Stop, StopSignal
from tests.registry_client.conftest import QUICK
from tests.registry_client.images import from_memory, has_all, push, sample

EMPTY = b'{"schemaVersion":2,"manifests":[]}'
GET = Request(method="GET", url="https://registry.example.com/v2/app/manifests/1", registry="registry.example.com")


def answers(*given: Response | ConnectionFailed) -> Callable[[Request], Response]:
    """A registry that gives these answers in turn."""
    left = list(given)

    def send(request: Request) -> Response:
        answer = left.pop(0)
        if isinstance(answer, ConnectionFailed):
            raise answer
        return answer

    return send


def test_a_busy_registry_is_asked_again_no_sooner_than_it_wants() -> None:
    slept: list[float] = []
    send = retrying(
        answers(
            Response(429, {"retry-after": "7"}),
            Response(503, {"retry-after": "Thu, 01 Jan 1970 00:00:30 GMT"}),
            ConnectionFailed("it broke", "broken"),
            Response(500),
            Response(200),
        ),
        Backoff(first_s=1.0),
        now_s=lambda: 10.0,
        sleep=lambda stop, seconds: slept.append(seconds),
        chance=lambda: 0.5,
    )
    assert send(GET).status == 200
    assert slept == [7.5, 20.5, 3.0, 6.0]


def test_patience_ends_with_the_last_answer_and_is_not_wasted_on_what_will_not_change() -> None:
    def never(stop: Stop, seconds: float) -> None:
        raise AssertionError("nothing to wait for")

    policy = Backoff(attempts=2)
    twice = retrying(answers(Response(500), Response(502)), policy, now_s=lambda: 0, sleep=lambda stop, seconds: None)
    assert twice(GET).status == 502
    assert retrying(answers(Response(403)), policy, now_s=lambda: 0, sleep=never)(GET).status == 403
    assert (
        retrying(answers(Response(429, {"retry-after": "9999"})), policy, now_s=lambda: 0, sleep=never)(GET).status
        == 429
    )
    once = structs.replace(GET, repeatable=False)
    assert retrying(answers(Response(500)), policy, now_s=lambda: 0, sleep=never)(once).status == 500
    with pytest.raises(ConnectionFailed):
        retrying(answers(ConnectionFailed("no name", "name")), policy, now_s=lambda: 0, sleep=never)(GET)


def test_a_stop_ends_the_waiting() -> None:
    stop = StopSignal()
    stop.stop("enough")
    send = retrying(answers(Response(429, {"retry-after": "100"})), Backoff(), now_s=lambda: 0)
    with pytest.raises(Stopped):
        send(structs.replace(GET, stop=stop))


@pytest.mark.parametrize(
    ("mirror", "url", "scope"),
    [
        ("http://mirror:5000", "http://mirror:5000/v2/library/alpine/manifests/3", "repository:library/alpine:pull"),
        (
            "mirror.example.com/",
            "https://mirror.example.com/v2/library/alpine/manifests/3",
            "repository:library/alpine:pull",
        ),
        ("http://mirror/hub", "http://mirror/hub/v2/library/alpine/manifests/3", "repository:library/alpine:pull"),
        (
            "https://harbor/v2/hub",
            "https://harbor/v2/hub/library/alpine/manifests/3",
            "repository:hub/library/alpine:pull",
        ),
    ],
)
def test_a_mirror_is_asked_first(mirror: str, url: str, scope: str) -> None:
    seen: list[Request] = []

    def send(request: Request) -> Response:
        seen.append(request)
        return Response(200, url=request.url)

    Repository("docker.io", "library/alpine", mirrored(send, {"docker.io": mirror})).request("GET", "manifests/3")
    assert [(request.url, request.scopes) for request in seen] == [(url, (scope,))]


def test_the_registry_itself_answers_when_its_mirror_cannot_and_a_dead_mirror_rests() -> None:
    seen: list[str] = []
    now_s = 0.0

    def send(request: Request) -> Response:
        seen.append(request.url.partition("://")[2].partition("/")[0])
        if seen[-1] == "dead":
            raise ConnectionFailed("no answer", "refused")
        return Response(404 if seen[-1] == "empty" else 200, url=request.url)

    mirrors = {"docker.io": "http://dead", "quay.io": "http://empty"}
    world = mirrored(send, mirrors, monotonic_s=lambda: now_s)
    hub, quay = Repository("docker.io", "library/a", world), Repository("quay.io", "a/b", world)
    hub.request("GET", "manifests/1")
    hub.request("GET", "manifests/1")
    now_s = 100.0
    hub.request("GET", "manifests/1")
    assert seen == ["dead", "registry-1.docker.io", "registry-1.docker.io", "dead", "registry-1.docker.io"]
    seen.clear()
    assert quay.request("GET", "manifests/1").status == 200
    assert seen == ["empty", "quay.io"]


def test_what_is_pushed_never_goes_to_a_mirror() -> None:
    seen: list[str] = []

    def send(request: Request) -> Response:
        seen.append(request.url)
        return Response(404, url=request.url)

    world = mirrored(send, {"docker.io": "http://mirror"})
    Repository("docker.io", "team/app", world, access=("pull", "push")).blob_size(digest_of(b"x"))
    assert seen == [f"https://registry-1.docker.io/v2/team/app/blobs/{digest_of(b'x')}"]


def test_this_machine_and_insecure_hosts_speak_http_and_nobody_else() -> None:
    seen: list[str] = []

    def send(request: Request) -> Response:
        seen.append(request.url)
        return Response(200, url=request.url)

    world = plain(send, frozenset({"registry.lan:5000"}))
    for host in ("localhost:5000", "127.0.0.1", "[::1]:5000", "registry.lan:5000", "registry.lan", "127.example.com"):
        world(Request(method="GET", url=f"https://{host}/v2/"))
    assert [url.partition(":")[0] for url in seen] == ["http", "http", "http", "http", "https", "https"]


def test_an_insecure_host_that_wants_tls_gets_it() -> None:
    def send(request: Request) -> Response:
        if request.url.startswith("http://"):
            return Response(400, {}, b"Client sent an HTTP request to an HTTPS server.", url=request.url)
        return Response(200, url=request.url)

    assert plain(send, frozenset({"registry.lan"}))(Request(method="GET", url="https://registry.lan/v2/")).status == 200


def one_answer(status: int, body: bytes, **headers: str) -> Repository:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return Repository("registry.example.com", "app", lambda request: Response(status, fields, body, url=request.url))


def test_a_manifest_that_is_not_what_was_asked_for_is_refused() -> None:
    good = sample().root.data
    other = digest_of(b"other")
    with pytest.raises(DigestMismatch):
        one_answer(200, good, content_type=media_types.OCI_MANIFEST).document(other)
    with pytest.raises(DigestMismatch):
        one_answer(200, good, content_type=media_types.OCI_MANIFEST, docker_content_digest=other).document("1")
    with pytest.raises(DigestMismatch):
        one_answer(200, good, content_type=media_types.OCI_MANIFEST).document("1", len(good) + 1)
    with pytest.raises(InputError, match="manifest"):
        one_answer(200, good, content_type=media_types.OCI_INDEX).document("1")


@pytest.mark.parametrize(
    "body",
    [b"<html>", b"[]", b'{"schemaVersion": 1}', b'{"schemaVersion": 2, "config": 1}', b"[" * 100_000],
    ids=["a page", "a list", "schema 1", "a wrong type", "depth"],
)
def test_what_is_no_manifest_is_refused(body: bytes) -> None:
    with pytest.raises((InputError, RegistryError)):
        one_answer(200, body, content_type=media_types.OCI_MANIFEST).document("1")


def test_a_manifest_without_an_end_is_not_read_to_it() -> None:
    with pytest.raises(RegistryError, match="more than"):
        one_answer(200, b" " * (5 * 1024 * 1024), content_type=media_types.OCI_MANIFEST).document("1")


def test_a_blob_that_is_longer_or_other_than_its_descriptor_is_refused() -> None:
    blob = Descriptor(media_type="x", digest=digest_of(b"right"), size=5)
    for body in (b"right and more", b"wrong"):
        with pytest.raises(DigestMismatch), one_answer(200, body).read(blob) as stream:
            stream.read()
    with one_answer(200, b"right").read(blob) as stream:
        assert stream.read() == b"right"


def test_a_server_without_ranges_is_read_past_what_came_before() -> None:
    data = bytes(range(256)) * 8
    blob = Descriptor(media_type="x", digest=digest_of(data), size=len(data))

    class Breaking:
        """The blob from its start, as far as the connection lasts."""

        def __init__(self, lasts: int) -> None:
            self._left = data[:lasts]

        def read(self, size: int, /) -> bytes:
            if not self._left:
                raise ConnectionFailed("it broke", "broken")
            out, self._left = self._left[: min(size, 100)], self._left[min(size, 100) :]
            return out

    bodies = [Breaking(1000), Breaking(500)]

    def send(request: Request) -> Response:
        return Response(200, {}, bodies.pop(0) if bodies else data, url=request.url)

    with Repository("registry.example.com", "app", send).read(blob) as stream:
        assert stream.read() == data
    assert not bodies


def test_a_refusal_names_host_repository_status_code_and_the_next_move() -> None:
    body = b'{"errors": [{"code": "NAME_UNKNOWN", "message": "no \\u001b[31msuch repository"}]}'
    repository = Repository(
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
        "team/app",
        lambda request: Response(404, {}, body, url=request.url),
        access=("pull", "push"),
    )
    with pytest.raises(RegistryError) as refused:
        repository.put_document(Document(media_type=media_types.OCI_MANIFEST, data=sample().root.data), "1")
    text = refused.value.message
    assert all(part in text for part in (repository.host, "team/app", "404", "NAME_UNKNOWN", "such repository"))
    assert "\x1b" not in text
    assert "aws ecr create-repository --repository-name team/app" in refused.value.hint


def test_the_offset_of_an_upload_is_one_after_its_inclusive_end() -> None:
    assert resume_offset(Response(204, {"range": "0-1023"})) == 1024
    assert resume_offset(Response(204, {"range": "bytes=0-1023"})) == 1024
    assert resume_offset(Response(204, {"range": "0-0"})) == 0
    for wrong in ({}, {"range": "5-9"}, {"range": "many"}):
        with pytest.raises(RegistryError):
            resume_offset(Response(204, wrong))


@contextmanager
def tls_front(folder: Path, registry: str) -> Iterator[str]:
    """A TLS server with a certificate of its own for `localhost`, which passes everything on; gives its address."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=test", "-addext", "subjectAltName=DNS:registry.localhost"]
    subprocess.run(
        [*command, "-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem"],
        check=True,
        capture_output=True,
        timeout=60,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    listening = socket.create_server(("127.0.0.1", 0))
    name, _, port = registry.rpartition(":")

    def copy(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass
        target.close()

    def serve() -> None:
        while True:
            try:
                raw, _ = listening.accept()
            except OSError:
                return
            try:
                inside = context.wrap_socket(raw, server_side=True)
            except OSError:
                continue
            outside = socket.create_connection((name, int(port)))
            for pair in ((inside, outside), (outside, inside)):
                threading.Thread(target=copy, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()


def test_tls_is_verified_unless_the_operator_says_otherwise(our_registry: str, name: str, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    with tls_front(tmp_path, our_registry) as address:
        request = Request(method="GET", url=f"https://{address}/v2/")
        with pytest.raises(ConnectionFailed) as refused:
            Wire(Network())(request)
        assert refused.value.kind == "certificate"
        assert f"--insecure-registry {address}" in refused.value.hint
        # Its name is another one than in the certificate: the authority alone is not enough.
        with pytest.raises(ConnectionFailed):
            Wire(Network(ca_files={address: str(tmp_path / "cert.pem")}))(request)
        image = sample(12, (300_000,))
        insecure = structs.replace(
            QUICK,
            insecure=frozenset({address}),
            network=structs.replace(QUICK.network, unverified=frozenset({address}), silence_timeout_s=5.0),
        )
        with open_registries(insecure, Anonymous()) as registries:
            push(image, registries.destination(Reference(address, name)), ("1",))
            assert has_all(registries.repository(Reference(address, name)), image, "1")


def test_a_host_without_tls_is_explained(our_registry: str) -> None:
    with pytest.raises(ConnectionFailed) as refused:
        Wire(Network())(Request(method="GET", url=f"https://{our_registry}/v2/"))
    assert "--insecure-registry" in refused.value.hint or refused.value.kind == "broken"


def test_proxies_and_certificates_come_from_the_environment_that_is_handed_in() -> None:
    access = access_from(
        mirrors={"docker.io": "http://m"},
        insecure=("a.lan",),
        registries={"b.lan": RegistrySettings(insecure=True, mirror="http://n", ca_file="/ca.pem")},
        environ={
            "https_proxy": "http://p:3128",
            "HTTP_PROXY": "http://q:3128",
            "NO_PROXY": "x",
            "SSL_CERT_FILE": "/all",
        },
    )
    assert access.insecure == {"a.lan", "b.lan"}
    assert access.mirrors == {"docker.io": "http://m", "b.lan": "http://n"}
    assert access.network.proxies == {"http": "http://q:3128", "https": "http://p:3128"}
    assert (access.network.ca_file, access.network.ca_files) == ("/all", {"b.lan": "/ca.pem"})


def test_a_proxy_gets_whole_urls_with_its_login_and_the_exempt_go_past_it() -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    heads: list[bytes] = []

    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            heads.append(connection.recv(65536))
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    proxy = f"http://ada:s%40cret@127.0.0.1:{listening.getsockname()[1]}"
    wire = Wire(Network(proxies={"http": proxy}, no_proxy="exempt.invalid", connect_timeout_s=1.0))
    with wire(Request(method="GET", url="http://registry.invalid/v2/?n=1")) as response:
        assert response.read_all() == b"ok"
    thread.join(5)
    listening.close()
    assert heads[0].startswith(b"GET http://registry.invalid/v2/?n=1 HTTP/1.1\r\nHost: registry.invalid\r\n")
    assert b"Proxy-Authorization: Basic YWRhOnNAY3JldA==" in heads[0]
    with pytest.raises(ConnectionFailed) as direct:
        wire(Request(method="GET", url="http://sub.exempt.invalid/"))
    assert direct.value.kind == "name"


def test_connections_are_kept_between_requests() -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    accepted: list[socket.socket] = []

    def serve() -> None:
        connection, _ = listening.accept()
        accepted.append(connection)
        for _ in range(3):
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    wire = Wire(Network(silence_timeout_s=5.0))
    for _ in range(3):
        with wire(Request(method="GET", url=f"http://127.0.0.1:{listening.getsockname()[1]}/")) as response:
            assert response.read_all() == b"ok"
    thread.join(5)
    assert len(accepted) == 1
    accepted[0].close()
    listening.close()
    wire.close()


def test_images_that_go_to_one_registry_share_its_uploads(tmp_path: Path) -> None:
    """Several destinations together send no more blobs at a time than one alone would."""
    guard = threading.Lock()
    running: dict[str, int] = {}
    most: dict[str, int] = {}

    def send(request: Request) -> Response:
        host = host_of(request.url)
        if request.method == "HEAD":
            return Response(404, url=request.url)
        if request.method == "POST":
            return Response(202, {"location": f"https://{host}/upload"}, url=request.url)
        if "/manifests/" in request.url:
            return Response(201, url=request.url)
        with guard:
            running[host] = running.get(host, 0) + 1
            most[host] = max(most.get(host, 0), running[host])
        time.sleep(0.02)
        with guard:
            running[host] -= 1
        return Response(201, url=request.url)

    registries = Registries(send, Access(uploads=2))
    places = [Reference(host, f"app{number}") for number in range(3) for host in ("one.example.com", "two.example.com")]
    destinations = [registries.destination(place) for place in places]
    for number in range(6):
        data = f"layer {number}".encode()
        blob = Descriptor(media_type="x", digest=digest_of(data), size=len(data))
        for destination in destinations:
            destination.offer(Offer(descriptor=blob, open=from_memory(data)))
    for destination in destinations:
        destination.publish([Document(media_type=media_types.OCI_INDEX, data=EMPTY)], ())
        destination.close()
    assert most == {"one.example.com": 2, "two.example.com": 2}


@pytest.mark.parametrize(
    ("size", "is_new", "asked"), [(100, True, False), (100, False, True), (64 * 1024 + 1, True, True)]
)
def test_a_registry_is_not_asked_for_a_small_blob_that_was_made_just_now(size: int, is_new: bool, asked: bool) -> None:
    methods: list[str] = []

    def send(request: Request) -> Response:
        methods.append(request.method)
        if request.method == "HEAD":
            return Response(404, url=request.url)
        if request.method == "POST":
            return Response(202, {"location": "https://one.example.com/upload"}, url=request.url)
        return Response(201, url=request.url)

    destination = Registries(send, Access()).destination(Reference("one.example.com", "app"))
    data = bytes(size)
    blob = Descriptor(media_type="x", digest=digest_of(data), size=size)
    destination.offer(Offer(descriptor=blob, open=from_memory(data), is_new=is_new))
    destination.publish([Document(media_type=media_types.OCI_INDEX, data=EMPTY)], ())
    destination.close()
    assert methods == [*(["HEAD"] if asked else []), "POST", "PUT", "PUT"]
