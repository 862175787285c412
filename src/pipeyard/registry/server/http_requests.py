"""Heads of HTTP/1.1 requests, read strictly: what two programs could understand differently is refused.

Source: RFC 9112 (request line, fields, message body length); RFC 9110, "Expect".
"""

import re
from urllib.parse import unquote_to_bytes

from msgspec import Struct

MAX_HEAD = 32 * 1024

_TOKEN = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_CONTROL = bytes(byte for byte in range(32) if byte != 9) + b"\x7f"
_TARGET = re.compile(rb"/[\x21-\x7e]*")
_ABSOLUTE = re.compile(rb"[Hh][Tt][Tt][Pp][Ss]?://(?P<host>[^/?#@]+)(?P<target>/[\x21-\x7e]*)?")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_CHUNK_SIZE = re.compile(rb"[0-9a-fA-F]{1,15}")


class BadRequest(Exception):
    """Not HTTP as we accept it; answered with `status`, and the connection ends."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class RequestHead(Struct, frozen=True):
    method: str
    raw_path: bytes
    path: str
    query: bytes
    headers: list[tuple[bytes, bytes]]  # names in lower case
    version: str  # 1.0 or 1.1
    length: int  # of the body; -1: chunked
    keep_alive: bool
    expects_continue: bool


def parse_head(head: bytes) -> RequestHead:
    """`head` without the empty line at its end. Raises BadRequest."""
    lines = head.split(b"\r\n")
    if head.count(b"\n") != len(lines) - 1 or head.count(b"\r") != len(lines) - 1:
        raise BadRequest(400, "a line does not end with CRLF")
    method, _, rest = lines[0].partition(b" ")
    target, _, protocol = rest.rpartition(b" ")
    if protocol not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise BadRequest(505 if protocol.startswith(b"HTTP/") else 400, "the request line is wrong")
    absolute = None if target.startswith(b"/") else _ABSOLUTE.fullmatch(target)
    if absolute:  # RFC 9112, 3.2.2: what is said to a proxy must be understood by a server
        target = absolute["target"] or b"/"
    if not method or method.translate(None, _TOKEN) or not _TARGET.fullmatch(target):
        raise BadRequest(400, "the request line is wrong")
    headers: list[tuple[bytes, bytes]] = []
    length = -2
    hosts = 0
    chunked = expects_continue = False
    keep_alive = protocol == b"HTTP/1.1"
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon or not name or name.translate(None, _TOKEN):
            raise BadRequest(400, "a header's name is wrong")
        value = value.strip(b" \t")
        if value.translate(None, _CONTROL) != value:
            raise BadRequest(400, "a header has control characters")
        name = name.lower()
        headers.append((name, value))
        if name == b"host":
            hosts += 1
            if absolute and value.lower() != absolute["host"].lower():
                raise BadRequest(400, "the request line and Host name different hosts")
        elif name == b"content-length":
            if not _LENGTH.fullmatch(value) or length not in (-2, int(value)):
                raise BadRequest(400, "Content-Length is wrong")
            length = int(value)
        elif name == b"transfer-encoding":
            if value.lower() != b"chunked" or chunked:
                raise BadRequest(501, "the only transfer coding is chunked")
            chunked = True
        elif name == b"connection":
            options = value.lower()
            if b"close" in options:
                keep_alive = False
            elif b"keep-alive" in options:
                keep_alive = True
        elif name == b"expect":
            expects_continue = value.lower() == b"100-continue"
    if chunked and (length != -2 or protocol == b"HTTP/1.0"):
        raise BadRequest(400, "two lengths for one body")  # the seed of request smuggling
    if hosts != 1 and protocol == b"HTTP/1.1":
        raise BadRequest(400, "a request has exactly one Host")
    raw_path, _, query = target.partition(b"?")
    return RequestHead(
        method.decode("ascii"),
        raw_path,
        (unquote_to_bytes(raw_path) if b"%" in raw_path else raw_path).decode("utf-8", "surrogateescape"),
        query,
        headers,
        protocol[5:].decode("ascii"),
        -1 if chunked else max(length, 0),
        keep_alive,
        expects_continue,
    )


class ChunkedBody:
    """Takes the raw bytes of a chunked body; `feed` gives the content and how many raw bytes it used."""

    def __init__(self) -> None:
        self.ended = False
        self._left = 0  # of the chunk that is being read
        self._line = bytearray()  # of a size or trailer that is not complete
        self._trailers = 0  # bytes
        self._state = "size"

    def feed(self, raw: memoryview) -> tuple[bytearray, int]:
        """Raises BadRequest."""
        out = bytearray()
        position = 0
        while position < len(raw) and not self.ended:
            if self._state == "content":
                piece = raw[position : position + self._left]
                out += piece
                position += len(piece)
                self._left -= len(piece)
                if self._left == 0:
                    self._state = "end of content"
                continue
            line, position = self._take_line(raw, position)
            if line is not None:
                self._advance(line)
        return out, position

    def _take_line(self, raw: memoryview, position: int) -> tuple[bytes | None, int]:
        window = bytes(raw[position : position + 4096])
        end = window.find(b"\n")
        self._line += window if end < 0 else window[: end + 1]
        if len(self._line) > 4096:
            raise BadRequest(400, "a chunk's line is too long")
        if end < 0:
            return None, position + len(window)
        line = bytes(self._line)
        self._line.clear()
        if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
            raise BadRequest(400, "a line does not end with CRLF")
        return line[:-2], position + end + 1

    def _advance(self, line: bytes) -> None:
        if self._state == "size":
            size = line.partition(b";")[0].rstrip(b" \t")
            if not _CHUNK_SIZE.fullmatch(size):
                raise BadRequest(400, "a chunk's size is wrong")
            self._left = int(size, 16)
            self._state = "content" if self._left else "trailer"
        elif self._state == "end of content":
            if line:
                raise BadRequest(400, "a chunk is longer than its size")
            self._state = "size"
        elif not line:  # trailers are read and forgotten
            self.ended = True
        else:
            self._trailers += len(line)
            if self._trailers > MAX_HEAD:
                raise BadRequest(431, "the trailers are too long")
