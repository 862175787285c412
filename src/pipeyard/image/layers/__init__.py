"""Layers of images: entries to blobs, blobs to folders, and a look into stacks of them."""

from pipeyard.image.layers.compression import GZIP, UNCOMPRESSED, ZSTD, Compression, parse_compression
from pipeyard.image.layers.entry import (
    OPAQUE_NAME,
    WHITEOUT_PREFIX,
    Content,
    Entry,
    Kind,
    is_opaque,
    is_whiteout,
    layer_order,
    opaque,
    removed_path,
    whiteout,
)
from pipeyard.image.layers.stream import tar_blocks
from pipeyard.image.layers.write import Layer, pack_layer, write_layer, write_tar

__all__ = [
    "GZIP",
    "OPAQUE_NAME",
    "UNCOMPRESSED",
    "WHITEOUT_PREFIX",
    "ZSTD",
    "Compression",
    "Content",
    "Entry",
    "Kind",
    "Layer",
    "is_opaque",
    "is_whiteout",
    "layer_order",
    "opaque",
    "pack_layer",
    "parse_compression",
    "removed_path",
    "tar_blocks",
    "whiteout",
    "write_layer",
    "write_tar",
]
