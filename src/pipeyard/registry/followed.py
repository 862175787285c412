"""A store that tells of large blobs before they are whole."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import BinaryIO

from pipeyard.oci import Descriptor, Digest
from pipeyard.registry.blob_files import FileBlobWriter
from pipeyard.registry.blobs import BlobStore, BlobWriter
from pipeyard.registry.growing import GrowingBlob

LARGE = 8 << 20
"""Bytes from which on a blob is worth following; smaller ones are brought whole, in one request."""

_TOLD_EVERY = 4 << 20


class FollowedStore:
    """A BlobStore that tells `follow` of each large blob as soon as it is seen to be one."""

    def __init__(self, store: BlobStore, follow: Callable[[GrowingBlob], None]) -> None:
        self._store = store
        self._follow = follow

    def size(self, digest: Digest) -> int | None:
        return self._store.size(digest)

    def read(self, digest: Digest, start: int = 0) -> AbstractContextManager[BinaryIO]:
        return self._store.read(digest, start)

    @contextmanager
    def writer(self, algorithm: str = "sha256") -> Iterator[BlobWriter]:
        with self._store.writer(algorithm) as inner:
            if not isinstance(inner, FileBlobWriter):  # only what is a file can be read while it is written
                yield inner
                return
            followed = _FollowedWriter(inner, self._follow)
            try:
                yield followed
            finally:
                followed.close()


class _FollowedWriter:
    def __init__(self, inner: FileBlobWriter, follow: Callable[[GrowingBlob], None]) -> None:
        self._inner = inner
        self._follow = follow
        self._growing: GrowingBlob | None = None
        self._size = 0
        self._told = 0

    def write(self, data: bytes | bytearray | memoryview) -> int:
        self._size += self._inner.write(data)
        if self._size >= LARGE and self._size - self._told >= _TOLD_EVERY:
            path = self._inner.flushed()
            self._told = self._size
            if self._growing is not None:
                self._growing.grow(self._size)
            else:
                self._growing = GrowingBlob(path)
                self._growing.grow(self._size)
                self._follow(self._growing)
        return len(data)

    def commit(self, media_type: str = "application/octet-stream", expected: Digest | None = None) -> Descriptor:
        whole = self._inner.commit(media_type, expected)
        if self._growing is not None:
            self._growing.end(whole)
        return whole

    def close(self) -> None:
        if self._growing is not None:
            self._growing.end(None)
