"""One client's connection: bytes that come in, requests taken from them in order, bytes and files that go out."""

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any, BinaryIO

from pipeyard.registry.server.http_exchange import REASONS, Exchange
from pipeyard.registry.server.http_requests import MAX_HEAD, BadRequest, ChunkedBody, RequestHead, parse_head

if TYPE_CHECKING:
    from pipeyard.registry.server.http_server import HttpServer

_SMALL = 64 * 1024
_LARGE = 1 << 20
_PIECE = _LARGE // 2  # a body is handed over when this much has come, or its end
_SENDFILE = 64 << 10, 1 << 20, 8 << 20  # least, first and most bytes of a call: progress shows only between calls
_QUICK_S, _SLOW_S = 0.25, 2.0
_LINGER_S = 2.0
_TLS_OR_BINARY = frozenset((*range(10), 11, 12, *range(14, 33), *range(127, 256)))  # no request begins so


class Connection(asyncio.BufferedProtocol):
    """One client. Callbacks of the event loop fill `_buffer`; one task takes requests from it, one after another."""

    def __init__(self, server: "HttpServer", scheme: str) -> None:
        self.task: asyncio.Task[None] | None = None
        self.last_progress = time.monotonic()
        self.waits_for_client = True
        self.head_began: float | None = None  # when a head that is not complete yet began
        self._server = server
        self._scheme = scheme
        self._transport: asyncio.Transport
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray(_SMALL)
        self._filled = 0
        self._paused = False
        self._closed = False  # the client sends no more
        self._lost = False  # and takes no more
        self._finishing = False
        self._arrival: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._writing_paused = False
        self.client: tuple[str, int] | None = None
        self.address: tuple[str, int] | None = None

    # Called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if len(self._server.connections) >= self._server.limits.connections or self._server.stopping:
            transport.abort()
            return
        self.client = _address(transport.get_extra_info("peername"))
        self.address = _address(transport.get_extra_info("sockname"))
        self._server.connections.add(self)
        self.task = self._loop.create_task(self._serve())

    def get_buffer(self, sizehint: int) -> memoryview:
        return memoryview(self._buffer)[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        self._filled += nbytes
        self.last_progress = time.monotonic()
        if self._filled == len(self._buffer):
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        self._closed = True
        self._wake()
        return self._scheme == "http"  # a client may close its half and still wait for the answer

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed = self._lost = True
        self._server.connections.discard(self)
        self._wake()
        self.resume_writing()

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        self.last_progress = time.monotonic()
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    # Called by the server

    def abort(self) -> None:
        self._transport.abort()

    def finish_soon(self) -> None:
        """Answers the request that is under way, and no further one."""
        self._finishing = True
        self._wake()

    # The task

    async def _serve(self) -> None:
        try:
            while True:
                head = await self._next_head()
                if head is None:
                    break
                exchange = Exchange(self, head)
                if not await exchange.run(self._server.app):
                    break
                if self._finishing:
                    break
        except BadRequest as wrong:
            self._refuse(wrong)
            await self._linger()
        except (ConnectionError, TimeoutError):
            pass
        finally:
            self._transport.close()

    async def _next_head(self) -> RequestHead | None:
        """None when the client is done."""
        searched = 0
        while True:
            if self._filled > searched:
                self.head_began = self.head_began or time.monotonic()
                start = 0
                while self._buffer.startswith(b"\r\n", start) and start + 2 <= self._filled:
                    start += 2  # RFC 9112, 2.2: empty lines before a request are ignored
                if start < self._filled and self._buffer[start] in _TLS_OR_BINARY:
                    # Clients try TLS first on any port, and would wait for an answer in it until their patience ends.
                    raise BadRequest(400, "this port speaks HTTP, not TLS")
                end = self._buffer.find(b"\r\n\r\n", max(start, searched - 3), self._filled)
                if end >= 0:
                    if end - start > MAX_HEAD:
                        raise BadRequest(431, "the request's head is too long")
                    head = parse_head(bytes(memoryview(self._buffer)[start:end]))
                    self._consume(end + 4)
                    self.head_began = None
                    return head
                if self._filled - start > MAX_HEAD:
                    raise BadRequest(431, "the request's head is too long")
                searched = self._filled
            if self._closed or (self._finishing and not self._filled):
                return None
            await self._more()

    async def until_gone(self) -> None:
        """Returns when the client is gone; however long it is silent, it is not cut off."""
        while not self._closed:
            await self._more(patient=True)

    async def _more(self, *, patient: bool = False) -> None:
        """Returns when something came, or the client is gone."""
        self._arrival = self._loop.create_future()
        self.waits_for_client = not patient
        try:
            await self._arrival
        finally:
            self._arrival = None
            self.waits_for_client = False

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    def _consume(self, count: int) -> None:
        rest = self._filled - count
        if rest:
            self._buffer[:rest] = self._buffer[count : self._filled]
        self._filled = rest
        if self._paused:
            self._paused = False
            self._transport.resume_reading()

    def _enlarge(self) -> None:
        if len(self._buffer) < _LARGE:
            larger = bytearray(_LARGE)
            larger[: self._filled] = memoryview(self._buffer)[: self._filled]
            self._buffer = larger

    def _shrink(self) -> None:
        if len(self._buffer) > _SMALL and self._filled <= _SMALL // 2:
            smaller = bytearray(_SMALL)
            smaller[: self._filled] = memoryview(self._buffer)[: self._filled]
            self._buffer = smaller

    async def body_piece(self, left: int) -> bytes:
        """The next piece of a body of `left` more bytes; empty when the client is gone."""
        if left > _SMALL:
            self._enlarge()
        while self._filled < min(left, _PIECE) and not self._closed:
            await self._more()
        count = min(self._filled, left)
        piece = bytes(memoryview(self._buffer)[:count])
        self._consume(count)
        return piece

    async def chunked_piece(self, body: ChunkedBody) -> bytes:
        """Likewise of a chunked body, also empty at its end."""
        out = bytearray()
        self._enlarge()
        while not body.ended and len(out) < _PIECE:
            if not self._filled:
                if self._closed:
                    break
                await self._more()
                continue
            # The view must be gone before _consume moves the buffer's content.
            with memoryview(self._buffer) as whole, whole[: self._filled] as raw:
                content, used = body.feed(raw)
            out += content
            self._consume(used)
        return bytes(out)

    def write(self, data: bytes) -> None:
        if self._lost:
            raise ConnectionResetError
        self._transport.write(data)

    async def drained(self) -> None:
        if self._writing_paused and not self._lost:
            self._room = self._loop.create_future()
            self.waits_for_client = True
            try:
                await self._room
            finally:
                self.waits_for_client = False
        if self._lost:
            raise ConnectionResetError

    async def send_file(self, file: BinaryIO, offset: int, count: int) -> None:
        end = offset + count
        least, step, most = _SENDFILE
        try:
            while offset < end:
                if self._lost:
                    raise ConnectionResetError
                self.last_progress = began = time.monotonic()
                self.waits_for_client = True
                sent = await self._loop.sendfile(self._transport, file, offset, min(step, end - offset))
                if sent == 0:
                    raise ConnectionResetError("the file became shorter")
                offset += sent
                took_s = time.monotonic() - began
                if took_s < _QUICK_S:
                    step = min(step * 2, most)
                elif took_s > _SLOW_S:  # a slow client shall not look like a silent one
                    step = max(step // 4, least)
        except (RuntimeError, OSError) as error:  # asyncio: RuntimeError for a transport that is closing
            raise ConnectionResetError from error
        finally:
            self.waits_for_client = False

    def _refuse(self, wrong: BadRequest) -> None:
        text = str(wrong).encode() + b"\n"
        with contextlib.suppress(ConnectionError):
            self.write(
                b"HTTP/1.1 %d %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"
                % (wrong.status, REASONS.get(wrong.status, b""), len(text), text)
            )

    async def _linger(self) -> None:
        """Takes what the client still sends for a moment: closing at once could destroy the answer on its way."""
        if self._lost or self._closed:
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_S):
                while not self._closed:
                    self._consume(self._filled)
                    await self._more()

    async def give_up_body(self) -> None:
        await self._linger()

    def after_request(self) -> None:
        self._shrink()

    def scope(self, head: RequestHead) -> dict[str, Any]:
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": head.version,
            "method": head.method,
            "scheme": self._scheme,
            "path": head.path,
            "raw_path": head.raw_path,
            "query_string": head.query,
            "root_path": "",
            "headers": head.headers,
            "client": self.client,
            "server": self.address,
            "extensions": {"http.response.zerocopysend": {}},
            "state": {},
        }


def _address(value: object) -> tuple[str, int] | None:
    return (str(value[0]), int(value[1])) if isinstance(value, tuple) and len(value) >= 2 else None
