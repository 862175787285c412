"""The build cache beyond this machine: which keys gave which layers, as an annotation of an image's manifest.

A cache is an image like any other: its layers are those of the steps, and a registry needs to know nothing new. An
ordinary image carries the keys of its own layers ("inline") in the same annotation.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import BinaryIO

import msgspec
from msgspec import Struct

from pipeyard.errors import InputError, RegistryError
from pipeyard.image.build.documents import manifest_of
from pipeyard.image.layers import Layer
from pipeyard.oci import Descriptor, Digest, ImageConfig, Platform, RootFs, encode
from pipeyard.progress import Observer, Warned
from pipeyard.registry.exchange import Destination, Document, ImageOrigin, Offer, ResolvedImage
from pipeyard.registry.reference import Reference

ANNOTATION = "dev.pipeyard.cache.v1"


class SharedLayer(Struct, frozen=True, kw_only=True):
    """The layer of a key, in an image of some registry."""

    blob: Descriptor
    diff_id: Digest
    size: int
    image: ResolvedImage


class Exported(Struct, frozen=True, kw_only=True):
    """The layer of a step of this build."""

    key: str
    layer: Layer
    open: Callable[[int], AbstractContextManager[BinaryIO]]


class _Row(Struct, frozen=True, array_like=True):
    key: str
    layer: int  # position among the manifest's layers
    diff_id: Digest
    size: int


def annotation_of(rows: Sequence[tuple[str, int, Layer]]) -> Mapping[str, str]:
    """For each key, which layer of the manifest it gave."""
    table = [_Row(key, at, layer.diff_id, layer.size) for key, at, layer in rows]
    return {ANNOTATION: msgspec.json.encode(table).decode()} if table else {}


def import_caches(
    references: Sequence[Reference], platform: Platform, origin: ImageOrigin, observe: Observer
) -> dict[str, SharedLayer]:
    """What the caches know, by key; one that is not there is told and does not matter."""
    found: dict[str, SharedLayer] = {}
    for reference in references:
        try:
            image = origin.resolve(reference, platform)
            rows = msgspec.json.decode(image.manifest.annotations.get(ANNOTATION, "[]"), type=list[_Row])
        except (InputError, RegistryError, msgspec.MsgspecError) as error:
            observe(Warned(f"the cache {reference} is not used: {error}"))
            continue
        layers = image.manifest.layers
        for row in rows:
            if 0 <= row.layer < len(layers):
                shared = SharedLayer(blob=layers[row.layer], diff_id=row.diff_id, size=row.size, image=image)
                found.setdefault(row.key, shared)
    return found


def export_cache(
    exported: Sequence[Exported], platform: Platform, destination: Destination, tags: Sequence[str]
) -> None:
    """Publishes the layers of steps as a cache image. Raises RegistryError."""
    config = ImageConfig(
        architecture=platform.architecture,
        os=platform.os,
        variant=platform.variant,
        rootfs=RootFs(diff_ids=[one.layer.diff_id for one in exported]),
    )
    data = encode(config)
    notes = annotation_of([(one.key, at, one.layer) for at, one in enumerate(exported)])
    manifest, document = manifest_of(data, [one.layer for one in exported], notes)
    for one in exported:
        destination.offer(Offer(descriptor=one.layer.blob, open=one.open))
    destination.offer(Offer(descriptor=manifest.config, open=_Bytes(data)))
    destination.publish([Document(media_type=manifest.media_type, data=document)], tags)


class _Bytes:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def __call__(self, start: int) -> AbstractContextManager[BinaryIO]:
        import io

        return io.BytesIO(self._data[start:])
