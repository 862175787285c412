"""One HTTP request to a service and its reply, apart from any server."""

from collections.abc import Sequence

from msgspec import Struct


class HttpCall(Struct, frozen=True, kw_only=True):
    """`path` and `query` as they came, percent-encoded; header names in lower case, in the order of arrival."""

    method: str
    path: str
    query: str = ""
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""

    def header(self, name: str) -> str:
        """The first value, or empty; `name` in lower case."""
        return next((value for key, value in self.headers if key == name), "")


class Reply(Struct, frozen=True, kw_only=True):
    status: int
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
