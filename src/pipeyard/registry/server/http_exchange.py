"""One request and its answer, between an ASGI application and the connection."""

import asyncio
import email.utils
import http
import logging
import time
from typing import TYPE_CHECKING

from pipeyard.registry.server.asgi import App, Message
from pipeyard.registry.server.http_requests import BadRequest, ChunkedBody, RequestHead

if TYPE_CHECKING:
    from pipeyard.registry.server.http_connection import Connection

REASONS = {status.value: status.phrase.encode() for status in http.HTTPStatus}

_DRAIN = 256 * 1024  # of an unwanted body; beyond it, or when it takes longer, the connection ends
_DRAIN_S = 5.0

_log = logging.getLogger(__name__)


class Exchange:
    """One request and its answer."""

    def __init__(self, connection: "Connection", head: RequestHead) -> None:
        self._connection = connection
        self._head = head
        self._left = head.length
        self._chunks = ChunkedBody() if head.length < 0 else None
        self._body_done = head.length == 0
        self._continue_due = head.expects_continue and head.length != 0
        self._start: Message | None = None
        self._started = False
        self._ended = False
        self._chunked = False
        self._keep_alive = head.keep_alive

    async def run(self, app: App) -> bool:
        """Whether the connection can take another request."""
        try:
            await app(self._connection.scope(self._head), self.receive, self.send)
        except ConnectionError:
            raise
        except BadRequest:
            if self._started:
                return False
            raise
        except Exception:  # noqa: BLE001  (a front door: one failed request must not end the server)
            _log.exception("%s %s failed", self._head.method, self._head.path)
            if self._started:
                return False  # cut short, so that the client sees that it has no whole answer
            self._keep_alive = False
            self._start = None
            await self.send(
                {"type": "http.response.start", "status": 500, "headers": [(b"content-type", b"text/plain")]}
            )
            await self.send({"type": "http.response.body", "body": b"internal error\n"})
        if not self._ended:
            return False
        self._connection.after_request()
        if not self._keep_alive and not self._body_done:
            await self._connection.give_up_body()
        return self._keep_alive

    async def receive(self) -> Message:
        if self._body_done:
            if self._ended:
                return {"type": "http.disconnect"}
            if self._left == 0 and self._head.length == 0:
                self._left = -1  # told once
                return {"type": "http.request", "body": b"", "more_body": False}
            await self._connection.until_gone()
            return {"type": "http.disconnect"}
        if self._continue_due:
            self._continue_due = False
            self._connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self._chunks is not None:
            piece = await self._connection.chunked_piece(self._chunks)
            self._body_done = self._chunks.ended
            if not piece and not self._body_done:
                return {"type": "http.disconnect"}
        else:
            piece = await self._connection.body_piece(self._left)
            self._left -= len(piece)
            self._body_done = self._left == 0
            if not piece:
                return {"type": "http.disconnect"}
        return {"type": "http.request", "body": piece, "more_body": not self._body_done}

    async def send(self, message: Message) -> None:
        match message["type"]:
            case "http.response.start":
                self._start = message
            case "http.response.body":
                await self._send_body(message.get("body", b""), bool(message.get("more_body", False)))
            case "http.response.zerocopysend":
                if not self._started:
                    self._connection.write(await self._head_bytes(None))
                await self._connection.send_file(message["file"], message["offset"], message["count"])
                self._ended = not message.get("more_body", False)
            case _:
                raise ValueError(f"unexpected ASGI message {message['type']}")

    async def _send_body(self, body: bytes, more: bool) -> None:
        data = b"" if self._started else await self._head_bytes(None if more else len(body))
        if self._head.method != "HEAD":
            if self._chunked and body:
                data += b"%x\r\n" % len(body) + body + b"\r\n"
            elif not self._chunked:
                data += body
            if self._chunked and not more:
                data += b"0\r\n\r\n"
        if data:
            self._connection.write(data)
        self._ended = not more
        await self._connection.drained()

    async def _head_bytes(self, whole: int | None) -> bytes:
        """`whole`: bytes of the body, if it follows at once and entire."""
        assert self._start is not None, "http.response.start comes first"
        await self._settle_body()
        status = self._start["status"]
        lines = [b"HTTP/1.1 %d %s" % (status, REASONS.get(status, b""))]
        has_length = False
        for name, value in self._start["headers"]:
            if b"\n" in value or b"\r" in value:
                raise ValueError(f"the header {name!r} would break out of its line")
            lines.append(name + b": " + value)
            if name.lower() == b"content-length":
                has_length = True
        bodiless = status < 200 or status in (204, 304)
        if not has_length and not bodiless:
            if whole is not None:
                lines.append(b"content-length: %d" % whole)
            elif self._head.version == "1.1":
                self._chunked = True
                lines.append(b"transfer-encoding: chunked")
            else:
                self._keep_alive = False
        lines.append(b"date: " + _date())
        if not self._keep_alive:
            lines.append(b"connection: close")
        elif self._head.version == "1.0":
            lines.append(b"connection: keep-alive")
        lines.append(b"\r\n")
        self._started = True
        return b"\r\n".join(lines)

    async def _settle_body(self) -> None:
        """Before the answer: what the application did not read is either read away or ends the connection."""
        if self._body_done:
            return
        if self._continue_due or self._left > _DRAIN or self._chunks is not None:
            self._keep_alive = False
            return
        try:
            async with asyncio.timeout(_DRAIN_S):
                while not self._body_done:
                    if (await self.receive())["type"] == "http.disconnect":
                        raise ConnectionResetError
        except TimeoutError:  # byte by byte, whoever was refused would hold the connection for weeks
            self._keep_alive = False


_dates: dict[int, bytes] = {}


def _date() -> bytes:
    now = int(time.time())
    if now not in _dates:
        _dates.clear()
        _dates[now] = email.utils.formatdate(now, usegmt=True).encode()
    return _dates[now]
