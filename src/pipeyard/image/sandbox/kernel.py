"""The few system calls that Python 3.11 does not offer."""

import ctypes
import os
import platform
import struct
from collections.abc import Sequence
from functools import cache

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000

PR_SET_NO_NEW_PRIVS = 38

_OPENAT2 = 437  # the same on every architecture
_RESOLVE_NO_MAGICLINKS, _RESOLVE_IN_ROOT = 0x02, 0x10

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_REMOUNT = 32
MS_BIND = 4096
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


def system_call(number: int, *arguments: "int | bytes | None") -> int:
    """syscall(2), for calls that no library of this age has; negative when it failed."""
    given = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    return int(_libc().syscall(ctypes.c_long(number), *given))


def open_within(root: int, path: str) -> int:
    """A descriptor (O_PATH) of what lies below an open folder, which no symlink leads out of. Raises OSError."""
    how = struct.pack("QQQ", os.O_PATH | os.O_CLOEXEC, 0, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)
    result = system_call(_OPENAT2, root, os.fsencode(path), how, len(how))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return result


def prctl(option: int, first: int, second: int = 0) -> None:
    """prctl(2) of the calling thread, its last arguments zero. Raises OSError."""
    arguments = [ctypes.c_ulong(value) for value in (first, second, 0, 0)]
    _checked(_libc().prctl(option, *arguments), f"prctl {option}")


_SETGROUPS_SETRESGID = {"x86_64": (116, 119), "aarch64": (159, 149)}  # the kernel's syscall tables


def become_group(gid: int, groups: Sequence[int] | None) -> bool:
    """Gives the calling thread alone these groups (None: leaves the supplementary ones), for what it starts.

    The C library's functions would change all threads. False, and nothing happens, on a machine whose numbers we do
    not know. Raises OSError.
    """
    numbers = _SETGROUPS_SETRESGID.get(platform.machine())
    if numbers is None:
        return False
    setgroups, setresgid = (ctypes.c_long(number) for number in numbers)
    if groups is not None:
        array = (ctypes.c_uint32 * len(groups))(*groups)
        _checked(_libc().syscall(setgroups, ctypes.c_size_t(len(groups)), array), "setgroups")
    if gid:
        _checked(_libc().syscall(setresgid, *[ctypes.c_uint32(gid)] * 3), "setresgid")
    return True
