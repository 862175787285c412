"""Files that are whole or absent, and locks that the kernel frees when their holder dies."""

import errno
import fcntl
import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replace_file(path: Path, *, durable: bool, mode: int = 0o644) -> Iterator[BinaryIO]:
    """Writes beside `path` and renames over it when the block ends well; an exception leaves the old file untouched.

    `durable`: the bytes and the name survive a power failure (two fsyncs). A killed writer leaves only a file whose
    name begins with `.tmp-`, which `sweep_temporaries` removes.
    """
    temporary = path.parent / f".tmp-{uuid.uuid4().hex}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as out:
            yield out
            out.flush()
            if durable:
                os.fsync(out.fileno())
        os.rename(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def private_folder(path: Path) -> None:
    """Makes a folder that only its owner enters, and the ones above it as usual; one that is there stays as it is."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)


def read_regular(path: Path, limit: int) -> bytes:
    """A file's content when it is a regular file of at most `limit` bytes.

    Pipes and devices, also behind links, are refused instead of waited for. Raises OSError: EINVAL for what is no
    regular file, EFBIG for one that is larger.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit} bytes", str(path))
    return data


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_LEVELS = 100  # of folders held open at once, and of Python's own stack
_INNER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(folder: str | Path, *, dir_fd: int | None = None) -> None:
    """Removes a folder, which may be nested deeper than Python's stack, the number of open files or a path allows.

    What lies too deep is moved up into `folder` and removed from there. Links are not followed. Raises OSError for the
    first thing that stays, when all that can go is gone; FileNotFoundError when there is no folder.
    """
    top = os.open(folder, _INNER, dir_fd=dir_fd)
    failed: list[OSError] = []
    try:
        while _emptied(top, top, _LEVELS, failed):
            failed.clear()
    finally:
        os.close(top)
    if failed:
        raise failed[0]
    os.rmdir(folder, dir_fd=dir_fd)


def _emptied(folder: int, top: int, levels: int, failed: list[OSError]) -> bool:
    """True when something was moved up, and the top has to be emptied again."""
    moved = False
    with os.scandir(folder) as entries:
        inner = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_folder in inner:
        try:
            if not is_folder:
                os.unlink(name, dir_fd=folder)
            elif levels == 0:
                os.rename(name, f".deep-{uuid.uuid4().hex}", src_dir_fd=folder, dst_dir_fd=top)
                moved = True
            else:
                child = os.open(name, _INNER, dir_fd=folder)
                try:
                    moved = _emptied(child, top, levels - 1, failed) or moved
                finally:
                    os.close(child)
                os.rmdir(name, dir_fd=folder)
        except OSError as error:
            failed.append(error)
    return moved


def sweep_temporaries(folder: Path, older_than_s: float, now_s: float) -> int:
    """Removes what killed writers left in a folder; gives how many. Living writers of younger files are safe."""
    removed = 0
    for entry in os.scandir(folder):
        if not entry.name.startswith(".tmp-"):
            continue
        try:
            if now_s - entry.stat(follow_symlinks=False).st_mtime > older_than_s:
                os.unlink(entry.path)
                removed += 1
        except FileNotFoundError:
            continue  # its writer finished meanwhile
    return removed


@contextmanager
def locked(path: Path, *, shared: bool = False, wait: bool = True) -> Iterator[bool]:
    """Holds an flock on `path` (made when missing) for the block; without `wait`, gives False when it is taken.

    The kernel frees the lock when the process dies, however it dies.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)
