"""Blobs in an object store: the disk is where they are hashed and a cache of them, the objects are what is kept.

A blob goes to the object store after its digest was computed and compared, under a key that is the digest, by an
upload that is whole or absent: so nothing that is there was ever unverified. A small note on disk says that the
object is there; its content is the blob's size and its modification time the last use, so that questions cost no
request. The notes belong to one home: two homes must not share one prefix of a bucket.

Why no object that is needed can go: a collection first takes the note away, as BlobFiles.discard_unused does with a
file, and deletes the object later, under a lock that uploads of the same digest hold too; a note that is back by then
keeps the object.
"""

import os
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from pipeyard.errors import RegistryError
from pipeyard.files import locked, replace_file
from pipeyard.oci import Digest
from pipeyard.registry.blob_files import BlobFiles

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

_PARALLEL = 4


class ObjectStore(Protocol):
    """Objects by key; each is whole or absent. Safe for any number of threads; methods raise RegistryError."""

    def put(self, key: str, source: Path, size: int) -> None:
        """Stores a file of `size` bytes; over an object of that name, which has the same content."""

    def read(self, key: str, start: int) -> AbstractContextManager[BinaryIO]: ...

    def delete(self, key: str) -> None:
        """Harmless for what is not there."""

    def url(self, key: str) -> str:
        """From where anybody may read the object for some minutes."""


class RemoteBlobs:
    """What `objects` keep for the store at `files.root`. Safe for any number of threads and processes of one home."""

    def __init__(self, files: BlobFiles, objects: ObjectStore) -> None:
        self._files = files
        self._objects = objects
        self._notes = files.root / "remote"
        self._gone = files.root / "remote-gone"
        self._locks = files.root / "remote-locks"
        for folder in (self._notes, self._gone, self._locks):
            folder.mkdir(parents=True, exist_ok=True)
        self._guard = threading.Lock()  # guards _pool and _going
        self._pool: ThreadPoolExecutor | None = None
        self._going: dict[Digest, Future[None]] = {}

    def close(self) -> None:
        """Waits for the uploads that have begun."""
        with self._guard:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True)

    def size(self, digest: Digest) -> int | None:
        """Asking counts as use, as of a file."""
        note = self._note(digest)
        try:
            if time.time() - note.stat().st_mtime > self._files.touch_after_s:
                os.utime(note)
            return int(note.read_text())
        except FileNotFoundError:
            return None

    def used_s(self, digest: Digest) -> float:
        """When the blob was used last; 0 when it is not here."""
        try:
            return self._note(digest).stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def read(self, digest: Digest, start: int = 0) -> AbstractContextManager[BinaryIO]:
        """Raises RegistryError (BLOB_UNKNOWN)."""
        self._demand(digest)
        return self._objects.read(_key(digest), start)

    def url(self, digest: Digest) -> str:
        """Raises RegistryError (BLOB_UNKNOWN)."""
        self._demand(digest)
        return self._objects.url(_key(digest))

    def begin(self, digest: Digest) -> "Future[None]":
        """Starts to upload a blob of the disk, unless it is there or on its way already."""
        with self._guard:
            going = self._going.get(digest)
            if going is None:
                if self._pool is None:
                    from concurrent.futures import ThreadPoolExecutor

                    self._pool = ThreadPoolExecutor(_PARALLEL, thread_name_prefix="objects")
                going = self._going[digest] = self._pool.submit(self._upload, digest)
        # Outside of the guard: it runs at once when the upload has ended already.
        going.add_done_callback(lambda done: self._ended(digest, done))
        return going

    def keep(self, digests: Iterable[Digest]) -> None:
        """Returns when all are in the object store. Raises RegistryError, BLOB_UNKNOWN for what is nowhere."""
        for going in [self.begin(digest) for digest in dict.fromkeys(digests) if self.size(digest) is None]:
            going.result()

    def digests(self) -> Iterator[Digest]:
        for note in self._notes.glob("*/*/*"):
            if not note.name.startswith("."):
                yield Digest(f"{note.parent.parent.name}:{note.name}")

    def release(self, digest: Digest, unused_since_s: float) -> int:
        """Gives up a blob that nobody used since then; its bytes, 0 when it was used. `sweep` deletes the object."""
        note, aside = self._note(digest), self._gone / digest
        try:
            if note.stat().st_mtime > unused_since_s:
                return 0
            os.rename(note, aside)
        except FileNotFoundError:
            return 0
        if aside.stat().st_mtime > unused_since_s:
            try:
                os.link(aside, note)
            except FileExistsError:
                pass
            aside.unlink()
            return 0
        return int(aside.read_text())

    def sweep(self) -> None:
        """Deletes the objects that were given up, also those that a killed collection left behind."""
        for aside in list(self._gone.iterdir()):
            digest = Digest(aside.name)
            with self._lock(digest, wait=False) as mine:
                if mine:
                    if self._note(digest).exists() is False:
                        self._objects.delete(_key(digest))
                    aside.unlink(missing_ok=True)

    def _upload(self, digest: Digest) -> None:
        with self._lock(digest, wait=True):
            if self.size(digest) is not None:
                return
            # A name of its own: a collection that evicts the file from the disk does not take it from us.
            source = self._files.root / "incoming" / f".tmp-{uuid.uuid4().hex}"
            try:
                os.link(self._files.path(digest), source)
            except FileNotFoundError:
                raise RegistryError(f"blob {digest} is not in the store", status=404, code="BLOB_UNKNOWN") from None
            try:
                size = source.stat().st_size
                self._objects.put(_key(digest), source, size)
            finally:
                source.unlink(missing_ok=True)
            note = self._note(digest)
            note.parent.mkdir(parents=True, exist_ok=True)
            with replace_file(note, durable=True) as out:
                out.write(b"%d" % size)

    def _ended(self, digest: Digest, done: "Future[None]") -> None:
        with self._guard:
            if self._going.get(digest) is done:
                del self._going[digest]

    def _demand(self, digest: Digest) -> None:
        if self.size(digest) is None:
            raise RegistryError(f"blob {digest} is not in the store", status=404, code="BLOB_UNKNOWN")

    def _note(self, digest: Digest) -> Path:
        algorithm, _, hexadecimal = digest.partition(":")
        return self._notes / algorithm / hexadecimal[:2] / hexadecimal

    @contextmanager
    def _lock(self, digest: Digest, *, wait: bool) -> Iterator[bool]:
        """One of 256: uploads of other digests rarely wait."""
        with locked(self._locks / digest.partition(":")[2][:2], wait=wait) as mine:
            yield mine


def _key(digest: Digest) -> str:
    algorithm, _, hexadecimal = digest.partition(":")
    return f"blobs/{algorithm}/{hexadecimal[:2]}/{hexadecimal}"
