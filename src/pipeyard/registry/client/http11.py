"""HTTP/1.1 as text: heads written and parsed, and how long a body is. No socket here.

The client speaks HTTP itself instead of through urllib3 because a build of a tiny image takes 190 ms as a whole, and
importing urllib3 alone costs 100 ms (http.client 25 ms; this module and `socket` 4 ms). Source: RFC 9112.
"""

import re
from collections.abc import Callable, Mapping

from msgspec import Struct

from pipeyard.registry.client.messages import ConnectionFailed

MAX_HEAD = 64 * 1024
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: [^\r\n]*)?")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = dict.fromkeys((*range(32), *range(127, 160)), " ")  # an error that quotes a header writes no such


class Head(Struct, frozen=True):
    """The status line and headers of an answer; `keep_alive` as the server wants it."""

    status: int
    headers: dict[str, str]
    keep_alive: bool


def request_head(method: str, target: str, host: str, headers: Mapping[str, str], length: int | None) -> bytes:
    """The bytes up to the body. Raises ValueError for a target or header that would break the message apart."""
    if not target.isascii() or not target.isprintable() or " " in target:
        raise ValueError(f"not a request target: {target[:200]!r}")
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a header holds a line break")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def parse_head(head: bytes) -> Head:
    """Reads everything before the empty line. Raises ConnectionFailed (protocol) for what is no HTTP/1.1 answer."""
    lines = head.split(b"\n")
    status = _STATUS.fullmatch(lines[0].rstrip(b"\r"))
    if status is None:
        raise ConnectionFailed(f"the answer is not HTTP: {lines[0][:60]!r}", "protocol")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.rstrip(b"\r").partition(b":")
        if not colon or not _NAME.fullmatch(name):
            raise ConnectionFailed(f"the answer has a header that is none: {line[:60]!r}", "protocol")
        key, text = name.decode().lower(), value.decode("latin-1").translate(_CONTROL).strip()
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    wish = headers.get("connection", "").lower()
    keep_alive = "close" not in wish and (status[1] == b"1" or "keep-alive" in wish)
    return Head(int(status[2]), headers, keep_alive)


def body_length(method: str, head: Head) -> int | None:
    """Bytes of the body; -1: in chunks; None: until the connection ends. Source: RFC 9112, 6.3.

    Raises ConnectionFailed when the length is no number, or given twice and not the same.
    """
    if method == "HEAD" or head.status in (204, 304) or head.status < 200:
        return 0
    coding = head.headers.get("transfer-encoding", "").lower()
    if coding:
        if coding != "chunked":
            raise ConnectionFailed(
                f"the answer has the transfer coding {coding[:60]!r}, which nobody asked for", "protocol"
            )
        return -1
    length = head.headers.get("content-length")
    if length is None:
        return None
    values = {part.strip() for part in length.split(",")}
    only = values.pop()
    if values or not re.fullmatch("[0-9]{1,18}", only):
        raise ConnectionFailed(f"the answer's Content-Length is {length[:60]!r}", "protocol")
    return int(only)


class Incoming:
    """Buffered bytes of one connection. `receive` gives what is there, nothing at the end, or raises."""

    def __init__(self, receive: Callable[[int], bytes]) -> None:
        self._receive = receive
        self._buffer = b""

    @property
    def is_empty(self) -> bool:
        return not self._buffer

    def some(self, size: int) -> bytes:
        """Between 1 and `size` bytes; nothing at the end of the connection."""
        if not self._buffer:
            if size >= 64 * 1024:
                return self._receive(size)
            self._buffer = self._receive(64 * 1024)
        out, self._buffer = self._buffer[:size], self._buffer[size:]
        return out

    def until(self, mark: bytes, limit: int) -> bytes:
        """Everything before `mark`, which is taken away as well. Raises ConnectionFailed."""
        while True:
            place = self._buffer.find(mark)
            if place >= 0:
                out, self._buffer = self._buffer[:place], self._buffer[place + len(mark) :]
                return out
            if len(self._buffer) > limit:
                raise ConnectionFailed(f"the answer's head is longer than {limit} bytes", "protocol")
            more = self._receive(64 * 1024)
            if not more:
                raise ConnectionFailed("the connection ended before an answer", "broken")
            self._buffer += more


class BodyReader:
    """A body on the wire. `ended` once everything of it was read, so that the connection can serve another request."""

    def __init__(self, incoming: Incoming, length: int | None) -> None:
        self._incoming = incoming
        self._chunked = length == -1
        self._until_close = length is None
        self._left = 0 if length is None or length < 0 else length  # of the body, or of the current chunk
        self._first_chunk = True
        self.ended = length == 0

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, nothing only at the end."""
        if self.ended or size <= 0:
            return b""
        if self._until_close:
            out = self._incoming.some(size)
            self.ended = not out
            return out
        if self._chunked and self._left == 0 and not self._next_chunk():
            return b""
        out = self._incoming.some(min(size, self._left))
        if not out:
            raise ConnectionFailed(f"the connection ended {self._left} bytes before the end of the answer", "broken")
        self._left -= len(out)
        if not self._left and not self._chunked:
            self.ended = True
        return out

    @property
    def left(self) -> int | None:
        """Bytes that are still to come, when that is known."""
        return None if self._chunked or self._until_close else self._left

    def _next_chunk(self) -> bool:
        if not self._first_chunk and self._incoming.until(b"\r\n", 2):
            raise ConnectionFailed("a chunk of the answer is longer than it says", "protocol")
        self._first_chunk = False
        size = self._incoming.until(b"\r\n", 1024).partition(b";")[0].strip()
        if not re.fullmatch(rb"[0-9a-fA-F]{1,15}", size):
            raise ConnectionFailed(f"a chunk of the answer has the size {size[:20]!r}", "protocol")
        self._left = int(size, 16)
        if self._left == 0:
            trailers = 0  # nothing in them is for us
            while line := self._incoming.until(b"\r\n", MAX_HEAD):
                trailers += len(line)
                if trailers > MAX_HEAD:
                    raise ConnectionFailed(f"the answer's trailers are longer than {MAX_HEAD} bytes", "protocol")
            self.ended = True
            return False
        return True
