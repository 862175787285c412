"""A blob on its way from an upstream registry: clients read what has come before it is whole.

The last byte is given only after the digest was found right: a client never has a whole answer that is wrong.
"""

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO

from pipeyard.errors import PipeyardError, RegistryError

_FIRST = 256 * 1024  # bytes until which nothing is given: of what is smaller, a failure is an answer of its own


class Coming:
    """One writer, any number of readers, each in a thread. `whole` opens the blob at an offset once it is stored."""

    def __init__(self, size: int, whole: Callable[[int], AbstractContextManager[BinaryIO]]) -> None:
        self.size = size
        self._whole = whole
        self._changed = threading.Condition()  # guards all below
        self._file: Path | None = None
        self._come = 0
        self._stored = False
        self._failure: Exception | None = None

    # For the writer

    def moved(self, file: Path, count: int) -> None:
        """`count` more bytes can be read from `file`."""
        with self._changed:
            self._file = file
            self._come += count
            self._changed.notify_all()

    def stored(self) -> None:
        with self._changed:
            self._stored = True
            self._changed.notify_all()

    def failed(self, failure: Exception) -> None:
        with self._changed:
            self._failure = failure
            self._changed.notify_all()

    # For the readers

    @contextmanager
    def read(self, start: int = 0) -> Iterator[BinaryIO]:
        """From byte `start`. Reading waits for what has not come, and raises RegistryError when it never will."""
        self.wait_beyond(start)
        with self._changed:
            file = self._file
        try:
            if file is None:
                raise FileNotFoundError
            stream = open(file, "rb", buffering=0)  # noqa: SIM115  (closed below; its name may go meanwhile)
        except FileNotFoundError:
            self.wait_beyond(self.size - 1)
            with self._whole(start) as found:
                yield found
            return
        with stream:
            stream.seek(start)
            yield io.BufferedReader(_Following(self, stream, start), 1)

    def wait_beyond(self, offset: int) -> int:
        """Waits until the byte at `offset` may be read; gives how many bytes may be."""
        with self._changed:
            self._changed.wait_for(lambda: self._failure is not None or self._readable() > offset or self._stored)
            if self._failure is not None and not self._stored:
                raise self._explained(self._failure)
            return self._readable()

    def _readable(self) -> int:
        if self._stored:
            return self.size
        return min(self._come, self.size - 1) if self._come >= _FIRST else 0

    def _explained(self, failure: Exception) -> RegistryError:
        # One exception object must not travel through several threads.
        text = failure.message if isinstance(failure, PipeyardError) else str(failure)
        return RegistryError(f"upstream: {text}", status=502, code="BLOB_UNKNOWN")


class _Following(io.RawIOBase):
    """Reads a file that grows, and never what may not be given yet."""

    def __init__(self, coming: Coming, file: io.FileIO, offset: int) -> None:
        self._coming = coming
        self._file = file
        self._offset = offset

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]  # typeshed has no public name for a writable buffer here
        if self._offset >= self._coming.size or not view:
            return 0
        allowed = self._coming.wait_beyond(self._offset) - self._offset
        count = self._file.readinto(view[:allowed]) or 0
        self._offset += count
        return count
