"""Requests and answers of the registry's HTTP API, and errors with the specification's codes."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Any, BinaryIO
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct

from pipeyard.errors import DigestMismatch, InputError, RegistryError
from pipeyard.oci import Digest, parse_digest
from pipeyard.registry.server.asgi import Message, Receive, Send

_PIECE = 1 << 18


class Refusal(Exception):
    """An error answer. `code` is one of distribution-spec, "Error Codes"."""

    def __init__(
        self, status: int, code: str, message: str, headers: tuple[tuple[bytes, bytes], ...] = (), detail: object = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers
        self.detail = detail


class FileRegion(Struct, frozen=True):
    """The answer's body; whoever sends it closes the file."""

    file: BinaryIO
    offset: int
    count: int


class Streamed(Struct, frozen=True):
    """The answer's body, read in a thread while it is sent; it may end early only by an exception."""

    open: Callable[[], AbstractContextManager[BinaryIO]]
    count: int


class Answer(Struct, frozen=True):
    status: int
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes | FileRegion | Streamed = b""


class Request:
    """One HTTP request, seen through ASGI."""

    def __init__(self, scope: Message, receive: Receive) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"].removeprefix(scope.get("root_path", ""))
        self.scheme: str = scope.get("scheme", "http")
        self.can_send_files = "http.response.zerocopysend" in (scope.get("extensions") or {})
        self._headers: list[tuple[bytes, bytes]] = scope["headers"]
        self._query: bytes = scope.get("query_string", b"")
        self._parsed: list[tuple[str, str]] | None = None
        self._receive = receive

    def header(self, name: bytes) -> str:
        """The first value, or empty; `name` in lower case."""
        for key, value in self._headers:
            if key == name:
                return value.decode("latin-1")
        return ""

    def values(self, name: str) -> list[str]:
        """Of a query parameter."""
        if self._parsed is None:
            text = self._query.decode("latin-1")
            try:
                self._parsed = parse_qsl(text, keep_blank_values=True, max_num_fields=200) if text else []
            except ValueError:
                raise Refusal(400, "UNSUPPORTED", "too many query parameters") from None
        return [value for key, value in self._parsed if key == name]

    def value(self, name: str) -> str:
        found = self.values(name)
        return found[0] if found else ""

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body. Raises ConnectionResetError when the client goes before its end."""
        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                raise ConnectionResetError("the client went away")
            if body := message.get("body", b""):
                yield body
            if not message.get("more_body", False):
                return

    async def body(self, limit: int) -> bytes:
        """The whole body. Raises Refusal (413) beyond `limit` bytes."""
        length = self.header(b"content-length")
        if length.isdigit() and int(length) > limit:
            raise _too_large(limit)
        out = bytearray()
        async for piece in self.pieces():
            out += piece
            if len(out) > limit:
                raise _too_large(limit)
        return bytes(out)


def json_answer(status: int, document: Any, *headers: tuple[bytes, bytes], kind: bytes = b"application/json") -> Answer:
    body = msgspec.json.encode(document)
    return Answer(status, ((b"content-type", kind), (b"content-length", b"%d" % len(body)), *headers), body)


def error_answer(refusal: Refusal) -> Answer:
    error = {"code": refusal.code, "message": refusal.message}
    if refusal.detail is not None:
        error["detail"] = refusal.detail  # type: ignore[assignment]  # any JSON, says the specification
    return json_answer(refusal.status, {"errors": [error]}, *refusal.headers)


def as_refusal(error: RegistryError | InputError) -> Refusal:
    """The store's errors carry the status and code that a client should see."""
    if isinstance(error, DigestMismatch):
        return Refusal(400, "DIGEST_INVALID", error.message)
    if isinstance(error, RegistryError):
        return Refusal(error.status or 500, error.code or "UNSUPPORTED", error.message)
    return Refusal(400, "UNSUPPORTED", error.message)


def read_digest(text: str) -> Digest:
    try:
        return parse_digest(text)
    except InputError as error:
        raise Refusal(400, "DIGEST_INVALID", error.message) from error


async def send_answer(answer: Answer, request: Request, send: Send, run: Callable[..., Awaitable[Any]]) -> None:
    """Sends it, without the body for HEAD; closes the file of a FileRegion. `run` calls a function in a thread."""
    start = {"type": "http.response.start", "status": answer.status, "headers": answer.headers}
    if isinstance(answer.body, bytes):
        await send(start)
        await send({"type": "http.response.body", "body": answer.body if request.method != "HEAD" else b""})
        return
    if isinstance(answer.body, Streamed):
        await _send_stream(answer.body, start, request, send, run)
        return
    with answer.body.file as file:
        await send(start)
        offset, left = answer.body.offset, answer.body.count
        if request.method == "HEAD" or not left:
            await send({"type": "http.response.body", "body": b""})
        elif request.can_send_files:
            await send({"type": "http.response.zerocopysend", "file": file, "offset": offset, "count": left})
        else:
            file.seek(offset)
            while left:
                data = await run(file.read, min(_PIECE, left))
                if not data:
                    raise ConnectionResetError("the file became shorter")
                left -= len(data)
                await send({"type": "http.response.body", "body": data, "more_body": left > 0})


async def _send_stream(
    body: Streamed, start: Message, request: Request, send: Send, run: Callable[..., Awaitable[Any]]
) -> None:
    if request.method == "HEAD" or not body.count:
        await send(start)
        await send({"type": "http.response.body", "body": b""})
        return
    opened = body.open()
    source = await run(opened.__enter__)
    try:
        left = body.count
        while left:
            try:
                data = await run(source.read, min(_PIECE, left))
            except (RegistryError, OSError) as error:
                if left == body.count:  # nothing was sent: the failure is an answer of its own
                    raise
                raise ConnectionResetError("the source failed") from error
            if not data:
                raise ConnectionResetError("the source ended early")
            if left == body.count:
                await send(start)
            left -= len(data)
            await send({"type": "http.response.body", "body": data, "more_body": left > 0})
    except BaseException as error:
        await run(opened.__exit__, type(error), error, error.__traceback__)
        raise
    await run(opened.__exit__, None, None, None)


def _too_large(limit: int) -> Refusal:
    return Refusal(413, "SIZE_INVALID", f"the body is larger than {limit} bytes")
