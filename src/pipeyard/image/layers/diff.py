"""What a RUN changed: the upper folder of an overlay as the entries of a layer.

Which copied-up things are left out is BuildKit's rule (util/overlay): a folder whose mode, owner and capabilities are
those below it was copied up only because of something in it; a file additionally needs the same size and time, and the
same content (which BuildKit compares only where both times are whole seconds).
"""

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from pipeyard.errors import BuildFailed
from pipeyard.image.layers.entry import Entry, Kind, layer_order, whiteout
from pipeyard.image.layers.powers import OWNER_XATTR, Form, form_of_this_process, owner_of
from pipeyard.image.layers.stack import FolderStack, Found, has_xattr, is_overlay_opaque, is_overlay_whiteout

Owner = Callable[[str, os.stat_result], tuple[int, int]]

_OVERLAY = ("trusted.overlay.", "user.overlay.")
_CAPABILITY = "security.capability"


def diff_upper(
    upper: Path, lowers: Sequence[Path] | FolderStack, *, form: Form | None = None, run_owner: tuple[int, int] = (0, 0)
) -> list[Entry]:
    """The layer's entries, in its order, of an `upper` folder that nothing writes to any more; empty: nothing changed.

    `lowers` as they were mounted, the lowest first. `run_owner`: to whom new files belong where the process has one id
    only (the user of the RUN); it is written down on them, because `upper` is the next RUN's lower.
    Sockets are left out. Raises BuildFailed when overlayfs ran with redirect_dir or metacopy.
    """
    chosen = form or form_of_this_process()
    stack = lowers if isinstance(lowers, FolderStack) else FolderStack(lowers)
    return sorted(_Diff(upper, stack, chosen, run_owner).walk(), key=layer_order)


class _Inner(Struct, frozen=True):
    """A folder to go on with."""

    path: str
    opaque: bool


class _Diff:
    def __init__(self, upper: Path, lowers: FolderStack, form: Form, run_owner: tuple[int, int]) -> None:
        self._upper = os.fspath(upper)
        self._lowers = lowers
        self._form = form
        self._run_owner = run_owner
        self._inodes: dict[tuple[int, int], str] = {}

    def walk(self) -> Iterator[Entry]:
        """Changes in all folders, each one's before those in what follows it."""
        # Not by recursion: a command nests folders deeper than Python's stack.
        entered = [self._folder("", opaque=False)]
        while entered:
            found = next(entered[-1], None)
            if found is None:
                entered.pop()
            elif isinstance(found, Entry):
                yield found
            else:
                entered.append(self._folder(found.path, opaque=found.opaque))

    def _folder(self, folder: str, *, opaque: bool) -> "Iterator[Entry | _Inner]":
        """Changes in one folder; within an opaque one, what is below it and missing here was deleted."""
        here = f"{self._upper}/{folder}" if folder else self._upper
        with os.scandir(here) as entries:
            listing = sorted(entries, key=lambda entry: entry.name)
        seen: set[str] = set()
        for found in listing:
            path = f"{folder}/{found.name}" if folder else found.name
            status = found.stat(follow_symlinks=False)
            if is_overlay_whiteout(found.path, status):
                if not opaque and self._lowers.lookup(path) is not None:
                    yield whiteout(path)
                continue
            seen.add(found.name)
            yield from self._changed(path, found.path, status, opaque)
        if opaque:
            for name in self._lowers.names(folder):
                if name not in seen:
                    yield whiteout(f"{folder}/{name}")

    def _changed(self, path: str, file: str, status: os.stat_result, opaque: bool) -> "Iterator[Entry | _Inner]":
        kind = _kind(status)
        if kind is None:
            return
        below = self._lowers.lookup(path)
        xattrs = self._xattrs(file)
        if below is None or not self._same(below, file, status, xattrs):
            yield self._entry(path, kind, file, status, xattrs, below)
        self._make_readable(file, status, kind)
        if kind == "dir":
            hides = below is not None and below.is_folder and (opaque or is_overlay_opaque(file))
            yield _Inner(path, hides)

    def _entry(
        self, path: str, kind: Kind, file: str, status: os.stat_result, xattrs: dict[str, bytes], below: Found | None
    ) -> Entry:
        uid, gid = self._owner(file, status, kind, below)
        mode = stat.S_IMODE(status.st_mode)
        if kind != "dir" and status.st_nlink > 1:
            inode = (status.st_dev, status.st_ino)
            first = self._inodes.setdefault(inode, path)
            if first != path:
                return Entry(
                    path=path, kind="hardlink", mode=mode, uid=uid, gid=gid, mtime_ns=status.st_mtime_ns, link=first
                )
        return Entry(
            path=path, kind=kind, mode=mode, uid=uid, gid=gid, mtime_ns=status.st_mtime_ns,
            size=status.st_size if kind == "file" else 0,
            link=os.readlink(file) if kind == "symlink" else "",
            device=(os.major(status.st_rdev), os.minor(status.st_rdev)) if kind in ("char", "block") else (0, 0),
            xattrs=xattrs, content=file,
        )  # fmt: skip

    def _make_readable(self, file: str, status: os.stat_result, kind: Kind) -> None:
        """What root of a single-id namespace made unreadable (`/etc/shadow` is 0000 in some distributions) stays so for
        us outside of it, who own it without capabilities. The entry keeps the true mode; the file on disk gets ours.
        """
        needed = {"file": 0o400, "dir": 0o700}.get(kind, 0)
        if not self._form.keeps_owners and os.geteuid() != 0 and status.st_mode & needed != needed:
            os.chmod(file, stat.S_IMODE(status.st_mode) | needed)

    def _owner(self, file: str, status: os.stat_result, kind: Kind, below: Found | None) -> tuple[int, int]:
        if self._form.keeps_owners:
            return owner_of(file, status, self._form)
        if kind not in ("file", "dir"):
            return self._run_owner
        try:
            uid, _, gid = os.getxattr(file, OWNER_XATTR, follow_symlinks=False).partition(b":")
            return int(uid), int(gid)
        except (OSError, ValueError):
            pass
        owner = self._run_owner
        if below is not None and (below.is_folder if kind == "dir" else _is_copied_up(file)):
            owner = owner_of(below.file, below.status, self._form)
        try:
            os.setxattr(file, OWNER_XATTR, b"%d:%d" % owner, follow_symlinks=False)
        except PermissionError:  # a file without write permission for us, outside of a user namespace
            pass
        return owner

    def _xattrs(self, file: str) -> dict[str, bytes]:
        """The attributes that belong into an image. Overlayfs' own notes are checked and left out."""
        try:
            names = os.listxattr(file, follow_symlinks=False)
        except OSError:
            return {}
        if not names:
            return {}
        found: dict[str, bytes] = {}
        for name in names:
            if name.startswith(_OVERLAY):
                if name.endswith((".redirect", ".metacopy")):
                    raise BuildFailed(
                        f"overlayfs left {name} on {file}, which this builder cannot read",
                        hint="switch the overlay module's redirect_dir and metacopy off",
                    )
                continue
            if name.startswith(("user.pipeyard.", "security.selinux", "system.posix_acl", "system.nfs4_acl")):
                continue
            if name.startswith(("user.", _CAPABILITY)):
                found[name] = os.getxattr(file, name, follow_symlinks=False)
        return found

    def _same(self, below: Found, file: str, status: os.stat_result, xattrs: dict[str, bytes]) -> bool:
        old = below.status
        if old.st_mode != status.st_mode or old.st_rdev != status.st_rdev:
            return False
        if owner_of(below.file, old, self._form) != self._owner(file, status, _kind(status) or "file", below):
            return False
        if self._xattrs(below.file).get(_CAPABILITY) != xattrs.get(_CAPABILITY):
            return False
        if stat.S_ISDIR(status.st_mode):
            return True
        if old.st_size != status.st_size or old.st_mtime_ns != status.st_mtime_ns:
            return False
        if stat.S_ISLNK(status.st_mode):
            return os.readlink(below.file) == os.readlink(file)
        return not stat.S_ISREG(status.st_mode) or _same_content(below.file, file)


def _is_copied_up(file: str) -> bool:
    """Whether overlayfs made this file from the one below it; a file made anew carries no such note."""
    return any(has_xattr(file, prefix + "origin") for prefix in _OVERLAY)


def _kind(status: os.stat_result) -> Kind | None:
    mode = status.st_mode
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "dir"
    if stat.S_ISLNK(mode):
        return "symlink"
    if stat.S_ISCHR(mode):
        return "char"
    if stat.S_ISBLK(mode):
        return "block"
    return "fifo" if stat.S_ISFIFO(mode) else None


def _same_content(one: str, other: str) -> bool:
    with open(one, "rb", buffering=0) as first, open(other, "rb", buffering=0) as second:
        while True:
            data = first.read(1 << 18)
            if data != second.read(1 << 18):
                return False
            if not data:
                return True
