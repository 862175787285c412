"""The folders that a home's processes work in, and what killed ones left there.

Who works under `work` holds a shared lock that the kernel frees however the process dies. Whoever gets it alone knows
that nobody works, so that everything under `work` was left by the dead and goes.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeyard.files import private_folder

_TRIAL_S = 600.0  # a sandbox is tried out in milliseconds


@contextmanager
def working(home: Path) -> Iterator[None]:
    """For a block that works under `home/work`. Any number of threads and processes may be in one at a time."""
    try:
        private_folder(home)
        descriptor = os.open(home / "work.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        yield  # a home that may only be read: nobody works there
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        else:
            left = _set_aside(home)
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            if left:
                from shutil import rmtree

                for folder in left:
                    rmtree(folder, ignore_errors=True)
        yield
    finally:
        os.close(descriptor)


def _set_aside(home: Path) -> list[Path]:
    """What may be removed, under names that nobody works in; one that was killed while it removed leaves them so."""
    work = home / "work"
    if work.is_dir() and any(work.iterdir()):
        work.rename(home / f".work-{os.urandom(16).hex()}")
    before = time.time() - _TRIAL_S
    trials = [each for each in (home / "cache" / "sandbox").glob("trial-*") if each.stat().st_mtime < before]
    return [*home.glob(".work-*"), *trials]
