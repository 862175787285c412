"""The server dies, by kill -9 or politely, at bad moments."""

import http.client
import socket
import threading
from functools import partial
from pathlib import Path

from pipeyard.oci import parse_digest
from pipeyard.registry.store import ContentStore
from tests.registry.running import Client, digest_of, free_port, registry_process, until

DATA = bytes(range(256)) * 8192  # 2 MiB


def send_part(port: int, method: str, target: str, data: bytes, announced: int) -> socket.socket:
    """Sends a request whose body is not complete."""
    connection = socket.create_connection(("127.0.0.1", port))
    head = f"{method} {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {announced}\r\n\r\n"
    connection.sendall(head.encode() + data)
    return connection


def test_an_upload_goes_on_after_kill_9_where_its_bytes_end(tmp_path: Path) -> None:
    port = free_port()
    client = Client(port)
    with registry_process(tmp_path, "--anonymous", "push", port=port) as server:
        location = client("POST", "/v2/team/app/blobs/uploads/").headers["location"]
        assert client("PATCH", location, DATA[:1000]).status == 202
        connection = send_part(port, "PATCH", location, DATA[1000:1_500_000], len(DATA) - 1000)
        until(lambda: client("GET", location).headers["range"] != "0-999")
        server.kill()
        connection.close()
    with registry_process(tmp_path, "--anonymous", "push", port=port):
        status = client("GET", location)
        assert status.status == 204
        offset = int(status.headers["range"].partition("-")[2]) + 1
        assert 1000 < offset <= 1_500_000
        rest = client("PATCH", location, DATA[offset:], Content_Range=f"{offset}-{len(DATA) - 1}")
        assert rest.status == 202
        assert client("PUT", f"{location}?digest={digest_of(DATA)}").status == 201
        assert client("GET", f"/v2/team/app/blobs/{digest_of(DATA)}").body == DATA


def test_an_upload_that_was_damaged_between_two_servers_is_not_stored(tmp_path: Path) -> None:
    port = free_port()
    client = Client(port)
    with registry_process(tmp_path, "--anonymous", "push", port=port) as server:
        location = client("POST", "/v2/team/app/blobs/uploads/").headers["location"]
        client("PATCH", location, DATA)
        server.kill()
    part = next((tmp_path / "registry/uploads").glob("*.data"))
    with open(part, "r+b") as file:
        file.write(b"\xff\xff\xff")
    with registry_process(tmp_path, "--anonymous", "push", port=port):
        reply = client("PUT", f"{location}?digest={digest_of(DATA)}")
        assert (reply.status, reply.codes) == (400, ["DIGEST_INVALID"])
        assert client("HEAD", f"/v2/team/app/blobs/{digest_of(DATA)}").status == 404


def test_what_was_acknowledged_before_kill_9_is_there_after_it(tmp_path: Path) -> None:
    """Pushes go on while the server is killed again and again."""
    port = free_port()
    client = Client(port)
    done: dict[str, bytes] = {}
    stop = threading.Event()

    def push() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            try:
                _, data = client.push_image("team/app", f"t{number}", b"layer %d" % number)
            except (OSError, http.client.HTTPException):
                stop.wait(0.01)  # the server is away
                continue
            done[f"t{number}"] = data

    pusher = threading.Thread(target=push)
    pusher.start()
    try:
        for _ in range(4):
            with registry_process(tmp_path, "--anonymous", "push", port=port) as server:
                until(partial(lambda known: len(done) > known + 5, len(done)))
                server.kill()
    finally:
        stop.set()
        pusher.join(30)
    with registry_process(tmp_path, "--anonymous", "push", port=port):
        for tag, data in done.items():
            reply = client("GET", f"/v2/team/app/manifests/{tag}")
            assert reply.body == data
            for descriptor in [reply.json["config"], *reply.json["layers"]]:
                blob = client("GET", f"/v2/team/app/blobs/{descriptor['digest']}")
                assert digest_of(blob.body) == descriptor["digest"]
    assert len(done) > 20


def test_a_server_that_is_told_to_stop_finishes_the_request_that_is_under_way(tmp_path: Path) -> None:
    digest = digest_of(DATA)
    with registry_process(tmp_path, "--anonymous", "push") as server:
        target = f"/v2/team/app/blobs/uploads/?digest={digest}"
        connection = send_part(server.port, "POST", target, DATA[:100_000], len(DATA))
        until(lambda: any((tmp_path / "registry/uploads").glob("*.data")))
        server.process.terminate()
        until(lambda: refuses(server.port))
        connection.sendall(DATA[100_000:])
        assert connection.recv(65536).startswith(b"HTTP/1.1 201 ")
        connection.close()
        assert server.process.wait(20) == 0
    store = ContentStore(tmp_path / "registry")
    assert store.catalog.linked("team/app", parse_digest(digest))
    store.close()


def refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except (ConnectionRefusedError, ConnectionResetError):
        return True
    return False


def test_two_servers_of_one_home_are_one_registry(tmp_path: Path) -> None:
    with (
        registry_process(tmp_path, "--anonymous", "push") as one,
        registry_process(tmp_path, "--anonymous", "push") as two,
    ):
        first, second = Client(one.port), Client(two.port)
        location = first("POST", "/v2/team/app/blobs/uploads/").headers["location"]
        assert first("PATCH", location, DATA[:1_000_000]).status == 202
        assert second("PATCH", location, DATA[1_000_000:]).status == 202
        assert first("PUT", f"{location}?digest={digest_of(DATA)}").status == 201
        assert second("GET", f"/v2/team/app/blobs/{digest_of(DATA)}").body == DATA
        threads = [
            threading.Thread(target=client.push_image, args=("team/app", f"{name}{number}", b"same"))
            for name, client in (("a", first), ("b", second))
            for number in range(5)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(first("GET", "/v2/team/app/tags/list").json["tags"]) == 10
