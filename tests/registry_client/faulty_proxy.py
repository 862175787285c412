"""An HTTP proxy in front of a registry that does damage, where and as a test says.

It sits at the registry's own address for the client (no proxy protocol): each request is read, counted, shown to
`plan`, and forwarded over a connection of its own, with the damage that the plan gives back.
"""

import re
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Literal, Self

from msgspec import Struct

Damage = Literal[
    "status",  # answer `status` after reading the request
    "early status",  # answer `status` without reading the body, and hang up
    "drop",  # hang up after the head
    "drop midway",  # hang up in the middle of the request's body, half of it forwarded
    "drop answer",  # let the registry do it, and hang up instead of telling
    "truncate",  # hang up in the middle of the answer
    "corrupt request",  # one bit of the body
    "corrupt answer",
    "stall",  # let the registry do it, and say nothing
]
DAMAGES: tuple[Damage, ...] = (
    "status",
    "early status",
    "drop",
    "drop midway",
    "drop answer",
    "truncate",
    "corrupt request",
    "corrupt answer",
    "stall",
)


class Fault(Struct, frozen=True):
    damage: Damage
    status: int = 503
    headers: tuple[tuple[str, str], ...] = ()


class Seen(Struct, frozen=True):
    """A request as the plan sees it; `number` counts from 0."""

    number: int
    method: str
    path: str
    headers: dict[str, str]


Plan = Callable[[Seen], Fault | None]


def harmless(seen: Seen) -> Fault | None:
    return None


def once(number: int, fault: Fault) -> Plan:
    return lambda seen: fault if seen.number == number else None


def from_then_on(number: int, fault: Fault) -> Plan:
    return lambda seen: fault if seen.number >= number else None


class FaultyProxy:
    """Runs from the beginning to the end of its block. `host` is where the registry seems to be."""

    def __init__(self, registry: str) -> None:
        name, _, port = registry.rpartition(":")
        self._registry = (name, int(port))
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.host = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self._lock = threading.Lock()  # guards plan, seen, _open
        self._plan: Plan = harmless
        self.seen: list[Seen] = []
        self._open: set[socket.socket] = set()

    def use(self, plan: Plan) -> None:
        """Starts counting at 0 again, on new connections."""
        with self._lock:
            self._plan = plan
            self.seen = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)  # close alone does not wake accept
        self._listening.close()
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            with self._lock:
                self._open.add(connection)
            try:
                while self._exchange(connection):
                    pass
            except OSError:
                pass
            with self._lock:
                self._open.discard(connection)

    def _exchange(self, connection: socket.socket) -> bool:
        """One request; False ends the connection."""
        head, body = _read_head(connection)
        if not head:
            return False
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        with self._lock:
            seen = Seen(len(self.seen), method, path, headers)
            self.seen.append(seen)
            fault = self._plan(seen)
        damage = fault.damage if fault else ""
        if damage == "drop":
            return _hang_up(connection)
        if fault is not None and damage == "early status":
            connection.sendall(_answer(fault))
            return _hang_up(connection)
        length = int(headers.get("content-length", "0"))
        while len(body) < length:
            piece = connection.recv(256 * 1024)
            if not piece:
                return False
            body += piece
            if damage == "drop midway" and len(body) >= length // 2:
                break
        if fault is not None and damage == "status":
            connection.sendall(_answer(fault))
            return True
        if damage == "corrupt request":
            body = _flipped(body)
        with socket.create_connection(self._registry, 20) as registry:
            if damage == "drop midway":
                registry.sendall(_closing(head) + b"\r\n\r\n" + body[: length // 2])
                registry.shutdown(socket.SHUT_WR)
                _read_rest(registry)  # until it has noticed
                return _hang_up(connection)
            registry.sendall(_closing(head) + b"\r\n\r\n" + body)
            answer_head, answer = _read_head(registry)
            answer += _read_rest(registry)
        if damage == "drop answer":
            return _hang_up(connection)
        if damage == "stall":
            _read_rest(connection)  # until the client has had enough
            return False
        answer_head = re.sub(rb"(?i)\r\nconnection: close", b"", answer_head)
        if damage == "corrupt answer":
            answer = _flipped(answer)
        if damage == "truncate":
            whole = answer_head + b"\r\n\r\n" + answer
            connection.sendall(whole[: len(whole) - len(answer) // 2 - 1])
            return False
        connection.sendall(answer_head + b"\r\n\r\n" + answer)
        return b"content-length" in answer_head.lower() or b" 204 " in answer_head[:20] or b"chunked" in answer_head


def _read_head(connection: socket.socket) -> tuple[bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(64 * 1024)
        if not piece:
            return b"", b""
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def _read_rest(connection: socket.socket) -> bytes:
    pieces = []
    try:
        while piece := connection.recv(256 * 1024):
            pieces.append(piece)
    except OSError:
        pass
    return b"".join(pieces)


def _closing(head: bytes) -> bytes:
    return re.sub(rb"(?i)\r\nconnection: [^\r]*", b"", head) + b"\r\nConnection: close"


def _flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :] if data else data


def _answer(fault: Fault) -> bytes:
    extra = "".join(f"{name}: {value}\r\n" for name, value in fault.headers)
    return f"HTTP/1.1 {fault.status} Fault\r\n{extra}Content-Length: 5\r\n\r\nfault".encode()


def _hang_up(connection: socket.socket) -> bool:
    """With a reset, as when a process dies."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False
