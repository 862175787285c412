"""Leases: while one is held, nothing that was used since it began is collected. A dead holder's lease ends by itself.

A lease is a file whose holder has it flocked, so the kernel ends the lease of a killed process; its name carries
the moment at which it began.
"""

import fcntl
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def hold_lease(folder: Path, now_ms: int) -> Iterator[None]:
    """Protects everything used from now to the end of the block."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{now_ms}-{uuid.uuid4().hex}"
    # Locked under a name that the scan ignores, and only then made visible: a scan between the creation and the
    # lock would take it for a dead one.
    hidden = folder / f".{path.name}"
    descriptor = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.rename(hidden, path)
        yield
    finally:
        path.unlink(missing_ok=True)
        hidden.unlink(missing_ok=True)
        os.close(descriptor)


def oldest_lease_ms(folder: Path) -> int | None:
    """When the oldest living lease began, or None. Removes the leases of the dead."""
    oldest: int | None = None
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return None
    for name in names:
        began, _, rest = name.partition("-")
        if not rest or not began.isdigit():
            continue
        try:
            descriptor = os.open(folder / name, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            # Shared: of two that look at a dead one at once, neither takes the other for its holder.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            (folder / name).unlink(missing_ok=True)
        except BlockingIOError:
            oldest = int(began) if oldest is None else min(oldest, int(began))
        finally:
            os.close(descriptor)
    return oldest
