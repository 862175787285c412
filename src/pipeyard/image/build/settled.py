"""Which folders of the build cache were on the disk for certain when the machine went down.

Nothing in the cache is synced: a build would wait for the disk at every step. The kernel writes everything out by
itself half a minute later. So a folder counts at once while the machine runs, and after a restart only if it was older
than that. (The other half of the cache, the blobs, is hashed again then.)
"""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec
from msgspec import Struct

from pipeyard.files import replace_file

_WRITTEN_AFTER_S = 120.0
"""The kernel begins after 30 s (vm.dirty_expire_centisecs) and looks every 5 s; the rest is for a slow disk."""

_NOTE_EVERY_S = 60.0
_NEVER = ("", 0.0)


class _Note(Struct, frozen=True, array_like=True):
    boot: str  # names the time from one start of the machine to the next
    until_s: float  # folders changed before this are on the disk


def forget_unsettled(
    root: Path,
    *,
    boot: str,
    now_s: float,
    alone: Callable[[], AbstractContextManager[None]],
    forget: Callable[[list[Path]], None],
) -> None:
    """Hands `forget`, once after a restart, the folders in `root/folders` that it may have damaged.

    Otherwise notes now and then how far all is well. `alone` keeps other builds from finding folders meanwhile.
    """
    note = _read(root / "settled")
    if note.boot == boot and abs(now_s - _WRITTEN_AFTER_S - note.until_s) < _NOTE_EVERY_S:
        return
    with alone():
        note = _read(root / "settled")
        until_s = now_s - _WRITTEN_AFTER_S
        if note.boot != boot:
            forget(_changed_since(root / "folders", note.until_s))
            until_s = now_s  # what is left was there before the restart
        with replace_file(root / "settled", durable=False) as out:
            out.write(msgspec.json.encode(_Note(boot, until_s)))


def _read(file: Path) -> _Note:
    try:
        return msgspec.json.decode(file.read_bytes(), type=_Note)
    except (OSError, msgspec.MsgspecError):
        return _Note(*_NEVER)


def _changed_since(folder: Path, since_s: float) -> list[Path]:
    with os.scandir(folder) as entries:
        return [Path(entry.path) for entry in entries if entry.stat(follow_symlinks=False).st_mtime >= since_s]
