"""What travels: a request, its answer, and the one seam to the network that every layer of the client wraps.

    redirected( authenticated( retrying( plain( Wire ) ) ) )        each a Transport around a Transport

A test is a Transport too: a function from Request to Response.
"""

import io
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import BinaryIO, Literal, Protocol, Self

from msgspec import Struct

from pipeyard.errors import RegistryError
from pipeyard.threads import NEVER, Stop

SMALL = 4 * 1024 * 1024  # bytes: no manifest is larger (distribution-spec, "Pushing manifests")


def _look_away(count: int) -> None:
    return


class Body(Struct, frozen=True, kw_only=True):
    """Exactly `size` bytes that can be opened again for a repetition. `moved` hears of each piece, and may raise."""

    size: int
    open: Callable[[], AbstractContextManager[BinaryIO]]
    moved: Callable[[int], None] = _look_away


class Request(Struct, frozen=True, kw_only=True):
    """One HTTP request. `registry` says whose credentials may go with it: without one, none ever do."""

    method: str
    url: str
    headers: Mapping[str, str] = {}
    body: bytes | Body | None = None
    registry: str = ""  # host as written in references
    scopes: tuple[str, ...] = ()  # what a token must allow, such as repository:team/app:pull
    repeatable: bool = True  # sending it twice does no harm
    any_mirror: bool = False  # a mirror of the registry may answer
    stop: Stop = NEVER


class Readable(Protocol):
    """What a body is read from: up to `size` bytes, nothing only at the end."""

    def read(self, size: int, /) -> bytes: ...


class Response:
    """An answer whose body still is on the wire; leaving its block gives the connection back.

    Header names are lower-case; repeated headers are joined with a comma.
    """

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str] | None = None,
        body: Readable | bytes = b"",
        *,
        url: str = "",
        on_close: Callable[[], None] | None = None,
    ) -> None:
        self.status = status
        self.headers = dict(headers or {})
        self.url = url
        self._body: Readable = io.BytesIO(body) if isinstance(body, bytes) else body
        self._on_close = on_close

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    def read(self, size: int = 256 * 1024) -> bytes:
        """Up to `size` bytes; nothing only at the end. Raises ConnectionFailed when the body ends too early."""
        return self._body.read(size)

    def read_all(self, limit: int = SMALL) -> bytes:
        """The whole body. Raises RegistryError when it is larger than `limit`."""
        pieces: list[bytes] = []
        left = limit + 1
        while left > 0 and (piece := self.read(left)):
            pieces.append(piece)
            left -= len(piece)
        if left <= 0:
            raise RegistryError(f"{host_of(self.url)} answered with more than {limit} bytes", status=self.status)
        return b"".join(pieces)

    def close(self) -> None:
        if self._on_close is not None:
            ending, self._on_close = self._on_close, None
            ending()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


Transport = Callable[[Request], Response]
"""Sends a request and gives its answer, a context manager of itself. Safe from any thread; raises ConnectionFailed."""

Kind = Literal["name", "refused", "timeout", "broken", "tls", "certificate", "protocol"]


class ConnectionFailed(RegistryError):
    """No whole answer came. `kind` says why, and with it whether trying again may help."""

    def __init__(self, message: str, kind: Kind, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.kind = kind

    @property
    def transient(self) -> bool:
        return self.kind in ("refused", "timeout", "broken")


def host_of(url: str) -> str:
    """HOST[:PORT] of an absolute URL, without user and password; empty for anything else."""
    rest = url.partition("://")[2]
    for mark in "/?#\\":  # whatever any program takes for the authority's end
        rest = rest.partition(mark)[0]
    return rest.rpartition("@")[2]
