"""Registries that run during a test, and a client that says exactly what it sends."""

import asyncio
import contextlib
import hashlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pipeyard.registry.server.access import Access
from pipeyard.registry.server.app import registry_app
from pipeyard.registry.server.asgi import App
from pipeyard.registry.server.http_server import HttpServer, Limits
from pipeyard.registry.server.serving import bind
from pipeyard.registry.store import ContentStore

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
SECRET = b"secret of the tests"


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]  # names in lower case; of repeated ones the last
    body: bytes
    all_headers: list[tuple[str, str]]

    @property
    def codes(self) -> list[str]:
        return [error["code"] for error in json.loads(self.body)["errors"]]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """One request, one connection."""

    def __init__(self, port: int, authorization: str = "") -> None:
        self.port = port
        self.authorization = authorization

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.authorization:
            sent.setdefault("Authorization", self.authorization)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            found = [(name.lower(), value) for name, value in answer.getheaders()]
            return Reply(answer.status, dict(found), answer.read(), found)
        finally:
            connection.close()

    def push_blob(self, repository: str, data: bytes, algorithm: str = "sha256") -> str:
        digest = digest_of(data, algorithm)
        assert self("POST", f"/v2/{repository}/blobs/uploads/?digest={digest}", data).status == 201
        return digest

    def push_image(self, repository: str, tag: str, *layers: bytes, **more: Any) -> tuple[str, bytes]:
        """With an artificial configuration; gives the manifest's digest and bytes."""
        config = b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}'
        parts = [config, *layers]
        for part in parts:
            self.push_blob(repository, part)
        data = manifest(*parts, **more)
        reply = self("PUT", f"/v2/{repository}/manifests/{tag}", data, Content_Type=OCI_MANIFEST)
        assert reply.status == 201, reply
        return digest_of(data), data


def digest_of(data: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def manifest(config: bytes, *layers: bytes, **more: Any) -> bytes:
    kinds = ["application/vnd.oci.image.config.v1+json"] + ["application/vnd.oci.image.layer.v1.tar"] * len(layers)
    parts = [
        {"mediaType": kind, "digest": digest_of(part), "size": len(part)}
        for kind, part in zip(kinds, (config, *layers), strict=True)
    ]
    return json.dumps(
        {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": parts[0], "layers": parts[1:], **more}
    ).encode()


@contextlib.contextmanager
def serving(app: App, limits: Limits = Limits()) -> Iterator[int]:  # noqa: B008
    """Serves in a thread of this process; gives the port."""
    listening = bind("127.0.0.1", 0)
    started = threading.Event()
    control: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def main() -> None:
        stopped = asyncio.Event()
        control.append((asyncio.get_running_loop(), stopped))
        async with HttpServer(app, limits) as server:
            await server.listen(listening)
            started.set()
            await stopped.wait()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    assert started.wait(20)
    try:
        yield listening.getsockname()[1]
    finally:
        loop, stopped = control[0]
        loop.call_soon_threadsafe(stopped.set)
        thread.join(30)
        assert not thread.is_alive()


@contextlib.contextmanager
def open_registry(store: ContentStore, **options: Any) -> Iterator[Client]:
    """For everybody to push into."""
    with serving(registry_app(store, Access(anonymous="push", secret=SECRET), **options)) as port:
        yield Client(port)


class Process(NamedTuple):
    """`pipeyard registry serve` in a process of its own."""

    port: int
    process: "subprocess.Popen[bytes]"

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(20)


@contextlib.contextmanager
def registry_process(home: Path, *arguments: str, port: int = 0, **environment: str) -> Iterator[Process]:
    port = port or free_port()
    program = [sys.executable, "-m", "pipeyard", "registry", "serve", "--port", str(port), *arguments]
    variables = {"PATH": os.defpath, "PYTHONPATH": ":".join(sys.path), "PIPEYARD_HOME": str(home), **environment}
    home.mkdir(parents=True, exist_ok=True)
    with subprocess.Popen(program, env=variables, cwd=home, stderr=subprocess.PIPE) as process:
        try:
            assert process.stderr is not None
            line = b""
            while not line.startswith(b"registry at"):
                line = process.stderr.readline()
                assert line, "the registry ended"
            yield Process(port, process)
        finally:
            process.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(condition: Any, timeout_s: float = 20.0) -> None:
    """For states of another process that give no event."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "did not come true in time"
        time.sleep(0.01)
