"""`pipeyard registry ...` as its user calls it."""

import json
import socket
import subprocess
import sys
import time
from base64 import b64encode
from pathlib import Path

from pipeyard.registry.store import ContentStore
from tests.registry.running import Client, digest_of, free_port, registry_process, until
from tests.registry.test_collection import age
from tests.registry.test_store import keep


def pipeyard(home: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {"PATH": "/usr/bin:/bin", "PIPEYARD_HOME": str(home), "PYTHONPATH": ":".join(sys.path)}
    return subprocess.run(
        [sys.executable, "-m", "pipeyard", *arguments],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_collect_removes_what_nothing_needs_and_says_so(tmp_path: Path) -> None:
    store = ContentStore(tmp_path / "registry")
    unused = keep(store, b"unused")
    age(store)
    fresh = keep(store, b"fresh")
    done = pipeyard(tmp_path, "registry", "collect")
    assert (done.returncode, done.stdout) == (0, "1 blobs with 6 bytes removed, 1 kept\n")
    assert (store.size(unused.digest), store.size(fresh.digest)) == (None, 5)
    store.close()


def test_wrong_use_of_serve_is_exit_code_2(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_text("no key")
    port = str(free_port())
    for arguments in (
        ("--port", "70000"),
        ("--port", port, "--tls-key", str(key)),
        ("--port", port, "--tls-cert", str(key)),
        ("--port", port, "--host", "192.0.2.1"),
    ):
        done = pipeyard(tmp_path, "registry", "serve", "--anonymous", "push", *arguments)
        assert done.returncode == 2, done.stderr
        assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        started = time.monotonic()
        done = pipeyard(tmp_path, "registry", "serve", "--anonymous", "push", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 2
    assert "cannot listen" in done.stderr
    assert time.monotonic() - started < 30


def test_with_create_on_push_off_only_created_repositories_take_pushes(tmp_path: Path) -> None:
    with registry_process(tmp_path, "--anonymous", "push", PIPEYARD_CREATE_ON_PUSH="false") as server:
        client = Client(server.port)
        refused = client("POST", "/v2/team/app/blobs/uploads/")
        assert (refused.status, refused.codes) == (404, ["NAME_UNKNOWN"])
        assert pipeyard(tmp_path, "registry", "create", "team/app").stdout == "created team/app\n"
        client.push_image("team/app", "v1", b"layer")
    again = pipeyard(tmp_path, "registry", "create", "team/app")
    assert (again.returncode, "exists already" in again.stderr) == (2, True)


def test_immutable_fixes_tags_but_for_the_exceptions_until_it_is_off(tmp_path: Path) -> None:
    assert pipeyard(tmp_path, "registry", "immutable", "team/app").returncode == 2, "there is no such repository"
    pipeyard(tmp_path, "registry", "create", "team/app", "--immutable")
    with registry_process(tmp_path, "--anonymous", "push") as server:
        client = Client(server.port)
        client.push_image("team/app", "v1", b"one")
        client.push_image("team/app", "latest", b"one")
        _, two = client.push_image("team/app", "other", b"two")

        def moves(tag: str) -> bool:
            kind = "application/vnd.oci.image.manifest.v1+json"
            return client("PUT", f"/v2/team/app/manifests/{tag}", two, Content_Type=kind).status == 201

        assert not moves("latest")
        done = pipeyard(tmp_path, "registry", "immutable", "team/app", "--except", "late*")
        assert done.stdout == "tags of team/app stay, except late*\n"
        assert (moves("latest"), moves("v1")) == (True, False)
        pipeyard(tmp_path, "registry", "immutable", "team/app", "--off")
        assert moves("v1")


def test_a_lifecycle_policy_is_previewed_set_and_carried_out(tmp_path: Path) -> None:
    selection = {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1}
    policy = tmp_path / "policy.json"
    policy.write_text(
        json.dumps({"rules": [{"rulePriority": 1, "selection": selection, "action": {"type": "expire"}}]})
    )
    with registry_process(tmp_path, "--anonymous", "push") as server:
        client = Client(server.port)
        old, _ = client.push_image("team/app", "v1", b"one")
        client.push_image("team/app", "v2", b"two")
        shown = pipeyard(tmp_path, "registry", "lifecycle", "team/app", "--policy", str(policy), "--preview").stdout
        assert shown.startswith(f"{old}  v1  pushed ")
        assert shown.endswith("1 images would expire\n")
        assert client("GET", "/v2/team/app/tags/list").json["tags"] == ["v1", "v2"]
        assert pipeyard(tmp_path, "registry", "lifecycle", "team/app").returncode == 2, "a preview keeps nothing"
        pipeyard(tmp_path, "registry", "lifecycle", "team/app", "--policy", str(policy))
        assert json.loads(pipeyard(tmp_path, "registry", "lifecycle", "team/app").stdout)["rules"]
        assert "1 images expired" in pipeyard(tmp_path, "registry", "lifecycle", "team/app", "--enforce").stdout
        assert client("GET", "/v2/team/app/tags/list").json["tags"] == ["v2"]
        policy.write_text('{"rules": []}')
        assert pipeyard(tmp_path, "registry", "lifecycle", "team/app", "--policy", str(policy)).returncode == 2
        assert pipeyard(tmp_path, "registry", "lifecycle", "team/app", "--remove").returncode == 0
        assert pipeyard(tmp_path, "registry", "lifecycle", "team/app").returncode == 2


def test_a_server_carries_out_lifecycle_policies_by_itself(tmp_path: Path) -> None:
    selection = {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1}
    with registry_process(tmp_path, "--anonymous", "push") as server:
        for tag in ("v1", "v2"):
            Client(server.port).push_image("team/app", tag, tag.encode())
    store = ContentStore(tmp_path / "registry")
    rule = {"rulePriority": 1, "selection": selection, "action": {"type": "expire"}}
    store.catalog.configure("team/app", lifecycle=json.dumps({"rules": [rule]}))
    store.close()
    with registry_process(tmp_path, "--anonymous", "push") as server:
        until(lambda: Client(server.port)("GET", "/v2/team/app/tags/list").json["tags"] == ["v2"])


def test_users_of_the_settings_have_their_rights_until_they_expire(tmp_path: Path) -> None:
    (tmp_path / "pipeyard.toml").write_text("""
        [users]
        admin = "all"
        [users.reader]
        password = "read"
        rights = { "team/*" = ["pull"] }
        [users.late]
        password = "late"
        expires = 2001-01-01T00:00:00Z
        """)

    def client_of(port: int, name: str, password: str) -> Client:
        return Client(port, "Basic " + b64encode(f"{name}:{password}".encode()).decode())

    with registry_process(tmp_path) as server:
        client_of(server.port, "admin", "all").push_image("team/app", "v1", b"layer")
        reader = client_of(server.port, "reader", "read")
        assert reader("GET", f"/v2/team/app/blobs/{digest_of(b'layer')}").body == b"layer"
        assert reader("POST", "/v2/team/app/blobs/uploads/").status == 403
        assert reader("GET", "/v2/other/tags/list").status == 403
        assert client_of(server.port, "late", "late")("GET", "/v2/").status == 401
