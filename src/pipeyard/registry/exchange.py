"""The two contracts between a build and the registries: where base images come from, and where results go.

Implemented by the content store itself (the embedded registry: nothing is moved) and by the client (any other).
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import BinaryIO, Protocol

from msgspec import Struct

from pipeyard.errors import InputError
from pipeyard.oci import Descriptor, Digest, ImageConfig, ImageManifest, Platform, digest_of
from pipeyard.registry.growing import GrowingBlob
from pipeyard.registry.reference import Reference

MAX_CONFIG = 16 * 1024 * 1024
"""Bytes of an image's configuration that anybody reads into memory; BuildKit's history of a large build stays below."""


class ResolvedImage(Struct, frozen=True, kw_only=True):
    """An image of one platform, its documents read and verified, none of its layers fetched."""

    reference: Reference  # as asked for
    root: Descriptor  # what the reference names: a manifest, or the index that holds it
    descriptor: Descriptor  # the manifest
    manifest: ImageManifest
    config: ImageConfig


class ImageOrigin(Protocol):
    """Where images are read from."""

    def resolve(self, reference: Reference, platform: Platform) -> ResolvedImage:
        """Raises InputError when there is no such image or not for this platform (naming those that exist),
        RegistryError when the registry fails."""

    def read(self, image: ResolvedImage, blob: Descriptor, start: int = 0) -> AbstractContextManager[BinaryIO]:
        """A blob of the image as a stream; read to its end, it has been verified (else DigestMismatch)."""


class Offer(Struct, frozen=True, kw_only=True):
    """A blob that a destination may need, and how it could get it without or with moving bytes."""

    descriptor: Descriptor
    open: Callable[[int], AbstractContextManager[BinaryIO]]  # from a byte onwards
    mount_from: tuple[Reference, ...] = ()  # repositories known to hold it
    is_new: bool = False  # made a moment ago, so that hardly any repository has it


class Document(Struct, frozen=True, kw_only=True):
    """A manifest or index as the exact bytes that its digest names."""

    media_type: str
    data: bytes


def descriptor_of(document: Document) -> Descriptor:
    """What names a document, without a platform."""
    return Descriptor(media_type=document.media_type, digest=digest_of(document.data), size=len(document.data))


class Published(Struct, frozen=True, kw_only=True):
    """What a reader of the destination sees now."""

    repository: str  # with the host, as one would pull it
    tags: tuple[str, ...]
    digest: Digest  # of the root document
    size: int  # bytes of the root document's manifest, config and layers
    references: tuple[str, ...]  # repository:tag for each tag


class Destination(Protocol):
    """One repository that receives one image. Blobs travel in the background while the build goes on."""

    def offer(self, blob: Offer) -> None:
        """Begins to bring the blob there unless it is there; returns at once. The same blob may be offered twice."""

    def follow(self, blob: GrowingBlob) -> None:
        """May begin to bring a blob that is still being written; returns at once. When it is whole, it is offered."""

    def publish(self, documents: Sequence[Document], tags: Sequence[str]) -> Published:
        """Waits for the blobs, puts the documents (children first, the root last), then all tags.

        Raises the first failure of a blob, or RegistryError that says which tags were set and which not.
        With no tags the root is published by its digest alone.
        """

    def close(self) -> None:
        """Ends the background work; what was not published stays invisible. Safe to call twice."""


def checked_config(descriptor: Descriptor, name: str) -> None:
    """Raises InputError for a configuration that is too large to be read."""
    if descriptor.size > MAX_CONFIG:
        raise InputError(f"{name} has a configuration of {descriptor.size} bytes, which is too large")
