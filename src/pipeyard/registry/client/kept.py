"""What was fetched once is not fetched again: streams that also fill the content store, and documents beside them."""

import io
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import BinaryIO

from pipeyard.oci import Descriptor, Digest
from pipeyard.registry.blobs import BlobStore, BlobWriter


def read_keeping(
    store: BlobStore, blob: Descriptor, fetch: AbstractContextManager[BinaryIO]
) -> AbstractContextManager[BinaryIO]:
    """`fetch` (the blob from its start), which the store has once it was read to its end, and not otherwise."""
    return _keeping(store, blob, fetch)


@contextmanager
def _keeping(store: BlobStore, blob: Descriptor, fetch: AbstractContextManager[BinaryIO]) -> Iterator[BinaryIO]:
    with ExitStack() as held:
        source = held.enter_context(fetch)
        writer = held.enter_context(store.writer(blob.digest.partition(":")[0]))
        yield io.BufferedReader(_Tee(source, writer, blob), 256 * 1024)


class _Tee(io.RawIOBase):
    def __init__(self, source: BinaryIO, writer: BlobWriter, blob: Descriptor) -> None:
        self._source = source
        self._writer = writer
        self._blob = blob
        self._left = blob.size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]  # typeshed has the Buffer of 3.12 only
        piece = self._source.read(len(view))
        view[: len(piece)] = piece
        if piece:
            self._writer.write(piece)
            self._left -= len(piece)
            if self._left == 0:
                self._writer.commit(self._blob.media_type, self._blob.digest)
        return len(piece)


def stored_document(store: BlobStore, digest: Digest, limit: int) -> bytes | None:
    """A document that the store has by its digest; None when it has not, or something too large to be one."""
    size = store.size(digest)
    if size is None or size > limit:
        return None
    with store.read(digest) as source:
        return source.read()


def keep_document(store: BlobStore, digest: Digest, data: bytes, media_type: str) -> None:
    """Verified on its way in; keeping what is there already is harmless."""
    if store.size(digest) is None:
        with store.writer(digest.partition(":")[0]) as writer:
            writer.write(data)
            writer.commit(media_type, digest)
