"""The build cache: which key gave which layer, and the folders that layers were laid out in.

    records/ab/<key>    what a step gave; written whole by a rename, its time is its last use
    aliases/ab/<key>    another key of the same step
    folders/<id>/fs     a layer laid out, as overlayfs takes it; unknown to every record until it is complete
    leases/<id>         locked by a running build, one line for each folder or record that it relies on
    trash/              what was removed, while it is being deleted
    settled             up to when folders would survive a power failure
    guard               shared while something is found and leased, exclusive while it is decided what may go

A killed build leaves a lease that nobody holds and folders that nothing names; pruning removes both.
"""

import fcntl
import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec import Struct

from pipeyard.files import remove_tree, replace_file
from pipeyard.image.build.placement import scatter
from pipeyard.image.build.settled import forget_unsettled
from pipeyard.oci import Descriptor, Digest
from pipeyard.registry.blob_files import boot_id

_ORPHAN_AGE_S = 600.0


class Record(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a step gave. A step of a stage that is in no image has a folder and no blob."""

    blob: Descriptor | None = None
    diff_id: Digest | None = None
    size: int = 0  # bytes of the layer's tar stream, or about the folder's
    folder: str = ""
    listing: bool = False  # the layer's entries are in listings/


class BuildCache:
    """One cache folder, for one build at a time of this object; any number of processes may use the folder."""

    def __init__(self, root: Path, powers: str = "root") -> None:
        """`powers` of this process: folders that one of other powers wrote are not for it."""
        self.root = root
        self._powers = powers
        self._lock = threading.Lock()  # guards _guard, _lease and what was leased: flock knows no threads
        self._guard = -1
        self._lease: BinaryIO | None = None
        self._leased: set[str] = set()

    @contextmanager
    def lease(self) -> Iterator["BuildCache"]:
        """For the time of a build: what it finds and makes stays."""
        for name in ("records", "aliases", "folders", "leases"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        scatter(self.root / "folders")
        path = self.root / "leases" / uuid.uuid4().hex
        self._guard = os.open(self.root / "guard", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            with self._guarded(), open(path, "wb", buffering=0) as lease:
                fcntl.flock(lease, fcntl.LOCK_EX)
                self._lease = open(os.dup(lease.fileno()), "ab", buffering=0)  # noqa: SIM115 -- closed below
            try:
                alone = partial(self._guarded, exclusive=True)
                forget_unsettled(self.root, boot=boot_id(), now_s=time.time(), alone=alone, forget=self._forget_unused)
                yield self
            finally:
                path.unlink(missing_ok=True)
                self._lease.close()
                self._lease = None
        finally:
            os.close(self._guard)
            self._guard = -1

    # ------------------------------------------------------------ records

    def find(self, key: str) -> Record | None:
        """The record of a key, leased; its folder exists if it names one."""
        path = self._path("records", key)
        with self._guarded():
            try:
                record = msgspec.msgpack.decode(path.read_bytes(), type=Record)
                os.utime(path)
            except (OSError, msgspec.MsgspecError):
                return None
            self._take(f"r {key}")
            mine = record.folder.startswith(f"{self._powers}-")
            if record.folder and not (mine and (self.root / "folders" / record.folder / "fs").is_dir()):
                return msgspec.structs.replace(record, folder="")
            if record.folder:
                self._take(f"f {record.folder}")
            return record

    def keep(self, key: str, record: Record) -> None:
        """For this and later builds; a folder that it names is complete, and will not change any more."""
        if record.folder:
            os.utime(self.root / "folders" / record.folder)  # what is newest in it; see settled.py
        self._write(self._path("records", key), msgspec.msgpack.encode(record))

    def alias(self, key: str) -> str:
        """The key that an alias stands for, "" when it is none."""
        try:
            return self._path("aliases", key).read_text()
        except OSError:
            return ""

    def keep_alias(self, key: str, of: str) -> None:
        self._write(self._path("aliases", key), of.encode())

    def _path(self, kind: str, key: str) -> Path:
        return self.root / kind / key[:2] / key[2:]

    def _write(self, path: Path, data: bytes) -> None:
        try:
            with replace_file(path, durable=False) as out:
                out.write(data)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replace_file(path, durable=False) as out:
                out.write(data)

    # ------------------------------------------------------------ folders

    def new_folder(self) -> tuple[str, Path]:
        """The id and path of an empty folder for a layer, leased; `work` beside it is overlayfs's."""
        name = f"{self._powers}-{os.urandom(8).hex()}"
        with self._guarded():
            self._take(f"f {name}")
        path = self.root / "folders" / name
        path.mkdir()
        inner = path / "fs"
        inner.mkdir()
        return name, inner

    def folder(self, name: str) -> Path:
        return self.root / "folders" / name / "fs"

    def discard(self, name: str) -> None:
        """Throws a folder away that did not work out."""
        self._to_trash([self.root / "folders" / name])

    # ------------------------------------------------------------ leases and pruning

    @contextmanager
    def _guarded(self, *, exclusive: bool = False) -> Iterator[None]:
        with self._lock:
            fcntl.flock(self._guard, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
            try:
                yield
            finally:
                fcntl.flock(self._guard, fcntl.LOCK_UN)

    def _take(self, line: str) -> None:
        if self._lease is not None and line not in self._leased:
            self._leased.add(line)
            self._lease.write(line.encode() + b"\n")

    def is_due(self, now_s: float, every_s: float = 3600.0) -> bool:
        """Whether nobody pruned for a while; says that somebody does now."""
        mark = self.root / "pruned"
        try:
            if abs(now_s - mark.stat().st_mtime) < every_s:
                return False
        except FileNotFoundError:
            pass
        mark.touch()
        return True

    def prune(self, limit: int) -> int:
        """Removes what was used longest ago until at most `limit` bytes are left; gives how many it removed.

        What a running build relies on stays, and so does everything of the last ten minutes that no record names yet.
        """
        victims: list[Path] = []
        freed = 0
        with self._guarded(exclusive=True):
            held = self._held()
            rows = sorted(self._records(), key=lambda row: row[0])
            total = sum(record.size for _, _, record in rows)
            named = set()
            for _, path, record in rows:
                key = path.parent.name + path.name
                busy = f"r {key}" in held or (record.folder and f"f {record.folder}" in held)
                if total <= limit or busy:
                    named.add(record.folder)
                    continue
                total -= record.size
                freed += record.size
                path.unlink(missing_ok=True)
                if record.folder:
                    victims.append(self.root / "folders" / record.folder)
            now = time.time()
            for entry in os.scandir(self.root / "folders"):
                old = now - entry.stat(follow_symlinks=False).st_mtime > _ORPHAN_AGE_S
                if old and entry.name not in named and f"f {entry.name}" not in held:
                    victims.append(Path(entry.path))
            self._to_trash(victims, empty=False)
        _remove(self.root / "trash")
        return freed

    def _records(self) -> Iterator[tuple[float, Path, Record]]:
        for shard in os.scandir(self.root / "records"):
            for entry in os.scandir(shard.path):
                try:
                    record = msgspec.msgpack.decode(Path(entry.path).read_bytes(), type=Record)
                    yield entry.stat().st_mtime, Path(entry.path), record
                except (OSError, msgspec.MsgspecError):
                    continue

    def _held(self) -> set[str]:
        """Lines of all leases whose build lives; the others are removed."""
        lines: set[str] = set()
        for entry in os.scandir(self.root / "leases"):
            with open(entry.path, "rb") as lease:
                try:
                    fcntl.flock(lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    lines.update(lease.read().decode().split("\n"))
                else:
                    os.unlink(entry.path)
        return lines

    def _forget_unused(self, folders: list[Path]) -> None:
        if folders:
            held = self._held()
            self._to_trash([folder for folder in folders if f"f {folder.name}" not in held], empty=False)

    def _to_trash(self, paths: list[Path], *, empty: bool = True) -> None:
        if not paths:
            return
        trash = self.root / "trash"
        trash.mkdir(exist_ok=True)
        for path in paths:
            try:
                path.rename(trash / uuid.uuid4().hex)
            except FileNotFoundError:
                continue
        if empty:
            _remove(trash)


def _remove(folder: Path) -> None:
    with suppress(OSError):
        remove_tree(folder)
