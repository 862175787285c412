"""An OCI image layout on disk as a place that images come from: named contexts and local caches.

Source: image-spec, image-layout.md.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO

from pipeyard.errors import DigestMismatch, InputError
from pipeyard.files import replace_file
from pipeyard.oci import (
    Descriptor,
    Hasher,
    ImageIndex,
    Platform,
    decode_config,
    decode_manifest,
    digest_of,
    encode,
    media_types,
    parse_digest,
)
from pipeyard.registry.exchange import Document, ImageOrigin, Offer, Published, ResolvedImage
from pipeyard.registry.growing import GrowingBlob
from pipeyard.registry.reference import Reference

HOST = "oci-layout"
_MAX_DOCUMENT = 16 << 20  # bytes
_TAG = "org.opencontainers.image.ref.name"


def layout_reference(text: str, folder: Path) -> Reference:
    """`FOLDER[:TAG]` or `FOLDER@DIGEST`, seen from `folder`, as a reference that no registry has."""
    path, at, digest = text.partition("@")
    name, colon, tag = path.rpartition(":")
    if not colon or "/" in tag:
        name, tag = path, ""
    return Reference(HOST, os.fspath(folder / name), tag, parse_digest(digest) if at else None)


class LayoutDestination:
    """A Destination that is one layout; what it receives takes the place of what it had under the same tags."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._offers: dict[str, Offer] = {}

    def offer(self, blob: Offer) -> None:
        self._offers.setdefault(blob.descriptor.digest, blob)

    def follow(self, blob: GrowingBlob) -> None:
        """A copy on this machine is not worth beginning early."""

    def publish(self, documents: Sequence[Document], tags: Sequence[str]) -> Published:
        for blob in self._offers.values():
            self._write(blob)
        root = documents[-1]
        for document in documents:
            digest = digest_of(document.data)
            self._whole(f"blobs/{digest.replace(':', '/')}", document.data)
        descriptor = Descriptor(media_type=root.media_type, digest=digest_of(root.data), size=len(root.data))
        members = [
            Descriptor(
                media_type=descriptor.media_type,
                digest=descriptor.digest,
                size=descriptor.size,
                annotations={_TAG: tag},
            )
            for tag in tags
        ] or [descriptor]
        self._whole("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        index = ImageIndex(schema_version=2, media_type=media_types.OCI_INDEX, manifests=members)
        self._whole("index.json", encode(index))
        size = descriptor.size + sum(blob.descriptor.size for blob in self._offers.values())
        return Published(
            repository=str(self._folder), tags=tuple(tags), digest=descriptor.digest, size=size, references=()
        )

    def close(self) -> None:
        self._offers.clear()

    def _write(self, blob: Offer) -> None:
        path = _path(self._folder, blob.descriptor)
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with replace_file(path, durable=False) as out, blob.open(0) as source:
            while data := source.read(1 << 20):
                out.write(data)

    def _whole(self, name: str, data: bytes) -> None:
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with replace_file(path, durable=False) as out:
            out.write(data)


class LayoutOrigin:
    """An ImageOrigin over layouts; `repository` of its references is the folder."""

    def resolve(self, reference: Reference, platform: Platform) -> ResolvedImage:
        folder = Path(reference.repository)
        try:
            index = decode_manifest((folder / "index.json").read_bytes())
        except OSError as error:
            raise InputError(f"{folder} is no OCI image layout: {error.strerror}") from error
        assert isinstance(index, ImageIndex)
        root = self._chosen(reference, index)
        found = root
        data = self._document(folder, root)
        document = decode_manifest(data, root.media_type)
        while isinstance(document, ImageIndex):
            fitting = [
                member
                for member in document.manifests
                if member.platform is None
                or platform.runs(Platform(member.platform.os, member.platform.architecture, member.platform.variant))
            ]
            if not fitting:
                raise InputError(f"{folder} has no image for {platform}")
            found = fitting[0]
            document = decode_manifest(self._document(folder, found), found.media_type)
        config = decode_config(self._document(folder, document.config))
        return ResolvedImage(reference=reference, root=root, descriptor=found, manifest=document, config=config)

    def read(self, image: ResolvedImage, blob: Descriptor, start: int = 0) -> AbstractContextManager[BinaryIO]:
        return _verified(_path(Path(image.reference.repository), blob), blob, start)

    def _chosen(self, reference: Reference, index: ImageIndex) -> Descriptor:
        wanted = [
            member
            for member in index.manifests
            if (reference.digest is None or member.digest == reference.digest)
            and (not reference.tag or reference.tag == member.annotations.get(_TAG))
        ]
        if not wanted:
            raise InputError(f"{reference.repository} has no image {reference.key or 'at all'}")
        return wanted[0]

    def _document(self, folder: Path, descriptor: Descriptor) -> bytes:
        if descriptor.size > _MAX_DOCUMENT:
            raise InputError(f"{descriptor.digest} is too large to be a document")
        try:
            data = _path(folder, descriptor).read_bytes()
        except OSError as error:
            raise InputError(f"{folder} does not have {descriptor.digest}: {error.strerror}") from error
        if digest_of(data, descriptor.digest.partition(":")[0]) != descriptor.digest:
            raise DigestMismatch(f"{descriptor.digest} of {folder} has other content")
        return data


class WithLayouts:
    """An ImageOrigin: image layouts on disk, and what the build was given for all others."""

    def __init__(self, others: ImageOrigin) -> None:
        self._others = others
        self._layouts = LayoutOrigin()

    def resolve(self, reference: Reference, platform: Platform) -> ResolvedImage:
        return self._of(reference).resolve(reference, platform)

    def read(self, image: ResolvedImage, blob: Descriptor, start: int = 0) -> AbstractContextManager[BinaryIO]:
        return self._of(image.reference).read(image, blob, start)

    def _of(self, reference: Reference) -> ImageOrigin:
        return self._layouts if reference.host == HOST else self._others


def _path(folder: Path, descriptor: Descriptor) -> Path:
    algorithm, _, hexadecimal = descriptor.digest.partition(":")
    return folder / "blobs" / algorithm / hexadecimal


@contextmanager
def _verified(path: Path, blob: Descriptor, start: int) -> Iterator[BinaryIO]:
    with open(path, "rb") as file:
        if start:
            file.seek(start)
            yield file
            return
        hashed = _Hashed(file, blob)
        yield hashed  # type: ignore[misc] # readers of blobs use read() alone


class _Hashed:
    """A blob's file; raises DigestMismatch at its end when the content is not what its name says."""

    def __init__(self, file: BinaryIO, blob: Descriptor) -> None:
        self._file = file
        self._blob = blob
        self._hasher = Hasher(blob.digest.partition(":")[0])

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._hasher.update(data)
        if (not data or size < 0) and self._hasher.digest != self._blob.digest:
            raise DigestMismatch(f"{self._blob.digest} has other content")
        return data
