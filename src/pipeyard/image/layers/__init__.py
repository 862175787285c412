"""Layers of images: entries to blobs, blobs to folders, and a look into stacks of them."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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
from pipeyard.image.layers.powers import Form, form_of_this_process
from pipeyard.image.layers.stack import FolderStack, Found
from pipeyard.image.layers.stream import tar_blocks
from pipeyard.image.layers.write import Layer, pack_layer, write_layer, write_tar

if TYPE_CHECKING:
    from pipeyard.image.layers.decompress import BadArchive
    from pipeyard.image.layers.diff import diff_upper
    from pipeyard.image.layers.extract import Extracted, ExtractLimits, extract
    from pipeyard.image.layers.read import is_archive, read_entries

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

# Reading layers: a build that only writes one does without.
_LATER = {
    "BadArchive": "decompress",
    "ExtractLimits": "extract",
    "Extracted": "extract",
    "diff_upper": "diff",
    "extract": "extract",
    "is_archive": "read",
    "read_entries": "read",
}


def __getattr__(name: str) -> Any:
    home = _LATER.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{home}")
    # All of them, since the import has bound `extract`, the module, where the function belongs.
    globals().update({each: getattr(module, each) for each, place in _LATER.items() if place == home})
    return globals()[name]
