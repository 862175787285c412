"""A stack of layer folders as one real tree, and what a command changed in it.

For machines without overlayfs. A copy and never hard links: a command that writes into a linked file would write into
the layer. What changed is seen by inode and ctime, which the kernel sets at each change of content, name or attributes
and nobody without CAP_SYS_TIME can turn back; the copy is older than the command by at least one tick of that clock.
"""

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from pipeyard.image.layers import FolderStack, Found, form_of_this_process
from pipeyard.image.layers.stack import make_whiteout

_FICLONE = 0x40049409
Signature = tuple[int, ...]


def copy_stack(stack: FolderStack, target: Path) -> None:
    """The merged tree, with owners, modes, times, attributes and hard links, into the empty folder `target`."""
    linked: dict[tuple[int, int], str] = {}
    root = stack.lookup("")
    # Not by recursion: layers nest folders deeper than Python's stack.
    entered = [(_copy_folder(stack, "", os.fspath(target), linked), "", root)]
    while entered:
        contents, destination, source = entered[-1]
        inner = next(contents, None)
        if inner is not None:
            path, destination, found = inner
            entered.append((_copy_folder(stack, path, destination, linked), destination, found))
            continue
        entered.pop()
        if entered and source is not None:  # when nothing in it changes its time any more
            _copy_attributes(source.file, source.status, destination)
    if root is not None:
        _copy_attributes(root.file, root.status, os.fspath(target))


def _copy_folder(
    stack: FolderStack, path: str, target: str, linked: dict[tuple[int, int], str]
) -> Iterator[tuple[str, str, Found]]:
    """What is in one folder; gives the folders in it that were made, with where, to go on with."""
    for name in stack.names(path):
        inner = f"{path}/{name}" if path else name
        found = stack.lookup(inner)
        if found is None:
            continue
        destination = f"{target}/{name}"
        if found.is_folder:
            os.mkdir(destination)
            yield inner, destination, found
        else:
            copy_file(found.file, found.status, destination, linked)


def copy_file(source: str, status: os.stat_result, target: str, linked: dict[tuple[int, int], str]) -> None:
    """Anything but a folder; `linked` remembers inodes with several names."""
    if status.st_nlink > 1:
        inode = (status.st_dev, status.st_ino)
        first = linked.setdefault(inode, target)
        if first != target:
            os.link(first, target, follow_symlinks=False)
            return
    mode = status.st_mode
    if stat.S_ISLNK(mode):
        os.symlink(os.readlink(source), target)
    elif stat.S_ISREG(mode):
        _copy_content(source, target)
    else:
        os.mknod(target, mode, status.st_rdev)
    _copy_attributes(source, status, target)


def _copy_content(source: str, target: str) -> None:
    import fcntl

    with open(source, "rb") as old, open(target, "xb") as new:
        try:
            fcntl.ioctl(new.fileno(), _FICLONE, old.fileno())
        except OSError:
            shutil.copyfileobj(old, new, 1 << 20)


def _copy_attributes(source: str, status: os.stat_result, target: str) -> None:
    os.chown(target, status.st_uid, status.st_gid, follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(target, stat.S_IMODE(status.st_mode))
    try:
        names = os.listxattr(source, follow_symlinks=False)
    except OSError:
        names = []
    for name in names:
        if name.startswith(("trusted.overlay.", "user.overlay.")):
            continue
        try:
            os.setxattr(target, name, os.getxattr(source, name, follow_symlinks=False), follow_symlinks=False)
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.EPERM):
                raise
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)


def signatures(root: Path) -> dict[str, Signature]:
    """Of everything in a tree: what differs when a thing was changed in any way, or replaced."""
    found: dict[str, Signature] = {}
    folders = [""]
    while folders:
        for path, signature in _signatures(os.fspath(root), folders.pop()):
            found[path] = signature
            if stat.S_ISDIR(signature[2]):
                folders.append(path)
    return found


def _signatures(root: str, path: str) -> Iterator[tuple[str, Signature]]:
    with os.scandir(f"{root}/{path}" if path else root) as entries:
        for entry in entries:
            inner = f"{path}/{entry.name}" if path else entry.name
            status = entry.stat(follow_symlinks=False)
            yield inner, (status.st_ino, status.st_dev, status.st_mode, status.st_ctime_ns, status.st_size)


def wait_for_next_tick(folder: Path) -> None:
    """Returns when a change made now gets a later ctime than any before the call: some milliseconds."""
    probe = folder / f".tick-{os.getpid()}-{os.urandom(4).hex()}"
    probe.touch()
    try:
        begin = probe.stat().st_ctime_ns
        while probe.stat().st_ctime_ns == begin:
            probe.chmod(0o600)
    finally:
        probe.unlink()


def save_changes(
    root: Path, before: dict[str, Signature], after: dict[str, Signature], stack: FolderStack, upper: Path
) -> None:
    """Writes what changed between the two into `upper`, in overlayfs' form."""
    linked: dict[tuple[int, int], str] = {}
    folders: list[str] = []
    links = _link_groups(after)
    changed = {path for path, signature in after.items() if before.get(path) != signature}
    for path in tuple(changed):
        changed.update(links.get(path, ()))
    for path in sorted(changed):
        source = f"{root}/{path}"
        status = os.lstat(source)
        if stat.S_ISSOCK(status.st_mode):
            continue
        below = stack.lookup(path)
        if stat.S_ISDIR(status.st_mode):
            if below is None or not below.is_folder or not _same_folder(below, status):
                _parents(path, upper, folders)
                _folder(path, upper, folders)
        elif below is None or status.st_nlink > 1 or not _same_file(below, source, status):
            _parents(path, upper, folders)
            copy_file(source, status, f"{upper}/{path}", linked)
    gone = sorted(path for path in before if path not in after)
    for path in gone:
        parent = path.rpartition("/")[0]
        if parent and parent not in after:
            continue  # goes with its folder
        if parent and not stat.S_ISDIR(os.lstat(root / parent).st_mode):
            continue
        if stack.lookup(path) is not None:
            _parents(path, upper, folders)
            make_whiteout(f"{upper}/{path}", form_of_this_process().overlay_prefix)
    for path in sorted(folders, reverse=True):
        _copy_attributes(f"{root}/{path}", os.lstat(root / path), f"{upper}/{path}")


def _link_groups(after: dict[str, Signature]) -> dict[str, list[str]]:
    """Paths of one inode belong together: when one is in the layer, all are."""
    groups: dict[tuple[int, int], list[str]] = {}
    for path, (inode, device, mode, *_) in after.items():
        if not stat.S_ISDIR(mode):
            groups.setdefault((inode, device), []).append(path)
    return {path: paths for paths in groups.values() if len(paths) > 1 for path in paths}


def _parents(path: str, upper: Path, folders: list[str]) -> None:
    parts = path.split("/")[:-1]
    for count in range(1, len(parts) + 1):
        _folder("/".join(parts[:count]), upper, folders)


def _folder(path: str, upper: Path, folders: list[str]) -> None:
    try:
        os.mkdir(upper / path)
    except FileExistsError:
        return
    folders.append(path)


def _same_folder(below: Found, status: os.stat_result) -> bool:
    old = below.status
    return (old.st_mode, old.st_uid, old.st_gid) == (status.st_mode, status.st_uid, status.st_gid)


def _same_file(below: Found, source: str, status: os.stat_result) -> bool:
    old = below.status
    for field in ("st_mode", "st_uid", "st_gid", "st_size", "st_mtime_ns", "st_rdev"):
        if getattr(old, field) != getattr(status, field):
            return False
    if stat.S_ISLNK(status.st_mode):
        return os.readlink(below.file) == os.readlink(source)
    if not stat.S_ISREG(status.st_mode):
        return True
    if set(os.listxattr(below.file)) != set(os.listxattr(source)):
        return False
    if any(os.getxattr(below.file, name) != os.getxattr(source, name) for name in os.listxattr(source)):
        return False
    import filecmp

    return filecmp.cmp(below.file, source, shallow=False)
