"""Entries as files on disk, in a folder that overlayfs takes as a layer, for the RUN that must see them."""

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from pipeyard.image.layers.entry import Entry
from pipeyard.image.layers.powers import OWNER_XATTR, Form, form_of_this_process
from pipeyard.threads import NEVER, Stop

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def lay_out(
    entries: Iterable[Entry], folder: Path, *, epoch_ns: int, form: Form | None = None, stop: Stop = NEVER
) -> int:
    """Writes entries, parents before children, into `folder`, which is empty and ours alone; gives their bytes.

    Times clamp to `epoch_ns`, so that a RUN sees the times that the image will have.
    """
    form = form or form_of_this_process()
    root = os.fspath(folder)
    times: list[tuple[str, int]] = []
    total = 0
    for entry in entries:
        path = f"{root}/{entry.path}" if entry.path else root
        mtime = min(entry.mtime_ns, epoch_ns)
        if entry.kind == "dir":
            if entry.path:
                _make_folder(path)
            os.chmod(path, entry.mode)
            times.append((path, mtime))
        elif entry.kind == "file":
            stop.check()
            total += entry.size
            _write_file(path, entry, mtime)
        elif entry.kind == "symlink":
            _make_parent(path)
            os.symlink(entry.link, path)
            os.utime(path, ns=(mtime, mtime), follow_symlinks=False)
        elif entry.kind == "hardlink":
            os.link(f"{root}/{entry.link}", path, follow_symlinks=False)
            continue
        elif entry.kind == "fifo":
            os.mkfifo(path, 0o600)
            os.chmod(path, entry.mode)
            os.utime(path, ns=(mtime, mtime))
        elif form.makes_devices:
            kind = stat.S_IFCHR if entry.kind == "char" else stat.S_IFBLK
            os.mknod(path, kind | 0o600, os.makedev(*entry.device))
            os.chmod(path, entry.mode)
        else:
            continue
        _own(path, entry, form)
    for path, mtime in reversed(times):
        os.utime(path, ns=(mtime, mtime))
    return total


def _make_folder(path: str) -> None:
    try:
        os.mkdir(path, 0o700)
    except FileNotFoundError:
        _make_parent(path)
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass


def _make_parent(path: str) -> None:
    """A parent that the entries do not name."""
    parent = os.path.dirname(path)
    if not os.path.isdir(parent):
        os.makedirs(parent, 0o755, exist_ok=True)


def _write_file(path: str, entry: Entry, mtime: int) -> None:
    try:
        file = os.open(path, _NEW, 0o600)
    except FileNotFoundError:
        _make_parent(path)
        file = os.open(path, _NEW, 0o600)
    try:
        content = entry.content
        if isinstance(content, bytes):
            os.write(file, content)
        elif isinstance(content, str):
            _copy_from(content, file)
        else:
            with content() as source:
                while data := source.read(1 << 20):
                    os.write(file, data)
        os.fchmod(file, entry.mode)
        os.utime(file, ns=(mtime, mtime))
    finally:
        os.close(file)


def _copy_from(path: str, file: int) -> None:
    source = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        size = os.fstat(source).st_size
        while size > 0:
            count = os.copy_file_range(source, file, size)
            if count == 0:
                break
            size -= count
    finally:
        os.close(source)


def _own(path: str, entry: Entry, form: Form) -> None:
    if form.keeps_owners:
        if entry.uid or entry.gid or os.geteuid():
            os.chown(path, entry.uid, entry.gid, follow_symlinks=False)
            if entry.kind in ("file", "dir") and entry.mode & 0o6000:
                os.chmod(path, entry.mode)  # chown takes setuid and setgid away
    elif (entry.uid, entry.gid) != (0, 0) and entry.kind in ("file", "dir"):
        os.setxattr(path, OWNER_XATTR, b"%d:%d" % (entry.uid, entry.gid))
    for name, value in entry.xattrs.items():
        try:
            os.setxattr(path, name, value, follow_symlinks=False)
        except OSError:  # what this file system or user cannot keep is left out, as everywhere
            continue
