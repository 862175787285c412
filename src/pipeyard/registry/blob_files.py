"""Blobs as files: `blobs/sha256/ab/<hex>`, hashed while they are written, named only when they are whole.

Three facts about a blob live in its inode, so that no index has to agree with the folder:

- *Durable or not* is the write bit of its mode. A build commits many small blobs and must not wait for a disk each
  time: a fresh blob is writable in name only (0644) and becomes 0444 after its bytes and its name were synced, which
  happens when something that outlives the build begins to refer to it (`make_durable`). After a reboot, blobs that
  are still 0644 may be holes; they are hashed again before anybody may see them.
- *Last use* is its modification time, refreshed by every use. The collection spares what was used since the oldest
  running build or push began; see collection.py.
- *Size* is its size.
"""

import os
import stat
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pipeyard.errors import DigestMismatch, RegistryError
from pipeyard.files import locked, replace_file, sync_folder
from pipeyard.oci import Descriptor, Digest, Hasher, digest_of

FRESH = 0o644
DURABLE = 0o444
TOUCH_AFTER_S = 300.0
"""A use refreshes a blob's time only when it is older than this; the collection allows for it."""

_ASIDE_S = 0.01
_BUFFER = 1 << 18
_READ = 1 << 20


class FileBlobWriter:
    """Made by BlobFiles.writer; used by one thread at a time."""

    def __init__(self, files: "BlobFiles", out: BinaryIO, temporary: Path, algorithm: str) -> None:
        self._files = files
        self._out = out
        self._temporary = temporary
        self._hasher = Hasher(algorithm)

    def write(self, data: bytes | bytearray | memoryview) -> int:
        self._hasher.update(data)
        self._out.write(data)
        return len(data)

    def flushed(self) -> Path:
        """The file in which everything written so far can be read; its name goes when the writer is done."""
        self._out.flush()
        return self._temporary

    def commit(self, media_type: str = "application/octet-stream", expected: Digest | None = None) -> Descriptor:
        digest = self._hasher.digest
        if expected is not None and expected != digest:
            raise DigestMismatch(f"the content is {digest}, not {expected}", status=400, code="DIGEST_INVALID")
        self._out.flush()
        self._files.adopt(self._temporary, digest)
        return Descriptor(media_type=media_type, digest=digest, size=self._hasher.size)


class BlobFiles:
    """A BlobStore of files below `root`; any number of threads and processes may use one folder."""

    def __init__(self, root: Path, touch_after_s: float = TOUCH_AFTER_S) -> None:
        self.root = root
        self.touch_after_s = touch_after_s
        self._blobs = root / "blobs"
        self._incoming = root / "incoming"
        self._incoming.mkdir(parents=True, exist_ok=True)
        self._shards: set[str] = set()  # folders known to exist; losing a race only repeats a mkdir
        self._verify_after_reboot()

    def path(self, digest: Digest) -> Path:
        """Where the blob is, if it is here."""
        algorithm, _, hexadecimal = digest.partition(":")
        return self._blobs / algorithm / hexadecimal[:2] / hexadecimal

    def size(self, digest: Digest) -> int | None:
        """Asking counts as use: the caller is about to rely on the answer."""
        path = self.path(digest)
        try:
            found = os.stat(path)
            if time.time() - found.st_mtime > self.touch_after_s:
                _touch(path)
        except FileNotFoundError:
            return None
        return found.st_size

    @contextmanager
    def read(self, digest: Digest, start: int = 0) -> Iterator[BinaryIO]:
        with self.open(digest) as stream:
            if start:
                stream.seek(start)
            yield stream

    def open(self, digest: Digest) -> BinaryIO:
        """The blob as an unbuffered file that the caller closes. Raises RegistryError (BLOB_UNKNOWN)."""
        try:
            stream = open(self.path(digest), "rb", buffering=0)  # noqa: SIM115  (the caller closes it)
        except FileNotFoundError:
            raise RegistryError(f"blob {digest} is not in the store", status=404, code="BLOB_UNKNOWN") from None
        if time.time() - os.fstat(stream.fileno()).st_mtime > self.touch_after_s:
            try:
                _touch(self.path(digest))
            except FileNotFoundError:
                pass  # deleted while we opened it; the open file stays whole
        return stream

    @contextmanager
    def writer(self, algorithm: str = "sha256") -> Iterator[FileBlobWriter]:
        temporary = self._incoming / f".tmp-{uuid.uuid4().hex}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FRESH)
        try:
            with os.fdopen(descriptor, "wb", buffering=_BUFFER) as out:
                yield FileBlobWriter(self, out, temporary, algorithm)
        finally:
            temporary.unlink(missing_ok=True)

    def adopt(self, temporary: Path, digest: Digest) -> None:
        """Gives a finished file of this file system its name, unless the blob is here already.

        A link and not a rename: it never replaces a blob that is durable already by one that is not.
        """
        path = self.path(digest)
        shard = str(path.parent)
        if shard not in self._shards:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._shards.add(shard)
        try:
            os.link(temporary, path)
        except FileExistsError:
            try:
                _touch(path)
            except FileNotFoundError:  # collected at this moment
                self.adopt(temporary, digest)
                return
        except FileNotFoundError:
            if shard not in self._shards or path.parent.exists():
                raise
            self._shards.discard(shard)  # somebody removed the folder under us
            self.adopt(temporary, digest)
            return
        temporary.unlink(missing_ok=True)

    def make_durable(self, digests: Iterable[Digest]) -> None:
        """Returns when these blobs survive a power failure. Raises RegistryError (BLOB_UNKNOWN) for a missing one."""
        pending = [path for digest in dict.fromkeys(digests) if (path := self._fresh(digest)) is not None]
        if len(pending) > 1:
            from concurrent.futures import ThreadPoolExecutor

            # The kernel merges syncs that wait at the same time into one journal commit.
            with ThreadPoolExecutor(min(8, len(pending)), thread_name_prefix="sync") as pool:
                list(pool.map(_sync, pending))
        else:
            for path in pending:
                _sync(path)
        for folder in {path.parent for path in pending}:
            sync_folder(folder)
        for path in pending:
            _mark_durable(path)

    def digests(self) -> Iterator[tuple[Digest, os.stat_result]]:
        """Every blob with its stat; what is deleted meanwhile is left out."""
        if not self._blobs.is_dir():
            return
        for algorithm in os.scandir(self._blobs):
            for shard in os.scandir(algorithm.path):
                for entry in os.scandir(shard.path):
                    try:
                        yield Digest(f"{algorithm.name}:{entry.name}"), entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue

    def discard_unused(self, digest: Digest, unused_since_s: float) -> int:
        """Removes a blob that nobody used since then; gives its bytes, 0 when it was used or is gone.

        Moved aside first and looked at then: a use that came before the move shows in the time and puts the blob
        back, one that comes after it finds no blob and brings it again. So no lock stands on the way of users.
        """
        path = self.path(digest)
        aside = self._incoming / f".tmp-{uuid.uuid4().hex}"
        try:
            if path.stat().st_mtime > unused_since_s:  # keeps the moment in which a used blob is aside rare
                return 0
            os.rename(path, aside)
        except FileNotFoundError:
            return 0
        found = aside.stat()
        if found.st_mtime > unused_since_s:
            try:
                os.link(aside, path)
            except FileExistsError:
                pass
            aside.unlink()
            return 0
        aside.unlink()
        return found.st_size

    def _fresh(self, digest: Digest) -> Path | None:
        path = self.path(digest)
        try:
            mode = os.stat(path).st_mode
        except FileNotFoundError:
            raise RegistryError(f"blob {digest} is not in the store", status=404, code="BLOB_UNKNOWN") from None
        return path if stat.S_IMODE(mode) & stat.S_IWUSR else None

    def _verify_after_reboot(self) -> None:
        boot = boot_id()
        note = self.root / "boot"
        if _text(note) == boot:
            return
        with locked(self.root / "boot.lock"):
            if _text(note) == boot:
                return
            for digest, found in self.digests():
                if found.st_mode & stat.S_IWUSR:
                    path = self.path(digest)
                    if _hash_of(path, digest) == digest:
                        _sync(path)
                        _mark_durable(path)
                    else:
                        path.unlink(missing_ok=True)
            with replace_file(note, durable=False) as out:
                out.write(boot.encode())


def _touch(path: Path) -> None:
    try:
        os.utime(path)
    except PermissionError:
        pass  # somebody else's store, or a read-only one: its owner's collection does not know our use


def _sync(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        time.sleep(_ASIDE_S)  # a collection looks at it; see BlobFiles.discard_unused
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise RegistryError(f"blob {path.name} was deleted", status=404, code="BLOB_UNKNOWN") from None
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _mark_durable(path: Path) -> None:
    try:
        os.chmod(path, DURABLE)
    except (FileNotFoundError, PermissionError):
        pass


def _hash_of(path: Path, digest: Digest) -> Digest:
    hasher = Hasher(digest.partition(":")[0])
    try:
        with open(path, "rb", buffering=0) as stream:
            while data := stream.read(_READ):
                hasher.update(data)
    except FileNotFoundError:
        return digest_of(b"", hasher.algorithm)
    return hasher.digest


def boot_id() -> str:
    """Changes when the machine (not the process) restarts; empty where the kernel does not tell."""
    return _text(Path("/proc/sys/kernel/random/boot_id"))


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
