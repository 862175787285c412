"""Symlinks as they are seen while a layer is unpacked: those that it made itself, above those of the layers below."""

import errno
import os
import stat

from pipeyard.image.layers.stack import FolderStack

OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Links:
    """Symlinks of this layer and of those below it, for the resolution of one path.

    Each question is mostly about a name in what the one before asked for: the walk goes on instead of beginning anew.
    """

    def __init__(self, root: int, lowers: FolderStack, opaque: str) -> None:
        self._root, self._lowers, self._opaque = root, lowers, opaque
        self._restart()

    def _restart(self) -> None:
        self._path = ""
        self._here = os.dup(self._root)
        self._missing = False  # the layer has no such folder; `_here` is the last that it has
        self._hidden = False  # what the layers below have there does not show

    def close(self) -> None:
        os.close(self._here)

    def at(self, path: str) -> str | None:
        """The text of the symlink at `path`; None: something else, or nothing."""
        parent, _, name = path.rpartition("/")
        self._go(parent)
        if not self._missing:
            try:
                status = os.stat(name, dir_fd=self._here, follow_symlinks=False)
            except FileNotFoundError:
                pass
            else:
                return os.readlink(name, dir_fd=self._here) if stat.S_ISLNK(status.st_mode) else None
        if self._hidden:
            return None
        found = self._lowers.lookup(path)
        return os.readlink(found.file) if found and stat.S_ISLNK(found.status.st_mode) else None

    def _go(self, folder: str) -> None:
        if folder == self._path:
            return
        above, _, name = folder.rpartition("/")
        if above == self._path:
            self._step(name)
        else:
            self.close()
            self._restart()
            for part in folder.split("/") if folder else ():
                self._step(part)
        self._path = folder

    def _step(self, name: str) -> None:
        if self._missing:
            return
        try:
            inner = os.open(name, OPEN_FOLDER, dir_fd=self._here)
        except OSError as error:
            self._missing = True
            self._hidden = self._hidden or error.errno == errno.ENOTDIR  # a file, or a whiteout
            return
        os.close(self._here)
        self._here = inner
        if not self._lowers.is_empty:
            self._hidden = self._hidden or self._opaque in os.listxattr(inner)
