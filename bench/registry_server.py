"""The embedded registry beside Debian's docker-registry: requests, bytes, and what they cost in CPU.

    .venv/bin/python bench/registry_server.py [--seconds 5] [--megabytes 1024] [--also-uvicorn]

Needs `docker-registry` (apt install docker-registry). Each server runs alone, as one process on loopback, with an
empty folder; the client is this process. CPU seconds are the server's own, user and system, from /proc: on a machine
whose cores the client shares, they say more than the rates do.
"""

import argparse
import hashlib
import json
import os
import random
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

BLOB = 64 << 20
CONNECTIONS = 32
PARALLEL = 2  # blobs at once
TICKS = os.sysconf("SC_CLK_TCK")

UVICORN = """
import sys, uvicorn
from pathlib import Path
from pipeyard.registry.server.access import Access
from pipeyard.registry.server.app import registry_app
from pipeyard.registry.store import ContentStore
app = registry_app(ContentStore(Path(sys.argv[1])), Access(anonymous="push", secret=b"bench"))
uvicorn.run(app, port=int(sys.argv[2]), log_level="warning", access_log=False, lifespan="off")
"""


class Row(NamedTuple):
    name: str
    requests_s: float
    requests_cpu_s: float
    get_mb_s: float
    get_cpu_gb: float
    put_mb_s: float
    put_cpu_gb: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--also-uvicorn", action="store_true")
    chosen = parser.parse_args()
    servers: dict[str, Callable[[Path, int], list[str]]] = {"pipeyard": _pipeyard}
    if chosen.also_uvicorn:
        servers["pipeyard's application in uvicorn"] = lambda folder, port: [
            sys.executable, "-c", UVICORN, str(folder), str(port),
        ]  # fmt: skip
    if shutil.which("docker-registry"):
        servers["docker-registry"] = _docker_registry
    rows = []
    for name, command in servers.items():
        with tempfile.TemporaryDirectory(prefix="registry-bench-") as folder, _running(command, Path(folder)) as server:
            rows.append(_measure(name, server, chosen.seconds, chosen.megabytes))
    print("| server | manifests/s | manifests per CPU s | GET MB/s | GET CPU s/GB | PUT MB/s | PUT CPU s/GB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for row in rows:
        print(
            f"| {row.name} | {row.requests_s:.0f} | {row.requests_cpu_s:.0f} | {row.get_mb_s:.0f} "
            f"| {row.get_cpu_gb:.2f} | {row.put_mb_s:.0f} | {row.put_cpu_gb:.2f} |"
        )


class Server(NamedTuple):
    port: int
    pid: int

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


def _pipeyard(folder: Path, port: int) -> list[str]:
    program = Path(sys.executable).with_name("pipeyard")
    return [str(program), "registry", "serve", "--port", str(port), "--anonymous", "push"]


def _docker_registry(folder: Path, port: int) -> list[str]:
    config = folder / "config.yml"
    config.write_text(
        f"version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder}/data}}}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n"
    )
    return ["docker-registry", "serve", str(config)]


@contextmanager
def _running(command: Callable[[Path, int], list[str]], folder: Path) -> Iterator[Server]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {"PATH": os.defpath, "PIPEYARD_HOME": str(folder / "home"), "OTEL_TRACES_EXPORTER": "none"}
    with subprocess.Popen(
        command(folder, port), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            for _ in range(200):
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except ConnectionRefusedError:
                    time.sleep(0.05)
            yield Server(port, process.pid)
        finally:
            process.send_signal(signal.SIGTERM)


def _measure(name: str, server: Server, seconds: float, megabytes: int) -> Row:
    config = _put_blob(server, b"{}")
    layer = {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": config, "size": 2}
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2},
            "layers": [layer] * 5,
        }
    ).encode()
    _put_manifest(server, manifest)
    requests, wall, cpu = _manifests(server, seconds)
    count = max(2, megabytes // (BLOB >> 20))
    content = random.Random(0).randbytes(BLOB)
    blobs = [index.to_bytes(8, "big") + content[8:] for index in range(count)]
    digests = ["sha256:" + hashlib.sha256(blob).hexdigest() for blob in blobs]
    put_wall, put_cpu = _timed(server, lambda: _put_all(server, blobs, digests))
    get_wall, get_cpu = _timed(server, lambda: _get_all(server, digests))
    moved = count * BLOB
    return Row(
        name,
        requests / wall,
        requests / cpu,
        moved / 1e6 / get_wall,
        get_cpu / (moved / 1e9),
        moved / 1e6 / put_wall,
        put_cpu / (moved / 1e9),
    )


def _timed(server: Server, work: Callable[[], None]) -> tuple[float, float]:
    cpu, start = server.cpu_s(), time.perf_counter()
    work()
    return time.perf_counter() - start, server.cpu_s() - cpu


def _connect(server: Server) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _head(server: Server, method: str, target: str, *headers: str) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", f"Host: 127.0.0.1:{server.port}", *headers, "", ""]
    return "\r\n".join(lines).encode()


def _answer(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Status, headers, and what came of the body along with them."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            raise ConnectionError(data)
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = {key.lower(): value for key, _, value in (line.partition(": ") for line in lines[1:])}
    return int(lines[0].split()[1]), headers, body


def _location(server: Server, headers: dict[str, str]) -> str:
    target = headers["location"].removeprefix(f"http://127.0.0.1:{server.port}")
    return target + ("&" if "?" in target else "?")


def _put_blob(server: Server, blob: bytes, digest: str = "") -> str:
    digest = digest or "sha256:" + hashlib.sha256(blob).hexdigest()
    with _connect(server) as connection:
        connection.sendall(_head(server, "POST", "/v2/bench/app/blobs/uploads/", "Content-Length: 0"))
        status, headers, _ = _answer(connection)
        assert status == 202, status
        target = f"{_location(server, headers)}digest={digest}"
        kind = "Content-Type: application/octet-stream"
        connection.sendall(_head(server, "PUT", target, f"Content-Length: {len(blob)}", kind))
        connection.sendall(blob)
        status, _, body = _answer(connection)
        assert status == 201, (status, body)
    return digest


def _put_manifest(server: Server, manifest: bytes) -> None:
    kind = "Content-Type: application/vnd.oci.image.manifest.v1+json"
    with _connect(server) as connection:
        connection.sendall(
            _head(server, "PUT", "/v2/bench/app/manifests/latest", kind, f"Content-Length: {len(manifest)}") + manifest
        )
        status, _, body = _answer(connection)
        assert status == 201, (status, body)


def _manifests(server: Server, seconds: float) -> tuple[int, float, float]:
    """GETs of one manifest over kept-alive connections: how many, in what time, at what CPU."""
    accept = "Accept: application/vnd.oci.image.manifest.v1+json"
    request = _head(server, "GET", "/v2/bench/app/manifests/latest", accept)
    with _connect(server) as probe:
        probe.sendall(request)
        status, headers, body = _answer(probe)
        assert status == 200, body
    length = int(headers["content-length"])
    with selectors.EpollSelector() as selector:
        connections = [_connect(server) for _ in range(CONNECTIONS)]
        for connection in connections:
            selector.register(connection, selectors.EVENT_READ)
            connection.sendall(request)
        done = 0
        cpu, start = server.cpu_s(), time.perf_counter()
        while time.perf_counter() - start < seconds:
            for key, _ in selector.select():
                connection = key.fileobj  # type: ignore[assignment]
                data = connection.recv(65536)
                while len(data) - data.index(b"\r\n\r\n") - 4 < length:
                    data += connection.recv(65536)
                done += 1
                connection.sendall(request)
        result = done, time.perf_counter() - start, server.cpu_s() - cpu
        for connection in connections:
            connection.close()
    return result


def _in_children(work: Callable[[int], None], count: int) -> None:
    """Two clients are processes of their own, so that they do not wait for each other."""
    children = []
    for part in range(PARALLEL):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                for index in range(part, count, PARALLEL):
                    work(index)
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0, "a client failed"


def _put_all(server: Server, blobs: list[bytes], digests: list[str]) -> None:
    def put(index: int) -> None:
        _put_blob(server, blobs[index], digests[index])

    _in_children(put, len(blobs))


def _get_all(server: Server, digests: list[str]) -> None:
    def get(index: int) -> None:
        buffer = bytearray(1 << 20)
        with _connect(server) as connection:
            connection.sendall(_head(server, "GET", f"/v2/bench/app/blobs/{digests[index]}"))
            status, headers, body = _answer(connection)
            assert status == 200, body
            left = int(headers["content-length"]) - len(body)
            while left:
                count = connection.recv_into(buffer)
                assert count, "cut short"
                left -= count

    _in_children(get, len(digests))


if __name__ == "__main__":
    main()
