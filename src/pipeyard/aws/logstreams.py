"""Streams of log lines on the disk, as CloudWatch Logs has them: groups of streams of events with a time each.

A line of a stream's file is `MILLISECONDS text`. One writer for a stream; any number of readers, also elsewhere.
"""

import hashlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, unquote

from msgspec import Struct

from pipeyard.plain_lines import printable

_ENDING = ".log"
_MAX_NAME = 240  # bytes of a file's name, without its ending


class Event(Struct, frozen=True):
    """`position` is that of the event's line in its file, in bytes; `after` where the next one begins."""

    position: int
    after: int
    at_ms: int
    message: str


class LogWriter:
    """Lines appear in the file as soon as they are whole. Safe for any number of threads."""

    def __init__(self, path: Path, now_ms: Callable[[], int]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._out = path.open("ab", buffering=0)
        self._now_ms = now_ms
        self._lock = threading.Lock()  # guards _pending and the order of lines
        self._pending = b""

    def write(self, data: bytes) -> None:
        with self._lock:
            *whole, self._pending = (self._pending + data).split(b"\n")
            self._put(whole)

    def say(self, text: str) -> None:
        """A message of ours, on lines of its own."""
        with self._lock:
            started = [self._pending] if self._pending else []
            self._pending = b""
            self._put([*started, *(f"[Container] {line}".encode() for line in text.splitlines())])

    def close(self) -> None:
        with self._lock:
            if self._pending:
                self._put([self._pending])
            self._out.close()

    def _put(self, lines: list[bytes]) -> None:
        if lines and not self._out.closed:
            now_ms = self._now_ms()
            self._out.write(b"".join(f"{now_ms} {printable(line)}\n".encode() for line in lines))


class LogStreams:
    def __init__(self, root: Path, now_ms: Callable[[], int]) -> None:
        self._root = root
        self._now_ms = now_ms

    def writer(self, region: str, group: str, stream: str) -> LogWriter:
        return LogWriter(self._path(region, group, stream), self._now_ms)

    def groups(self, region: str) -> list[str]:
        folder = self._root / region
        return sorted(unquote(each.name) for each in folder.iterdir()) if folder.is_dir() else []

    def streams(self, region: str, group: str) -> list[str]:
        """Raises KeyError when there is no such group."""
        folder = self._root / region / _safe(group)
        if not folder.is_dir():
            raise KeyError(group)
        return sorted(unquote(each.name.removesuffix(_ENDING)) for each in folder.iterdir())

    def size(self, region: str, group: str, stream: str) -> int:
        return self._path(region, group, stream).stat().st_size

    def events(self, region: str, group: str, stream: str) -> Iterator[Event]:
        """In their order. Raises KeyError when there is no such stream."""
        path = self._path(region, group, stream)
        if not path.is_file():
            raise KeyError(stream)
        position = 0
        with path.open("rb") as lines:
            for line in lines:
                if not line.endswith(b"\n"):  # the writer is at it
                    return
                at_ms, _, message = line.rstrip(b"\n").partition(b" ")
                after = position + len(line)
                yield Event(position, after, int(at_ms), message.decode(errors="replace"))
                position = after

    def _path(self, region: str, group: str, stream: str) -> Path:
        return self._root / region / _safe(group) / f"{_safe(stream)}{_ENDING}"


def _safe(name: str) -> str:
    """A file's name; one that is too long for a file is cut, and listed as cut."""
    quoted = quote(name, safe="", errors="surrogatepass").replace(".", "%2E")
    if len(quoted) <= _MAX_NAME:
        return quoted
    return f"{quoted[:150]}~{hashlib.sha256(quoted.encode()).hexdigest()}"
