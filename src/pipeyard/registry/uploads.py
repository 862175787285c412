"""Uploads that are not finished: on disk from their first byte, so that they go on after the server was killed.

`uploads/<id>.json` says what it is, `uploads/<id>.data` is what has come; the size of that file is the offset. The
hash state is kept in memory while this process receives, and is made again from the file otherwise.
"""

import contextlib
import os
import re
import uuid
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec import Struct

from pipeyard.errors import DigestMismatch, RegistryError
from pipeyard.files import locked, replace_file
from pipeyard.oci import Digest, Hasher
from pipeyard.registry.blob_files import BlobFiles

_ID = re.compile(r"[0-9a-f]{32}")
_REMEMBERED = 4096  # hash states; a forgotten one costs a second reading
_READ = 1 << 20


class UploadNote(Struct, frozen=True, kw_only=True):
    repository: str
    algorithm: str  # of the hash that is computed while the bytes come
    started_ms: int


class Upload:
    """One upload, held by one request at a time (Uploads.resume sees to it). Not for several threads at once."""

    def __init__(self, uploads: "Uploads", upload_id: str, note: UploadNote, out: BinaryIO) -> None:
        self.id = upload_id
        self.note = note
        self._uploads = uploads
        self._out = out
        self._hasher: Hasher | None = uploads.remembered(upload_id, note.algorithm, self.offset)

    @property
    def offset(self) -> int:
        """Bytes that are here."""
        return os.fstat(self._out.fileno()).st_size

    def append(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        if self._hasher is not None:
            self._hasher.update(view)
        while view:
            view = view[os.write(self._out.fileno(), view) :]

    def finish(self, digest: Digest) -> int:
        """Names the content and ends the upload; gives its bytes. Raises DigestMismatch, and then nothing is kept."""
        algorithm = digest.partition(":")[0]
        hasher = self._hasher
        if hasher is None or hasher.algorithm != algorithm:
            hasher = self._hash_again(algorithm)
        try:
            if hasher.digest != digest:
                raise DigestMismatch(f"the content is {hasher.digest}, not {digest}", status=400, code="DIGEST_INVALID")
            self._uploads.files.adopt(self._uploads.data_path(self.id), digest)
        finally:
            self.cancel()
        return hasher.size

    def cancel(self) -> None:
        self._hasher = None
        self._uploads.forget(self.id)

    def suspend(self) -> None:
        """Keeps the hash state for the request that goes on."""
        if self._hasher is not None:
            self._uploads.remember(self.id, self._hasher)

    def _hash_again(self, algorithm: str) -> Hasher:
        hasher = Hasher(algorithm)
        offset = 0
        with open(self._uploads.data_path(self.id), "rb", buffering=0) as stream:
            while data := os.pread(stream.fileno(), _READ, offset):
                hasher.update(data)
                offset += len(data)
        return hasher


class Uploads:
    """All unfinished uploads of one store."""

    def __init__(self, files: BlobFiles) -> None:
        self.files = files
        self._folder = files.root / "uploads"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._hashers: OrderedDict[str, Hasher] = OrderedDict()  # single operations, each atomic

    def data_path(self, upload_id: str) -> Path:
        return self._folder / f"{upload_id}.data"

    def start(self, repository: str, algorithm: str, now_ms: int) -> str:
        """The id of a new upload, which has no bytes yet."""
        upload_id = uuid.uuid4().hex
        os.close(os.open(self.data_path(upload_id), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644))
        note = UploadNote(repository=repository, algorithm=algorithm, started_ms=now_ms)
        with replace_file(self._note_path(upload_id), durable=False) as out:
            out.write(msgspec.json.encode(note))
        self.remember(upload_id, Hasher(algorithm))
        return upload_id

    @contextlib.contextmanager
    def resume(self, repository: str, upload_id: str) -> Iterator[Upload]:
        """Raises RegistryError: BLOB_UPLOAD_UNKNOWN, or BLOB_UPLOAD_INVALID (409) while another request holds it."""
        note = self._note(upload_id)
        if note is None or note.repository != repository:
            raise _unknown(upload_id)
        with contextlib.ExitStack() as stack:
            try:
                path = self.data_path(upload_id)
                out = stack.enter_context(open(path, "ab", buffering=0))
                if not stack.enter_context(locked(path, wait=False)):
                    raise RegistryError(
                        f"another request is writing to upload {upload_id}", status=409, code="BLOB_UPLOAD_INVALID"
                    )
            except FileNotFoundError:
                raise _unknown(upload_id) from None
            if self._note(upload_id) is None:  # finished while we waited
                path.unlink(missing_ok=True)
                raise _unknown(upload_id)
            upload = Upload(self, upload_id, note, out)
            try:
                yield upload
            finally:
                upload.suspend()

    def offset(self, repository: str, upload_id: str) -> int:
        """Bytes that are here, also while they are coming in. Raises RegistryError (BLOB_UPLOAD_UNKNOWN)."""
        note = self._note(upload_id)
        try:
            if note is None or note.repository != repository:
                raise FileNotFoundError
            return self.data_path(upload_id).stat().st_size
        except FileNotFoundError:
            raise _unknown(upload_id) from None

    def forget(self, upload_id: str) -> None:
        self._hashers.pop(upload_id, None)
        self._note_path(upload_id).unlink(missing_ok=True)
        self.data_path(upload_id).unlink(missing_ok=True)

    def living(self, idle_since_s: float) -> tuple[UploadNote, ...]:
        """Those that received something since then; the others are removed."""
        found = []
        for entry in list(os.scandir(self._folder)):
            upload_id, _, kind = entry.name.partition(".")
            try:
                if kind == "data" and entry.stat().st_mtime <= idle_since_s:
                    self.forget(upload_id)
                elif kind == "json" and (note := self._note(upload_id)) is not None:
                    found.append(note)
            except FileNotFoundError:
                continue
        return tuple(found)

    def remembered(self, upload_id: str, algorithm: str, offset: int) -> Hasher | None:
        hasher = self._hashers.pop(upload_id, None)
        if hasher is not None and hasher.algorithm == algorithm and hasher.size == offset:
            return hasher
        return Hasher(algorithm) if offset == 0 else None

    def remember(self, upload_id: str, hasher: Hasher) -> None:
        self._hashers[upload_id] = hasher
        while len(self._hashers) > _REMEMBERED:
            self._hashers.popitem(last=False)

    def _note_path(self, upload_id: str) -> Path:
        return self._folder / f"{upload_id}.json"

    def _note(self, upload_id: str) -> UploadNote | None:
        if not _ID.fullmatch(upload_id):
            return None
        try:
            return msgspec.json.decode(self._note_path(upload_id).read_bytes(), type=UploadNote)
        except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
            return None


def _unknown(upload_id: str) -> RegistryError:
    return RegistryError(f"there is no upload {upload_id[:64]!r}", status=404, code="BLOB_UPLOAD_UNKNOWN")
