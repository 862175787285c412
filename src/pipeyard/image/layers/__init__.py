"""Layers of images: entries to blobs, blobs to folders, and a look into stacks of them."""

from pipeyard.image.layers.compression import GZIP, UNCOMPRESSED, ZSTD, Compression, parse_compression
from pipeyard.image.layers.decompress import BadArchive
from pipeyard.image.layers.diff import diff_upper
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
from pipeyard.image.layers.extract import Extracted, ExtractLimits, extract
from pipeyard.image.layers.powers import Form, form_of_this_process
from pipeyard.image.layers.read import is_archive, read_entries
from pipeyard.image.layers.stack import FolderStack, Found
from pipeyard.image.layers.stream import tar_blocks
from pipeyard.image.layers.write import Layer, pack_layer, write_layer, write_tar

__all__ = [
    "GZIP",
    "OPAQUE_NAME",
    "UNCOMPRESSED",
    "WHITEOUT_PREFIX",
    "ZSTD",
    "BadArchive",
    "Compression",
    "Content",
    "Entry",
    "ExtractLimits",
    "Extracted",
    "FolderStack",
    "Form",
    "Found",
    "Kind",
    "Layer",
    "diff_upper",
    "extract",
    "form_of_this_process",
    "is_archive",
    "is_opaque",
    "is_whiteout",
    "layer_order",
    "opaque",
    "pack_layer",
    "parse_compression",
    "read_entries",
    "removed_path",
    "tar_blocks",
    "whiteout",
    "write_layer",
    "write_tar",
]
