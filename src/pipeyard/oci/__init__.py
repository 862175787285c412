"""The data types of images: digests, descriptors, manifests, configurations, platforms."""

from pipeyard.oci.digest import Digest, Hasher, digest_of, parse_digest, short_digest
from pipeyard.oci.documents import (
    Descriptor,
    History,
    ImageConfig,
    ImageIndex,
    ImageManifest,
    RootFs,
    RuntimeConfig,
    decode_config,
    decode_manifest,
    encode,
)
from pipeyard.oci.platforms import Platform, parse_platform

__all__ = [
    "Descriptor",
    "Digest",
    "Hasher",
    "History",
    "ImageConfig",
    "ImageIndex",
    "ImageManifest",
    "Platform",
    "RootFs",
    "RuntimeConfig",
    "decode_config",
    "decode_manifest",
    "digest_of",
    "encode",
    "parse_digest",
    "parse_platform",
    "short_digest",
]
