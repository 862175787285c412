"""Base images from the embedded registry where it has them, and from the registries out there otherwise."""

from contextlib import AbstractContextManager
from typing import BinaryIO

from msgspec import structs

from pipeyard.oci import Descriptor, Platform
from pipeyard.registry.embedded import StoreOrigin
from pipeyard.registry.exchange import ImageOrigin, ResolvedImage
from pipeyard.registry.reference import DEFAULT_HOST, Reference
from pipeyard.registry.store import ContentStore


class EmbeddedFirst:
    """An ImageOrigin. `own_hosts` name the embedded registry itself: what it lacks there is looked for nowhere else."""

    def __init__(self, store: ContentStore, remote: ImageOrigin, own_hosts: frozenset[str] = frozenset()) -> None:
        self._store = store
        self._embedded = StoreOrigin(store)
        self._remote = remote
        self._own_hosts = own_hosts

    def resolve(self, reference: Reference, platform: Platform) -> ResolvedImage:
        """Raises InputError when there is no such image or not for this platform, RegistryError."""
        for name in embedded_names(reference, self._own_hosts):
            if self._store.catalog.manifest(name, reference.key) is not None:
                own = structs.replace(reference, repository=name)
                return structs.replace(self._embedded.resolve(own, platform), reference=reference)
        if reference.host in self._own_hosts:
            return self._embedded.resolve(reference, platform)  # raises, and knows what to say
        return self._remote.resolve(reference, platform)

    def read(self, image: ResolvedImage, blob: Descriptor, start: int = 0) -> AbstractContextManager[BinaryIO]:
        """Whatever the store has comes from there, whoever named it: a digest is a digest."""
        if self._store.size(blob.digest) is not None:
            return self._store.read(blob.digest, start)
        return self._remote.read(image, blob, start)


def embedded_names(reference: Reference, own_hosts: frozenset[str]) -> tuple[str, ...]:
    """The repositories of the embedded registry that a reference may mean, none for those of other hosts.

    A name without host belongs to Docker Hub by the grammar, and to whatever is here first by every engine's habit:
    `app` is `docker.io/library/app` and may be the embedded `app`.
    """
    if reference.host in own_hosts:
        return (reference.repository,)
    if reference.host != DEFAULT_HOST:
        return ()
    short = reference.repository.removeprefix("library/")
    return (reference.repository,) if short == reference.repository else (short, reference.repository)
