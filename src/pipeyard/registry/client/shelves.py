"""A repository of the embedded registry as something to copy from."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO

from pipeyard.oci import Descriptor, Digest
from pipeyard.registry.exchange import Document
from pipeyard.registry.manifests import examine, referrer
from pipeyard.registry.reference import Reference
from pipeyard.registry.store import ContentStore


class StoreShelf:
    """A Shelf over one repository of the store."""

    def __init__(self, store: ContentStore, repository: str) -> None:
        self._store = store
        self._repository = repository

    @property
    def reference(self) -> Reference:
        return Reference("", self._repository)

    def document(self, key: str, size: int | None = None) -> Document | None:
        del size  # what is stored was verified on its way in
        found = self._store.catalog.manifest(self._repository, key)
        return Document(media_type=found.media_type, data=found.data) if found else None

    def read(
        self, blob: Descriptor, start: int = 0, moved: Callable[[int], None] | None = None
    ) -> AbstractContextManager[BinaryIO]:
        del moved  # a file is read in no time; whoever sends it tells of its progress
        return self._store.read(blob.digest, start)

    def referrers(self, digest: Digest) -> tuple[Descriptor, ...]:
        return tuple(
            referrer(found.data, found.media_type, found.digest, examine(found.data, found.media_type).artifact_type)
            for found in self._store.catalog.referrers(self._repository, digest)
        )

    def tags(self) -> Iterator[str]:
        return iter(self._store.catalog.tags(self._repository))
