"""Copying an image from wherever it is to wherever it shall be: one platform or all, with what refers to it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO, Protocol

from msgspec import Struct

from pipeyard.errors import InputError, RegistryError
from pipeyard.oci import (
    Descriptor,
    Digest,
    ImageIndex,
    ImageManifest,
    Platform,
    decode_manifest,
    digest_of,
    media_types,
)
from pipeyard.registry.choosing import choose
from pipeyard.registry.client.origin import no_image
from pipeyard.registry.exchange import Destination, Document, Offer, Published, descriptor_of
from pipeyard.registry.reference import Reference

_MAX_DEPTH = 4  # indexes within indexes, referrers of referrers
_MAX_DOCUMENTS = 2000


class Shelf(Protocol):
    """A repository as something to copy from. Safe from any thread."""

    @property
    def reference(self) -> Reference:
        """Host and repository."""

    def document(self, key: str, size: int | None = None) -> Document | None:
        """The manifest that a tag or digest names, verified; None when there is none."""

    def read(
        self, blob: Descriptor, start: int = 0, moved: Callable[[int], None] | None = None
    ) -> AbstractContextManager[BinaryIO]:
        """A blob as a stream; read to its end from 0, it has been verified. `moved` is told of every piece."""

    def referrers(self, digest: Digest) -> tuple[Descriptor, ...]:
        """What refers to a manifest."""

    def tags(self) -> Iterator[str]:
        """Every tag."""


class Copied(Struct, frozen=True, kw_only=True):
    published: Published
    referrers: int  # how many documents were brought that refer to it


def copy_image(
    source: Shelf,
    reference: Reference,
    destination: Destination,
    tags: tuple[str, ...],
    *,
    platform: Platform | None,
    with_referrers: bool = False,
    moved: Callable[[Descriptor, int], None] | None = None,
) -> Copied:
    """Copies what `reference` names in `source`: of an index the image for `platform`, or all when that is None.

    Bytes are never changed: the digest stays, except that one platform of an index has its own. What goes under no
    tag is reachable by its digest. `moved` is told how much of which blob was read. The caller closes the destination.
    Raises InputError when there is no such image or platform, RegistryError.
    """
    root, _ = _root(source, reference, platform)
    documents = tuple(_family(source, root, 0))
    if len(documents) > _MAX_DOCUMENTS:
        raise InputError(f"{reference} consists of more than {_MAX_DOCUMENTS} manifests")
    _offer(source, destination, documents, moved)
    published = destination.publish(documents, tags)
    count = 0
    if with_referrers:
        for document in documents:
            count += _copy_referrers(source, destination, digest_of(document.data), moved, 0)
    return Copied(published=published, referrers=count)


def _root(
    source: Shelf, reference: Reference, platform: Platform | None
) -> tuple[Document, ImageManifest | ImageIndex]:
    """What a reference names, or of an index the image for `platform`; as bytes and read."""
    document = source.document(reference.key)
    if document is None:
        raise no_image(reference)
    manifest = decode_manifest(document.data, document.media_type)
    if platform is None or not isinstance(manifest, ImageIndex):
        return document, manifest
    child = _child(source, choose(manifest, platform, str(reference)))
    return child, decode_manifest(child.data, child.media_type)


def _family(source: Shelf, root: Document, depth: int) -> Iterator[Document]:
    """Children before their parents, each once."""
    manifest = decode_manifest(root.data, root.media_type)
    if isinstance(manifest, ImageIndex):
        if depth >= _MAX_DEPTH:
            raise InputError("an index within an index within an index has no end")
        seen: set[Digest] = set()
        for descriptor in manifest.manifests:
            if descriptor.media_type in media_types.DOCUMENTS and descriptor.digest not in seen:
                seen.add(descriptor.digest)
                yield from _family(source, _child(source, descriptor), depth + 1)
    yield root


def _child(source: Shelf, descriptor: Descriptor) -> Document:
    child = source.document(descriptor.digest, descriptor.size)
    if child is None:
        raise RegistryError(f"{source.reference.name} lists {descriptor.digest} and does not have it", status=404)
    return child


def _offer(
    source: Shelf,
    destination: Destination,
    documents: tuple[Document, ...],
    moved: Callable[[Descriptor, int], None] | None,
) -> None:
    mount_from = (source.reference,) if source.reference.host else ()
    for document in documents:
        for blob in _blobs(decode_manifest(document.data, document.media_type)):
            destination.offer(Offer(descriptor=blob, open=_opener(source, blob, moved), mount_from=mount_from))


def _blobs(manifest: ImageManifest | ImageIndex) -> Iterator[Descriptor]:
    if isinstance(manifest, ImageIndex):
        # BuildKit's cache lists its layers in an index.
        yield from (member for member in manifest.manifests if member.media_type not in media_types.DOCUMENTS)
        return
    yield manifest.config
    for layer in manifest.layers:
        elsewhere = layer.urls or "nondistributable" in layer.media_type
        if not elsewhere and layer.media_type != media_types.DOCKER_FOREIGN_LAYER:
            yield layer


def _opener(
    source: Shelf, blob: Descriptor, moved: Callable[[Descriptor, int], None] | None
) -> Callable[[int], AbstractContextManager[BinaryIO]]:
    def open_from(start: int) -> AbstractContextManager[BinaryIO]:
        if moved is None:
            return source.read(blob, start)
        done = start

        def count(size: int) -> None:
            nonlocal done
            done += size
            moved(blob, done)

        return source.read(blob, start, count)

    return open_from


def _copy_referrers(
    source: Shelf,
    destination: Destination,
    subject: Digest,
    moved: Callable[[Descriptor, int], None] | None,
    depth: int,
) -> int:
    if depth >= _MAX_DEPTH:
        return 0
    count = 0
    for descriptor in source.referrers(subject):
        documents = tuple(_family(source, _child(source, descriptor), 0))
        _offer(source, destination, documents, moved)
        destination.publish(documents, ())
        count += 1 + _copy_referrers(source, destination, descriptor.digest, moved, depth + 1)
    return count


class Inspected(Struct, frozen=True, kw_only=True):
    """What is known of an image without fetching a layer."""

    root: Descriptor
    document: Document
    manifest: ImageManifest | ImageIndex


def inspect_image(source: Shelf, reference: Reference, platform: Platform | None) -> Inspected:
    """What a reference names, or of an index the image for `platform`. Raises InputError, RegistryError."""
    document, manifest = _root(source, reference, platform)
    return Inspected(root=descriptor_of(document), document=document, manifest=manifest)
