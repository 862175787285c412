"""Descriptors, manifests, indexes and image configurations, as frozen values that encode to the exact JSON.

Source: image-spec (descriptor.md, manifest.md, image-index.md, config.md); Docker's schema 2 has the same shapes.
"""

from typing import Any

import msgspec
from msgspec import Struct

from pipeyard.errors import InputError
from pipeyard.oci import media_types
from pipeyard.oci.digest import Digest, parse_digest


class PlatformField(Struct, frozen=True, kw_only=True, omit_defaults=True):
    architecture: str
    os: str
    os_version: str = msgspec.field(name="os.version", default="")
    os_features: list[str] = msgspec.field(name="os.features", default_factory=list)
    variant: str = ""


class Descriptor(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    media_type: str
    digest: Digest
    size: int  # bytes
    urls: list[str] = []
    annotations: dict[str, str] = {}
    data: str | None = None  # base64
    platform: PlatformField | None = None
    artifact_type: str | None = None


class ImageManifest(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    schema_version: int
    media_type: str = ""
    artifact_type: str | None = None
    config: Descriptor
    layers: list[Descriptor]
    subject: Descriptor | None = None
    annotations: dict[str, str] = {}


class ImageIndex(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    schema_version: int
    media_type: str = ""
    artifact_type: str | None = None
    manifests: list[Descriptor]
    subject: Descriptor | None = None
    annotations: dict[str, str] = {}


class Healthcheck(Struct, frozen=True, kw_only=True, rename="pascal", omit_defaults=True):
    """Durations in nanoseconds."""

    test: list[str] = []
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class RuntimeConfig(Struct, frozen=True, kw_only=True, rename="pascal", omit_defaults=True):
    """The `config` member of an image configuration."""

    hostname: str = ""
    domainname: str = ""
    user: str = ""
    exposed_ports: dict[str, dict[str, Any]] | None = None
    env: list[str] | None = None
    entrypoint: list[str] | None = None
    cmd: list[str] | None = None
    healthcheck: Healthcheck | None = None
    args_escaped: bool = False
    volumes: dict[str, dict[str, Any]] | None = None
    working_dir: str = ""
    on_build: list[str] | None = None
    labels: dict[str, str] | None = None
    stop_signal: str = ""
    shell: list[str] | None = None


class History(Struct, frozen=True, kw_only=True, omit_defaults=True):
    created: str | None = None  # RFC 3339
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False


class RootFs(Struct, frozen=True, kw_only=True):
    type: str = "layers"
    diff_ids: list[Digest] = []


class ImageConfig(Struct, frozen=True, kw_only=True, omit_defaults=True):
    created: str | None = None
    author: str = ""
    architecture: str = ""
    variant: str = ""
    os: str = ""
    os_version: str = msgspec.field(name="os.version", default="")
    os_features: list[str] = msgspec.field(name="os.features", default_factory=list)
    config: RuntimeConfig | None = None
    rootfs: RootFs
    history: list[History] = []


_encoder = msgspec.json.Encoder(order="sorted")


def encode(document: Struct | dict[str, Any]) -> bytes:
    """JSON with sorted names and no spaces: the same document is always the same bytes, and so the same digest.

    Bytes that are no UTF-8, which travel in texts as lone surrogates, become U+FFFD, as Go's encoder has it.
    """
    try:
        return _encoder.encode(document)
    except UnicodeEncodeError:
        return _encoder.encode(_readable(msgspec.to_builtins(document)))


def _readable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_readable(item) for item in value]
    if isinstance(value, dict):
        return {_readable(name): _readable(item) for name, item in value.items()}
    return value


def decode_manifest(data: bytes, media_type: str = "") -> ImageManifest | ImageIndex:
    """A manifest or an index of either family, by `media_type` or, when that is empty, by its own content.

    Raises InputError for anything else (Docker's schema 1 named as such), with every digest in it checked.
    """
    try:
        document = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"not a manifest: {error}") from error
    if not isinstance(document, dict):
        raise InputError("not a manifest: its JSON is no object")
    if document.get("schemaVersion") == 1:
        raise InputError(
            "a manifest of Docker's schema 1, which is no longer in use",
            hint="push the image again with a current client",
        )
    kind = media_type or str(document.get("mediaType", ""))
    index = kind in media_types.INDEXES or (kind not in media_types.MANIFESTS and "manifests" in document)
    try:
        if index:
            found: ImageManifest | ImageIndex = msgspec.convert(document, ImageIndex)
            descriptors = found.manifests if isinstance(found, ImageIndex) else []
        else:
            found = msgspec.convert(document, ImageManifest)
            descriptors = [found.config, *found.layers]
    except msgspec.ValidationError as error:
        raise InputError(f"not a manifest: {error}") from error
    for descriptor in descriptors:
        parse_digest(descriptor.digest)
        if descriptor.size < 0:
            raise InputError(f"{descriptor.digest} has a negative size")
    return found


def decode_config(data: bytes) -> ImageConfig:
    """An image configuration. Raises InputError when it is none."""
    try:
        return msgspec.json.decode(data, type=ImageConfig)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"not an image configuration: {error}") from error
