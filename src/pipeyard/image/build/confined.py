"""Opening what lies in a folder without ever leaving it, whoever swaps folders for links meanwhile.

Each component is opened relative to its parent's descriptor and never through a symlink, so the kernel confines it.
"""

import os
import threading
from collections import OrderedDict
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a fifo put there meanwhile must not hang us
_KEPT = 32  # folders kept open


class ConfinedFolder:
    """Safe for threads; close it when done. Paths are relative, without `.` and `..`."""

    def __init__(self, root: Path) -> None:
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._open: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()  # guards _open: a descriptor is used only while it is held

    def close(self) -> None:
        with self._lock:
            for descriptor in self._open.values():
                os.close(descriptor)
            self._open.clear()
            if self._root >= 0:
                os.close(self._root)
                self._root = -1

    def open_folder(self, path: str) -> int:
        """A new descriptor, the caller's to close. Raises OSError."""
        with self._lock:
            return os.dup(self._folder(path))

    def open_file(self, path: str) -> int:
        """A new descriptor, the caller's to close. Raises OSError (ELOOP for a symlink)."""
        parent, _, name = path.rpartition("/")
        with self._lock:
            return os.open(name, _FILE, dir_fd=self._folder(parent))

    def read_link(self, path: str) -> str:
        parent, _, name = path.rpartition("/")
        with self._lock:
            return os.readlink(name, dir_fd=self._folder(parent))

    def _folder(self, path: str) -> int:
        if not path:
            return self._root
        known = self._open.get(path)
        if known is not None:
            self._open.move_to_end(path)
            return known
        parent, _, name = path.rpartition("/")
        descriptor = os.open(name, _FOLDER, dir_fd=self._folder(parent))
        self._open[path] = descriptor
        if len(self._open) > _KEPT:
            os.close(self._open.popitem(last=False)[1])
        return descriptor
