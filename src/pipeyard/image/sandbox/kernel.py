"""The few system calls that Python 3.11 does not offer."""

import ctypes
import os
from functools import cache

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000

MS_NOSUID = 2
MS_NODEV = 4
MS_REC = 16384
MS_PRIVATE = 1 << 18


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def unshare(flags: int) -> None:
    """Of the calling thread only. Raises OSError."""
    _checked(_libc().unshare(flags), "unshare")


def mount(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> None:
    """mount(2). Raises OSError naming the target."""
    data = os.fsencode(options) if options else None
    result = _libc().mount(os.fsencode(source), os.fsencode(target), kind.encode() or None, ctypes.c_ulong(flags), data)
    _checked(result, target)


def prctl(option: int, first: int, second: int = 0) -> None:
    """prctl(2) of the calling thread, its last arguments zero. Raises OSError."""
    arguments = [ctypes.c_ulong(value) for value in (first, second, 0, 0)]
    _checked(_libc().prctl(option, *arguments), f"prctl {option}")
