"""A large blob that is still being written: whoever wants it elsewhere can begin to bring it there."""

import threading
from pathlib import Path

from pipeyard.oci import Descriptor
from pipeyard.threads import Stop

_TICK_S = 0.5


class GrowingBlob:
    """Written by one thread, followed by any number of others."""

    def __init__(self, path: Path) -> None:
        self.path = path  # can be opened until the blob is whole, under another name
        self.whole: Descriptor | None = None
        self._size = 0
        self._over = False
        self._news = threading.Condition()  # guards the three above

    def grow(self, size: int) -> None:
        with self._news:
            self._size = size
            self._news.notify_all()

    def end(self, whole: Descriptor | None) -> None:
        """None: it will never be whole."""
        with self._news:
            if not self._over:
                self.whole, self._over = whole, True
                self._size = whole.size if whole is not None else self._size
                self._news.notify_all()

    def wait_for(self, size: int, stop: Stop) -> tuple[int, bool]:
        """Bytes that can be read, at least `size` unless the end came first, and whether it came. Raises Stopped."""
        with self._news:
            while self._size < size and not self._over:
                self._news.wait(_TICK_S)
                stop.check()
            return self._size, self._over
