"""Looks into a stack of layer folders as overlayfs would merge them, without mounting anything."""

import errno
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct

_OPAQUE = ("trusted.overlay.opaque", "user.overlay.opaque")
_WHITEOUT = ("trusted.overlay.whiteout", "user.overlay.whiteout")
_MAX_LINKS = 255
_MAX_HEIGHT = 60  # stacks on stacks look things up in each other: Python counts how deep
_MAX_KNOWN = 500


class Found(Struct, frozen=True):
    """`file` is where the thing lies; of a folder, `folders` are all that make it up, the uppermost first."""

    file: str
    status: os.stat_result
    folders: tuple[str, ...] = ()

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.status.st_mode)


class FolderStack:
    """Folders, the lowest first, that nobody changes while this object lives. Safe for threads."""

    def __init__(self, folders: Sequence[Path | str]) -> None:
        # A folder that comes twice counts where it is uppermost: what it has there hides its own lower self.
        unique = list(dict.fromkeys(os.fspath(folder) for folder in reversed(folders)))
        # What was looked at: which folders make up a folder of the tree, and the first lookups. It never changes.
        self._merged: dict[str, tuple[str, ...]] = {"": tuple(unique)}
        self._known: dict[str, Found | None] = {}
        self._below: FolderStack | None = None  # the same without the uppermost folder
        self._height = 0  # so many are below each other

    def grown(self, folder: Path | str) -> "FolderStack":
        """With one more folder on top: what is known of the others is not looked up again."""
        top, below = os.fspath(folder), self._merged[""]
        if top in below or self._height == _MAX_HEIGHT:
            return FolderStack([*reversed(below), top])
        stack = FolderStack(())
        stack._merged[""] = (top, *below)
        stack._below = self
        stack._height = self._height + 1
        return stack

    def lookup(self, path: str) -> Found | None:
        """What is at `path` (relative, no symlink is followed), or None."""
        if not path:
            folders = self._merged[""]
            return Found(folders[0], os.lstat(folders[0]), folders) if folders else None
        if path in self._known:
            return self._known[path]
        parent, _, name = path.rpartition("/")
        folders = self._folders(parent)
        found = _search(folders, name) if self._below is None else self._on_top(folders, parent, name, self._below)
        if found is not None and found.folders:
            self._merged[path] = found.folders
        if len(self._known) < _MAX_KNOWN:
            self._known[path] = found
        return found

    def _on_top(self, folders: tuple[str, ...], parent: str, name: str, below: "FolderStack") -> Found | None:
        """The same, where only the uppermost folder has to be looked into. `folders` make up the parent."""
        top = f"{self._merged[''][0]}/{parent}" if parent else self._merged[""][0]
        if not folders or folders[0] != top:
            return _search(folders, name)
        path, file = f"{parent}/{name}" if parent else name, f"{top}/{name}"
        try:
            status = os.lstat(file)
        except FileNotFoundError:
            return below.lookup(path) if len(folders) > 1 else None
        if len(folders) == 1 or not stat.S_ISDIR(status.st_mode) or is_overlay_opaque(file):
            return _search(folders[:1], name)
        rest = below.lookup(path)
        return Found(file, status, (file, *(rest.folders if rest is not None else ())))

    def _folders(self, path: str) -> tuple[str, ...]:
        known = self._merged.get(path)
        if known is not None:
            return known
        # From the nearest that is known downwards, not by recursion: paths are as deep as a hostile layer likes.
        unknown, above = [path], path.rpartition("/")[0]
        while (known := self._merged.get(above)) is None:
            unknown.append(above)
            above = above.rpartition("/")[0]
        while unknown and known:
            above = unknown.pop()
            found = self.lookup(above)
            known = self._merged[above] = found.folders if found else ()
        if unknown:
            self._merged[path] = ()
        return known

    @property
    def is_empty(self) -> bool:
        return not self._merged[""]

    def names(self, path: str) -> list[str]:
        """Sorted names in a folder of the merged tree; none when it is no folder."""
        found: dict[str, bool] = {}
        for folder in self._folders(path):
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        if entry.name not in found:
                            found[entry.name] = not is_overlay_whiteout(entry.path, entry.stat(follow_symlinks=False))
            except NotADirectoryError:
                break
        return sorted(name for name, there in found.items() if there)

    def resolve(self, path: str, *, follow_last: bool = True) -> str:
        """The path without symlinks, resolved within the tree as after a chroot; parts that are missing stay as given.

        Raises OSError (ELOOP) when there are too many links.
        """
        return resolve_links(path, self._link, follow_last=follow_last)

    def _link(self, path: str) -> str | None:
        found = self.lookup(path)
        return os.readlink(found.file) if found and stat.S_ISLNK(found.status.st_mode) else None


def _search(folders: Sequence[str], name: str) -> Found | None:
    """A name in what makes up one folder, the uppermost first."""
    found: Found | None = None
    made_of: list[str] = []
    for folder in folders:
        file = f"{folder}/{name}"
        try:
            status = os.lstat(file)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if is_overlay_whiteout(file, status):
            break
        if not stat.S_ISDIR(status.st_mode):
            if found is None:
                return Found(file, status)
            break
        made_of.append(file)
        found = found or Found(file, status)
        if is_overlay_opaque(file):
            break
    return Found(found.file, found.status, tuple(made_of)) if found is not None else None


def resolve_links(path: str, link: Callable[[str], str | None], *, follow_last: bool = True) -> str:
    """Resolves symlinks and `..` within a tree whose links `link` reads (None: not a link); never leaves its root."""
    done: list[str] = []
    todo = [part for part in reversed(path.split("/")) if part not in ("", ".")]
    links = 0
    while todo:
        part = todo.pop()
        if part == "..":
            if done:
                done.pop()
            continue
        here = "/".join([*done, part])
        text = link(here) if todo or follow_last else None
        if text is None:
            done.append(part)
            continue
        links += 1
        if links > _MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        if text.startswith("/"):
            done.clear()
        todo.extend(piece for piece in reversed(text.split("/")) if piece not in ("", "."))
    return "/".join(done)


def is_overlay_whiteout(file: str, status: os.stat_result) -> bool:
    """A character device 0/0, or an empty file that an attribute marks."""
    if stat.S_ISCHR(status.st_mode):
        return status.st_rdev == 0
    if stat.S_ISREG(status.st_mode) and status.st_size == 0:
        return any(has_xattr(file, name) for name in _WHITEOUT)
    return False


def make_whiteout(file: str, prefix: str) -> None:
    """Removes the name for those who look through the stack. `prefix` is the overlay attributes' (Form.overlay_prefix).

    A device where one can be made; overlayfs itself, a container's root, refuses this one, and gets a marked file.
    """
    try:
        os.mknod(file, stat.S_IFCHR, 0)
    except PermissionError:
        # Readable and writable by its owner: who is not root may mark and read the marks of no other file.
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        os.setxattr(file, prefix + "whiteout", b"y", follow_symlinks=False)


def is_overlay_opaque(file: str) -> bool:
    """A folder that hides what is below it."""
    for name in _OPAQUE:
        try:
            if os.getxattr(file, name, follow_symlinks=False) == b"y":
                return True
        except OSError:
            continue
    return False


def has_xattr(file: str, name: str) -> bool:
    try:
        os.getxattr(file, name, follow_symlinks=False)
    except OSError:
        return False
    return True
