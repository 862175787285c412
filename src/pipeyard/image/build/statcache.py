"""What was known of a folder's files the last time: a file whose size, times and inode are the same is not read again.

One file of the build cache for each context folder. It is a hint and never the truth: when it is damaged or of another
version, the files are read. A file that changed within the clock's grain before it was read is not trusted later, as
git does it ("racily clean").
"""

import hashlib
import os
from pathlib import Path

import msgspec
from msgspec import Struct

from pipeyard.files import replace_file

_VERSION = 2
_GRAIN_NS = 20_000_000  # file times have the grain of the kernel's tick, 10 ms at worst
_KEPT_FOLDERS = 200_000


class KnownFiles(Struct, frozen=True, array_like=True, gc=False):
    """The files of one folder, their status fields and their digests in the same order."""

    names: list[str]
    statuses: list[tuple[int, int, int, int]]
    digests: list[bytes]  # b"" for what is not to be trusted


class KnownFolder(Struct, frozen=True, array_like=True, gc=False):
    """One folder. Its files are decoded when one of them is asked for: of an unchanged folder nobody asks."""

    signature: bytes
    summary: bytes  # digest over everything that a key depends on; b"" when a digest is missing
    encoded: msgspec.Raw

    @property
    def files(self) -> KnownFiles:
        """None at all when what was kept cannot be read."""
        try:
            files = msgspec.msgpack.decode(self.encoded, type=KnownFiles)
        except msgspec.MsgspecError:
            return KnownFiles([], [], [])
        return files if len(files.names) == len(files.statuses) == len(files.digests) else KnownFiles([], [], [])


def known_folder(signature: bytes, files: KnownFiles, summary: bytes) -> KnownFolder:
    return KnownFolder(signature, summary, msgspec.Raw(msgspec.msgpack.encode(files)))


class _Stored(Struct, frozen=True, array_like=True):
    version: int
    root: str
    folders: dict[str, KnownFolder]


class StatCache:
    """Used by one build; `save` merges nothing, the last build wins."""

    def __init__(self, folder: Path, root: Path) -> None:
        self._root = os.fspath(root)
        self._file = folder / (hashlib.sha256(os.fsencode(self._root)).hexdigest()[:32] + ".stat")
        self.folders: dict[str, KnownFolder] = {}
        self.changed = False
        try:
            stored = msgspec.msgpack.decode(self._file.read_bytes(), type=_Stored)
            if stored.version == _VERSION and stored.root == self._root:
                self.folders = stored.folders
        except (OSError, msgspec.MsgspecError, ValueError):
            self.folders = {}

    def remember(self, path: str, known: KnownFolder) -> None:
        self.folders[path] = known
        self.changed = True

    def save(self) -> None:
        """Writes what was learnt; a cache that cannot be written is none."""
        if not self.changed:
            return
        if len(self.folders) > _KEPT_FOLDERS:
            self.folders.clear()
        data = msgspec.msgpack.encode(_Stored(_VERSION, self._root, self.folders))
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with replace_file(self._file, durable=False) as out:
                out.write(data)
        except OSError:
            return
        self.changed = False


def is_settled(status: os.stat_result, read_at_ns: int) -> bool:
    """Whether a later change of the file must show in its times, had it been read at that moment of the wall clock."""
    return max(status.st_mtime_ns, status.st_ctime_ns) + _GRAIN_NS < read_at_ns
