"""Images of other registries, as a build or a copy reads them."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import BinaryIO

from pipeyard.errors import InputError, RegistryError
from pipeyard.oci import (
    Descriptor,
    ImageConfig,
    ImageIndex,
    ImageManifest,
    Platform,
    decode_config,
    decode_manifest,
    digest_of,
    parse_digest,
)
from pipeyard.progress import Observer, Warned, ignore
from pipeyard.registry.blobs import BlobStore
from pipeyard.registry.choosing import choose
from pipeyard.registry.client.kept import keep_document, read_keeping, stored_document
from pipeyard.registry.client.messages import SMALL
from pipeyard.registry.client.repository import Repository
from pipeyard.registry.exchange import Document, ResolvedImage, checked_config, descriptor_of
from pipeyard.registry.reference import Reference


class RemoteOrigin:
    """An ImageOrigin over repositories. Each reference is resolved once: a build sees one world while it lasts.

    What is fetched by its digest goes into the store `kept`, if there is one, and comes from there the next time.
    """

    def __init__(
        self,
        open_repository: Callable[[Reference], Repository],
        observe: Observer = ignore,
        kept: BlobStore | None = None,
    ) -> None:
        self._open = open_repository
        self._kept = kept
        self._observe = observe
        self._lock = threading.Lock()  # guards _resolved
        self._resolved: dict[tuple[Reference, Platform], ResolvedImage] = {}

    def resolve(self, reference: Reference, platform: Platform) -> ResolvedImage:
        """Raises InputError when there is no such image or not for this platform, RegistryError."""
        with self._lock:
            known = self._resolved.get((reference, platform))
        if known is None:
            known = self._resolve(reference, platform)
            with self._lock:
                self._resolved[(reference, platform)] = known
        return known

    def _resolve(self, reference: Reference, platform: Platform) -> ResolvedImage:
        repository = self._open(reference)
        document = self._document(repository, reference.key)
        if document is None:
            raise no_image(reference)
        root = descriptor_of(document)
        chosen = root
        manifest = decode_manifest(document.data, document.media_type)
        if isinstance(manifest, ImageIndex):
            chosen = choose(manifest, platform, str(reference))
            manifest = self._child(repository, chosen, reference)
            if isinstance(manifest, ImageIndex):
                raise InputError(f"{reference} is an index within an index, which is not an image")
        config = self._config(repository, manifest.config, reference)
        if chosen is root:
            own = Platform(config.os or platform.os, config.architecture or platform.architecture, config.variant)
            if not platform.runs(own):
                self._observe(Warned(f"{reference} is for {own} only, and {platform} was asked for"))
        return ResolvedImage(reference=reference, root=root, descriptor=chosen, manifest=manifest, config=config)

    def _config(self, repository: Repository, descriptor: Descriptor, reference: Reference) -> ImageConfig:
        checked_config(descriptor, str(reference))
        with self._read(repository, descriptor, 0) as source:
            return decode_config(source.read())

    def _child(
        self, repository: Repository, descriptor: Descriptor, reference: Reference
    ) -> ImageManifest | ImageIndex:
        child = self._document(repository, descriptor.digest, descriptor.size)
        if child is None:
            raise RegistryError(f"{reference} lists {descriptor.digest}, which {repository.host} does not have")
        return decode_manifest(child.data, child.media_type)

    def _document(self, repository: Repository, key: str, size: int | None = None) -> Document | None:
        digest = parse_digest(key) if ":" in key else None
        if self._kept is not None and digest is not None:
            data = stored_document(self._kept, digest, SMALL)
            if data is not None:
                manifest = decode_manifest(data)
                if manifest.media_type:
                    return Document(media_type=manifest.media_type, data=data)
        document = repository.document(key, size)
        if self._kept is not None and document is not None:
            keep_document(self._kept, digest_of(document.data), document.data, document.media_type)
        return document

    def read(self, image: ResolvedImage, blob: Descriptor, start: int = 0) -> AbstractContextManager[BinaryIO]:
        """A blob of the image as a stream; read to its end from 0, it has been verified (else DigestMismatch)."""
        return self._read(self._open(image.reference), blob, start)

    def _read(self, repository: Repository, blob: Descriptor, start: int) -> AbstractContextManager[BinaryIO]:
        if self._kept is None:
            return repository.read(blob, start)
        if self._kept.size(blob.digest) is not None:
            return self._kept.read(blob.digest, start)
        fetch = repository.read(blob, start)
        return fetch if start else read_keeping(self._kept, blob, fetch)


def no_image(reference: Reference) -> InputError:
    """For a reference that names nothing."""
    return InputError(f"there is no image {reference}", hint=f"`pipeyard image ls {reference.name}` lists its tags")
