"""A local folder as a source of files: listed once, read only where nothing is known of a file's content.

Owners are root's, as in every builder: who checked a project out is no property of the image.
"""

import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path
from typing import BinaryIO

import msgspec

from pipeyard.errors import BuildFailed, InputError
from pipeyard.image.build.confined import ConfinedFolder
from pipeyard.image.build.nodes import Node, node_of
from pipeyard.image.build.stacktree import file_xattrs
from pipeyard.image.build.statcache import KnownFiles, KnownFolder, StatCache, is_settled, known_folder
from pipeyard.image.dockerfile.ignore import IgnoreMatcher
from pipeyard.image.layers.entry import Content

_SMALL = 128 << 10  # bytes; larger files are streamed
_KIND = 0o170000  # the bits of st_mode that say what it is
_identity = attrgetter("st_mode", "st_size", "st_mtime_ns", "st_ctime_ns", "st_ino")


class _Folder:
    """One listed folder: its names, sorted, with their status; content digests as far as they are known."""

    __slots__ = (
        "_digests",
        "attributes",
        "known",
        "links",
        "names",
        "recalled",
        "statuses",
        "subfolders",
        "summary",
        "unsettled",
        "within",
    )

    def __init__(self) -> None:
        self.names: list[str] = []
        self.statuses: dict[str, os.stat_result] = {}
        self.links: dict[str, str] = {}
        self.known: KnownFolder | None = None  # what the stat cache has of all of it
        self._digests: dict[str, bytes] | None = None
        self.unsettled: set[str] = set()  # read so soon after a change that a later one might not show
        self.subfolders: list[str] = []
        self.attributes: dict[str, dict[str, bytes]] = {}  # extended ones, of files that were opened
        self.summary = b""
        self.recalled = False  # all of it, digests and summary, is as the stat cache has it
        self.within: dict[str, int] = {}  # of each folder in it: what the ignore patterns need for what it holds

    @property
    def digests(self) -> dict[str, bytes]:
        if self._digests is None:
            files = self.known.files if self.known is not None else None
            self._digests = dict(zip(files.names, files.digests, strict=True)) if files is not None else {}
        return self._digests


class LocalFiles:
    """A FileTree of a folder on this machine. Used by one thread at a time; close it when done."""

    def __init__(self, root: Path, *, ignore: IgnoreMatcher | None = None, cache: Path | None = None) -> None:
        """`cache` is the folder of stat caches; without it nothing is remembered. Raises InputError."""
        try:
            self._confined = ConfinedFolder(root)
        except OSError as error:
            raise InputError(f"{root} is no folder that can be read: {error.strerror}") from error
        self._root = root
        self._ignore = ignore
        self._known = StatCache(cache, root.resolve()) if cache is not None else None
        self._folders: dict[str, _Folder] = {}
        self._summaries: dict[str, bytes] = {}

    def close(self) -> None:
        self._confined.close()

    def save(self) -> None:
        """Keeps what was learnt for the next build."""
        if self._known is None:
            return
        for path, folder in self._folders.items():
            if folder.recalled or not folder.digests:
                continue
            files = [name for name in folder.names if stat.S_ISREG(folder.statuses[name].st_mode)]
            signature = _signature(folder)
            if not signature:
                continue
            statuses = [_status_fields(folder.statuses[name]) for name in files]
            digests = [b"" if name in folder.unsettled else folder.digests.get(name, b"") for name in files]
            summary = (folder.summary or self._own_summary(path, folder)) if all(digests) else b""
            self._known.remember(path, known_folder(signature, KnownFiles(files, statuses, digests), summary))
            folder.recalled = True
        self._known.save()

    # ------------------------------------------------------------ FileTree

    def lookup(self, path: str) -> Node | None:
        if not path:
            return Node(kind="dir", mode=stat.S_IMODE(os.stat(self._root).st_mode))
        parent, _, name = path.rpartition("/")
        folder = self._folder(parent)
        status = folder.statuses.get(name) if folder is not None else None
        if folder is None or status is None:
            return None
        return node_of(status, uid=0, gid=0, link=folder.links.get(name, ""))

    def names(self, path: str) -> Sequence[str]:
        folder = self._folder(path)
        return folder.names if folder is not None else ()

    def xattrs(self, path: str) -> dict[str, bytes]:
        parent, _, name = path.rpartition("/")
        folder = self._folders.get(parent)
        known = folder.attributes.get(name) if folder is not None and name else None
        if known is not None:
            return known
        try:
            file = self._confined.open_file(path) if path else self._confined.open_folder(path)
        except OSError:
            return {}
        try:
            return file_xattrs(file)
        finally:
            os.close(file)

    def content(self, path: str, node: Node) -> Content:
        """Small files at once, as bytes; others as a stream. What is read is hashed, and the digest remembered."""
        if node.size > _SMALL:
            return lambda: self._stream(path)
        # Forty thousand files come through here one by one: each call that can be spared is.
        file = self._open(path)
        try:
            read_at = time.time_ns()
            data = os.read(file, node.size + 1)
            status = os.fstat(file)
            attributes = file_xattrs(file)
        finally:
            os.close(file)
        if len(data) != node.size:
            raise BuildFailed(f"{path} changed while it was read", hint="build again when nothing writes to it")
        self._learn(path, status, hashlib.sha256(data).digest(), read_at, attributes)
        return data

    def digest(self, path: str, node: Node) -> bytes:
        known = self.known_digest(path)
        if known is None:
            with self._opened(path) as file:
                read_at = time.time_ns()
                with os.fdopen(os.dup(file), "rb", buffering=0) as stream:
                    known = hashlib.file_digest(stream, "sha256").digest()
                self._learn(path, os.fstat(file), known, read_at, file_xattrs(file))
        return known

    # ------------------------------------------------------------ digests

    def known_digest(self, path: str) -> bytes | None:
        """The content's digest if it is known without reading the file."""
        parent, _, name = path.rpartition("/")
        folder = self._folder(parent)
        return folder.digests.get(name) if folder is not None else None

    def summary(self, path: str, *, read: bool) -> bytes | None:
        """Digest over a whole subtree: names, kinds, modes, contents. None when files would have to be read."""
        known = self._summaries.get(path)
        if known is not None:
            return known
        folder = self._folder(path)
        if folder is None:
            return b""
        for name in () if folder.recalled and folder.summary else folder.names:
            if name not in folder.digests and stat.S_ISREG(folder.statuses[name].st_mode):
                if not read:
                    return None
                inner = f"{path}/{name}" if path else name
                node = self.lookup(inner)
                assert node is not None
                self.digest(inner, node)
        folder.summary = folder.summary or self._own_summary(path, folder)
        parts = [folder.summary]
        for name in folder.subfolders:
            below = self.summary(f"{path}/{name}" if path else name, read=read)
            if below is None:
                return None
            parts += [os.fsencode(name), below]
        result = self._summaries[path] = hashlib.sha256(b"\0".join(parts)).digest()
        return result

    def _own_summary(self, path: str, folder: _Folder) -> bytes:
        extra = [
            (os.fsencode(name), sorted(found.items()))
            for name in folder.names
            if stat.S_ISREG(folder.statuses[name].st_mode)
            and (found := self.xattrs(f"{path}/{name}" if path else name))
        ]
        return hashlib.sha256(msgspec.msgpack.encode([_rows(folder), extra])).digest()

    # ------------------------------------------------------------ listing and reading

    def _folder(self, path: str) -> _Folder | None:
        if path in self._folders:
            return self._folders[path]
        if path:
            parent, _, name = path.rpartition("/")
            above = self._folder(parent)
            status = above.statuses.get(name) if above is not None else None
            if status is None or not stat.S_ISDIR(status.st_mode):
                return None
        folder = self._folders[path] = self._listed(path)
        return folder

    def _listed(self, path: str) -> _Folder:
        folder = _Folder()
        try:
            descriptor = self._confined.open_folder(path)
        except OSError as error:
            raise InputError(f"{self._root / path} cannot be read: {error.strerror}") from error
        try:
            with os.scandir(descriptor) as entries:
                if self._ignore is None:
                    statuses = {entry.name: entry.stat(follow_symlinks=False) for entry in entries}
                else:
                    kept = self._kept(path, entries, self._ignore, self._within(path), folder.within)
                    statuses = {entry.name: entry.stat(follow_symlinks=False) for entry in kept}
        finally:
            os.close(descriptor)
        folder.names = sorted(statuses)
        folder.statuses = statuses
        for name in folder.names:
            kind = statuses[name].st_mode & _KIND
            if kind == stat.S_IFREG:
                continue
            if kind == stat.S_IFDIR:
                folder.subfolders.append(name)
            elif kind == stat.S_IFLNK:
                folder.links[name] = self._confined.read_link(f"{path}/{name}" if path else name)
            elif kind == stat.S_IFSOCK:
                del statuses[name]
        if len(statuses) != len(folder.names):
            folder.names = [name for name in folder.names if name in statuses]
        self._recall(path, folder)
        return folder

    def _within(self, path: str) -> int:
        if not path or self._ignore is None:
            return IgnoreMatcher.top
        parent, _, name = path.rpartition("/")
        return self._folders[parent].within[name]

    def _kept(
        self,
        path: str,
        entries: Iterable["os.DirEntry[str]"],
        ignore: IgnoreMatcher,
        within: int,
        inner: dict[str, int],
    ) -> Iterator["os.DirEntry[str]"]:
        """Entries that are not left out; `inner` receives what the folders among them pass on."""
        prefix = f"{path}/" if path else ""
        is_ignored = ignore.files_of(path, within)
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                left_out = is_ignored(entry.name)
            else:
                below = prefix + entry.name
                left_out, passed = ignore.decide(below, within)
                inner[entry.name] = passed
                if left_out and not ignore.can_skip(below):
                    left_out = not self._keeps_something(below, ignore, passed)
            if not left_out:
                yield entry

    def _keeps_something(self, path: str, ignore: IgnoreMatcher, within: int) -> bool:
        """Whether an exception of the ignore file brings back anything below an ignored folder."""
        descriptor = self._confined.open_folder(path)
        try:
            with os.scandir(descriptor) as entries:
                return any(True for _ in self._kept(path, entries, ignore, within, {}))
        finally:
            os.close(descriptor)

    def _recall(self, path: str, folder: _Folder) -> None:
        known = self._known.folders.get(path) if self._known is not None else None
        if known is None:
            return
        if known.summary and known.signature == _signature(folder):
            folder.known = known
            folder.summary = known.summary
            folder.recalled = True
            return
        files = known.files
        before = {
            name: (tuple(fields), digest)
            for name, fields, digest in zip(files.names, files.statuses, files.digests, strict=True)
        }
        for name, status in folder.statuses.items():
            fields, digest = before.get(name, ((), b""))
            if digest and fields == _status_fields(status):
                folder.digests[name] = digest

    def _learn(
        self, path: str, status: os.stat_result, digest: bytes, read_at_ns: int, attributes: dict[str, bytes] | None
    ) -> None:
        """What reading a file told; no attributes: they were not looked at."""
        parent, _, name = path.rpartition("/")
        folder = self._folders.get(parent)
        if folder is None:
            return
        if attributes is not None:
            folder.attributes[name] = attributes
        listed = folder.statuses.get(name)
        if listed is None or _status_fields(listed) != _status_fields(status):
            return
        folder.digests[name] = digest
        folder.summary = b""
        folder.recalled = False
        if not is_settled(status, read_at_ns):
            folder.unsettled.add(name)

    def _open(self, path: str) -> int:
        try:
            return self._confined.open_file(path)
        except OSError as error:
            raise BuildFailed(f"{path} could not be read: {error.strerror}") from error

    @contextmanager
    def _opened(self, path: str) -> Iterator[int]:
        file = self._open(path)
        try:
            yield file
        finally:
            os.close(file)

    @contextmanager
    def _stream(self, path: str) -> Iterator[BinaryIO]:
        with self._opened(path) as file:
            hashed = _HashedFile(file, lambda status, digest, at: self._learn(path, status, digest, at, None))
            yield hashed  # type: ignore[misc] # the reader of layers uses read() alone
            hashed.finish()


class _HashedFile:
    """Reads a file to its end and hashes what passes."""

    def __init__(self, file: int, done: Callable[[os.stat_result, bytes, int], None]) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self._done = done
        self._read_at = time.time_ns()

    def read(self, size: int = -1) -> bytes:
        data = os.read(self._file, size if size >= 0 else 1 << 20)
        self._hash.update(data)
        return data

    def finish(self) -> None:
        self._done(os.fstat(self._file), self._hash.digest(), self._read_at)


def _status_fields(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _signature(folder: _Folder) -> bytes:
    """Everything that a change of the folder must show in; empty for names that are not UTF-8, which are not cached."""
    rows = list(map(_identity, map(folder.statuses.__getitem__, folder.names)))
    try:
        return msgspec.msgpack.encode((folder.names, rows, folder.links))
    except UnicodeEncodeError:
        return b""


def _rows(folder: _Folder) -> list[tuple[object, ...]]:
    """What a key knows of the names. Which of them are links of one file changes the layer, so it is part of it."""
    seen: dict[int, int] = {}
    rows: list[tuple[object, ...]] = []
    for name in folder.names:
        status = folder.statuses[name]
        link = folder.links.get(name)
        shared = 0
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            shared = seen.setdefault(status.st_ino, len(seen) + 1)
        rows.append(
            (
                os.fsencode(name),
                status.st_mode,
                folder.digests.get(name, b""),
                os.fsencode(link) if link is not None else b"",
                shared,
                status.st_rdev,
            )
        )
    return rows
