"""An HTTP/1.1 server for ASGI applications that move large files: sendfile on the way out, 1 MiB pieces on the way in.

Measured against the general servers (docs/performance.md, "Registry"): those hand over bodies in pieces of 64 KiB
or less, and have no sendfile; both cost more than hashing the blob.

It offers the ASGI extension `http.response.zerocopysend`. Without TLS that is sendfile(2); with TLS the event loop
reads and encrypts. HTTP/1.1 keep-alive and pipelining (answered in order), chunked bodies, `Expect`. A client that
sends or takes nothing for `Limits.idle_s` is cut off, and so is one that is not done with its request's head by then.
"""

import asyncio
import socket
import ssl
import time

from msgspec import Struct

from pipeyard.registry.server.asgi import App
from pipeyard.registry.server.http_connection import Connection


class Limits(Struct, frozen=True, kw_only=True):
    idle_s: float = 60.0
    connections: int = 2048
    grace_s: float = 10.0  # for requests that are under way when the server stops


class HttpServer:
    """One event loop's server; `async with HttpServer(app) as server: await server.listen(...)`."""

    def __init__(self, app: App, limits: Limits = Limits()) -> None:  # noqa: B008  (frozen)
        self.app = app
        self.limits = limits
        self.connections: set[Connection] = set()
        self.stopping = False
        self._listeners: list[asyncio.Server] = []
        self._sweeper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "HttpServer":
        self._sweeper = asyncio.create_task(self._sweep())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stopping = True
        for listener in self._listeners:
            listener.close()
        for connection in list(self.connections):
            connection.finish_soon()
        tasks = [connection.task for connection in self.connections if connection.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=self.limits.grace_s)
        for connection in list(self.connections):
            connection.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()

    async def listen(self, listening: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        """Serves a bound socket from now on."""
        loop = asyncio.get_running_loop()
        scheme = "https" if tls else "http"
        self._listeners.append(
            await loop.create_server(lambda: Connection(self, scheme), sock=listening, ssl=tls, backlog=1024)
        )

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(min(5.0, self.limits.idle_s / 2))
            latest = time.monotonic() - self.limits.idle_s
            for connection in list(self.connections):
                began = connection.head_began
                if (connection.waits_for_client and connection.last_progress < latest) or (began and began < latest):
                    connection.abort()
