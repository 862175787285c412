"""Upstream registries of the pull-through cache, over the client."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from pipeyard.oci import Descriptor, Digest
from pipeyard.registry.client import Registries, Repository
from pipeyard.registry.exchange import Document
from pipeyard.registry.reference import Reference


class ClientUpstream:
    """An Upstream (see proxying.py) that is the registry `host`. As thread-safe as the client."""

    def __init__(self, registries: Registries, host: str) -> None:
        self._registries = registries
        self._host = host

    def digest(self, repository: str, tag: str) -> Digest | None:
        found = self._repository(repository).head(tag)
        return found.digest if found else None

    def manifest(self, repository: str, digest: Digest) -> Document | None:
        return self._repository(repository).document(digest)

    def blob_size(self, repository: str, digest: Digest) -> int | None:
        return self._repository(repository).blob_size(digest)

    @contextmanager
    def blob(self, repository: str, digest: Digest, size: int) -> Iterator[BinaryIO]:
        blob = Descriptor(media_type="application/octet-stream", digest=digest, size=size)
        with self._repository(repository).read(blob) as stream:
            yield stream

    def _repository(self, name: str) -> Repository:
        return self._registries.repository(Reference(self._host, name))
