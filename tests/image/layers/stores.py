"""A blob store in memory, for tests that look at the bytes of a layer."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import BinaryIO

from pipeyard.errors import DigestMismatch, RegistryError
from pipeyard.oci import Descriptor, Digest, Hasher


class MemoryWriter:
    def __init__(self, blobs: dict[Digest, bytes]) -> None:
        self._blobs = blobs
        self._hasher = Hasher()
        self._data = BytesIO()

    def write(self, data: bytes | bytearray | memoryview) -> int:
        self._hasher.update(data)
        return self._data.write(data)

    def commit(self, media_type: str = "application/octet-stream", expected: Digest | None = None) -> Descriptor:
        if expected is not None and expected != self._hasher.digest:
            raise DigestMismatch("wrong digest")
        self._blobs[self._hasher.digest] = self._data.getvalue()
        return Descriptor(media_type=media_type, digest=self._hasher.digest, size=self._hasher.size)


class MemoryStore:
    def __init__(self) -> None:
        self.blobs: dict[Digest, bytes] = {}

    def size(self, digest: Digest) -> int | None:
        return len(self.blobs[digest]) if digest in self.blobs else None

    @contextmanager
    def read(self, digest: Digest, start: int = 0) -> Iterator[BinaryIO]:
        if digest not in self.blobs:
            raise RegistryError("unknown blob", code="BLOB_UNKNOWN")
        yield BytesIO(self.blobs[digest][start:])

    @contextmanager
    def writer(self, algorithm: str = "sha256") -> Iterator[MemoryWriter]:
        yield MemoryWriter(self.blobs)
