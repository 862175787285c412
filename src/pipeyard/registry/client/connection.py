"""One socket to a server: requests go out with their bodies, by sendfile where they are files, and answers come in."""

import io
import os
import select
import socket
import stat
import time
from typing import BinaryIO
from urllib.parse import urlsplit

from msgspec import Struct

from pipeyard.registry.client.http11 import Incoming
from pipeyard.registry.client.messages import Body, ConnectionFailed
from pipeyard.threads import NEVER, Stop

_PIECE = 1024 * 1024  # a stop is noticed, and progress told, after at most so much
TICK_S = 1.0  # and while nothing moves, after at most so long
_MAX_IDLE_S = 50.0  # servers commonly hang up after 60


class Target(Struct, frozen=True):
    scheme: str
    host: str
    port: int
    netloc: str


class HungUp(ConnectionFailed):
    """This connection ended; what a body's source may raise is something else."""


class Connection:
    """One socket, for one request at a time."""

    def __init__(self, sock: socket.socket, target: Target, silence_s: float, absolute: bool) -> None:
        self.sock = sock
        self.target = target
        self.absolute = absolute  # an HTTP proxy wants the whole URL
        self.used = False
        self.idle_since = 0.0
        self.stop: Stop = NEVER
        self._silence_s = silence_s
        self.incoming = Incoming(self._receive)
        self._is_tls = target.scheme == "https"

    def _receive(self, size: int) -> bytes:
        deadline = time.monotonic() + self._silence_s
        while True:
            try:
                return self.sock.recv(size)
            except TimeoutError:
                self._tick(deadline)
            except OSError as error:
                raise self._broken(error) from error

    def _tick(self, deadline: float) -> None:
        self.stop.check()
        if time.monotonic() >= deadline:
            raise ConnectionFailed(f"{self.target.netloc} was silent for {self._silence_s:g} s", "timeout")

    def _broken(self, error: OSError) -> "HungUp":
        return HungUp(f"the connection to {self.target.netloc} broke: {error.strerror or error}", "broken")

    def send(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        deadline = time.monotonic() + self._silence_s
        while view:
            try:
                view = view[self.sock.send(view) :]
                deadline = time.monotonic() + self._silence_s
            except TimeoutError:
                self._tick(deadline)
            except OSError as error:
                raise self._broken(error) from error

    def send_body(self, body: Body) -> bool:
        """False when the server answered before the body's end: it does not want the rest."""
        with body.open() as source:
            file = None if self._is_tls else _plain_file(source)
            left = body.size
            while left:
                if self.has_answered():
                    return False
                if file is not None:
                    count = self._send_file(file, source.tell(), min(left, _PIECE))
                    source.seek(count, os.SEEK_CUR)
                else:
                    piece = source.read(min(left, _PIECE))
                    count = len(piece)
                    if count:
                        self.send(piece)
                if not count:
                    raise ConnectionFailed(f"the content ended {left} bytes before its size of {body.size}", "protocol")
                left -= count
                body.moved(count)
                self.stop.check()
        return True

    def _send_file(self, file: int, offset: int, size: int) -> int:
        deadline = time.monotonic() + self._silence_s
        while True:
            try:
                return os.sendfile(self.sock.fileno(), file, offset, size)
            except BlockingIOError:
                waiting = select.poll()
                waiting.register(self.sock.fileno(), select.POLLOUT)
                waiting.poll(int(TICK_S * 1000))
                self._tick(deadline)
            except OSError as error:
                raise self._broken(error) from error

    def has_answered(self) -> bool:
        """Whether bytes (or the end) wait to be read. Under TLS that may be bookkeeping, so it is unknown."""
        if self._is_tls:
            return False
        waiting = select.poll()
        waiting.register(self.sock.fileno(), select.POLLIN)
        return bool(waiting.poll(0))

    def is_stale(self, now_s: float) -> bool:
        """A connection at rest has nothing to say: what can be read there is its end."""
        if now_s - self.idle_since > _MAX_IDLE_S or not self.incoming.is_empty:
            return True
        waiting = select.poll()
        waiting.register(self.sock.fileno(), select.POLLIN)
        return bool(waiting.poll(0))

    def close(self) -> None:
        self.sock.close()


def _plain_file(source: BinaryIO) -> int | None:
    """The descriptor of an ordinary file, which the kernel can send by itself.

    Only the two classes whose content is the file's: a decompressor has a descriptor as well.
    """
    if type(source) not in (io.BufferedReader, io.FileIO):
        return None
    try:
        number = source.fileno()
    except OSError:
        return None
    return number if stat.S_ISREG(os.fstat(number).st_mode) else None


def target_of(url: str) -> tuple[Target, str]:
    parts = urlsplit(url)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise ConnectionFailed(f"{url[:200]!r} has no valid port", "protocol") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConnectionFailed(f"{url[:200]!r} is not an http or https URL", "protocol")
    netloc = parts.netloc.rpartition("@")[2]
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, parts.hostname, port, netloc), path
