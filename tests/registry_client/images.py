"""Images made for a test, and the check that a repository has one entirely."""

import io
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from pipeyard.oci import (
    Descriptor,
    Digest,
    ImageConfig,
    ImageIndex,
    ImageManifest,
    RootFs,
    digest_of,
    encode,
    media_types,
)
from pipeyard.oci.documents import PlatformField
from pipeyard.registry.client import Repository
from pipeyard.registry.exchange import Destination, Document, Offer, Published
from pipeyard.registry.reference import Reference


class Sample(Struct, frozen=True):
    """A whole image: its blobs by digest, its documents children first."""

    blobs: dict[Digest, tuple[Descriptor, bytes]]
    documents: tuple[Document, ...]

    @property
    def root(self) -> Document:
        return self.documents[-1]

    @property
    def digest(self) -> str:
        return digest_of(self.root.data)


def sample(seed: int = 0, sizes: tuple[int, ...] = (70_000, 3000), architecture: str = "amd64") -> Sample:
    """An image with layers of random bytes, the same for the same arguments."""
    chance = random.Random(f"{seed}/{architecture}")
    layers = [chance.randbytes(size) for size in sizes]
    config = encode(
        ImageConfig(
            architecture=architecture, os="linux", rootfs=RootFs(diff_ids=[digest_of(layer) for layer in layers])
        )
    )
    parts = [
        _described(media_types.OCI_CONFIG, config),
        *(_described(media_types.OCI_LAYER, layer) for layer in layers),
    ]
    manifest = ImageManifest(schema_version=2, media_type=media_types.OCI_MANIFEST, config=parts[0], layers=parts[1:])
    blobs = {part.digest: (part, data) for part, data in zip(parts, [config, *layers], strict=True)}
    return Sample(blobs, (Document(media_type=media_types.OCI_MANIFEST, data=encode(manifest)),))


def sample_index(*members: tuple[str, Sample]) -> Sample:
    """An index of `(architecture, image)`."""
    entries = [
        Descriptor(
            media_type=media_types.OCI_MANIFEST,
            digest=digest_of(image.root.data),
            size=len(image.root.data),
            platform=PlatformField(architecture=architecture, os="linux"),
        )
        for architecture, image in members
    ]
    index = ImageIndex(schema_version=2, media_type=media_types.OCI_INDEX, manifests=entries)
    blobs = {digest: blob for _, image in members for digest, blob in image.blobs.items()}
    documents = tuple(document for _, image in members for document in image.documents)
    return Sample(blobs, (*documents, Document(media_type=media_types.OCI_INDEX, data=encode(index))))


def _described(media_type: str, data: bytes) -> Descriptor:
    return Descriptor(media_type=media_type, digest=digest_of(data), size=len(data))


def from_memory(data: bytes) -> Callable[[int], AbstractContextManager[BinaryIO]]:
    @contextmanager
    def opened(start: int) -> Iterator[BinaryIO]:
        yield io.BytesIO(data[start:])

    return opened


def from_file(path: Path) -> Callable[[int], AbstractContextManager[BinaryIO]]:
    @contextmanager
    def opened(start: int) -> Iterator[BinaryIO]:
        with path.open("rb") as file:
            file.seek(start)
            yield file

    return opened


def push(
    image: Sample, destination: Destination, tags: tuple[str, ...], mount_from: tuple[Reference, ...] = ()
) -> Published:
    """Offers everything and publishes; closes the destination whatever happens."""
    try:
        for descriptor, data in image.blobs.values():
            destination.offer(Offer(descriptor=descriptor, open=from_memory(data), mount_from=mount_from))
        return destination.publish(image.documents, tags)
    finally:
        destination.close()


def has_all(repository: Repository, image: Sample, tag: str) -> bool:
    """Whether the tag names this very image, all of whose bytes can be read and are right."""
    root = repository.document(tag)
    if root is None or root.data != image.root.data:
        return False
    for document in image.documents:
        found = repository.document(digest_of(document.data))
        assert found is not None
        assert found.data == document.data
    for descriptor, data in image.blobs.values():
        with repository.read(descriptor) as stream:
            assert stream.read() == data
    return True
