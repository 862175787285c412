"""The image's documents: configuration, manifest, index, with times, history and annotations in their final form.

Source: BuildKit, exporter/containerimage/writer.go (patchImageConfig, normalizeLayersAndHistory).
"""

import datetime
from collections.abc import Mapping, Sequence

from msgspec import structs

from pipeyard.errors import InputError
from pipeyard.image.build.graph import Graph
from pipeyard.image.layers import Layer
from pipeyard.oci import (
    Descriptor,
    History,
    ImageConfig,
    ImageIndex,
    ImageManifest,
    Platform,
    RootFs,
    digest_of,
    encode,
    media_types,
)
from pipeyard.oci.documents import PlatformField

EXPORTER_COMMENT = "buildkit.exporter.image.v0"


def timestamp(epoch_s: int) -> str:
    """RFC 3339 in UTC."""
    return datetime.datetime.fromtimestamp(epoch_s, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def finished_config(graph: Graph, layers: Sequence[tuple[Layer, str]], epoch_s: int) -> ImageConfig:
    """The image's configuration. `layers` are all of the image's, with what each was made by."""
    time = timestamp(epoch_s)
    history = [
        entry if at < graph.base_history else structs.replace(entry, created=time)
        for at, entry in enumerate(graph.config.history)
    ]
    counted = sum(not entry.empty_layer for entry in history)
    for _, made_by in layers[counted:]:
        # Layers that no instruction stands for, such as a named context in place of a base image.
        history.append(History(created=time, created_by=made_by, comment=EXPORTER_COMMENT))
    rootfs = RootFs(diff_ids=[layer.diff_id for layer, _ in layers])
    return structs.replace(graph.config, created=time, rootfs=rootfs, history=history)


def manifest_of(config: bytes, layers: Sequence[Layer], annotations: Mapping[str, str]) -> tuple[ImageManifest, bytes]:
    descriptor = Descriptor(media_type=media_types.OCI_CONFIG, digest=digest_of(config), size=len(config))
    blobs = [
        structs.replace(layer.blob, media_type=_oci_type(layer.blob.media_type), annotations={}) for layer in layers
    ]
    manifest = ImageManifest(
        schema_version=2,
        media_type=media_types.OCI_MANIFEST,
        config=descriptor,
        layers=blobs,
        annotations=dict(annotations),
    )
    return manifest, encode(manifest)


def _oci_type(media_type: str) -> str:
    """Layers of a Docker base image under their OCI names: the bytes are the same."""
    return {
        media_types.DOCKER_LAYER: media_types.OCI_LAYER,
        media_types.DOCKER_LAYER_GZIP: media_types.OCI_LAYER_GZIP,
        media_types.DOCKER_FOREIGN_LAYER: media_types.OCI_LAYER_GZIP,
    }.get(media_type, media_type)


def index_of(members: Sequence[Descriptor], annotations: Mapping[str, str]) -> bytes:
    index = ImageIndex(
        schema_version=2, media_type=media_types.OCI_INDEX, manifests=list(members), annotations=dict(annotations)
    )
    return encode(index)


def platform_field(platform: Platform) -> PlatformField:
    return PlatformField(architecture=platform.architecture, os=platform.os, variant=platform.variant)


def split_annotations(given: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """`KEY`, `manifest:KEY` and `index:KEY` as annotations of the manifests and of the index. Raises InputError."""
    manifest: dict[str, str] = {}
    index: dict[str, str] = {}
    for text, value in given.items():
        kinds, colon, key = text.partition(":")
        known = {"manifest", "index"}
        if not colon or not set(kinds.split(",")) <= known:
            kinds, key = "manifest", text
        if not key:
            raise InputError(f"the annotation {text!r} has no name")
        for kind in kinds.split(","):
            (manifest if kind == "manifest" else index)[key] = value
    return manifest, index
