"""Layers while a build goes on: as a blob, as a folder, as a list of entries, each made only when somebody needs it."""

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from pipeyard.image.build.views import Listing
from pipeyard.image.layers import Layer
from pipeyard.registry.exchange import ResolvedImage
from pipeyard.threads import Future


class LayerState:
    """One layer of a file system that is being built; shared by all file systems that stand on it."""

    def __init__(self, name: str, key: str = "") -> None:
        self.name = name  # for messages
        self.key = key  # of the step that made it
        self.folder: Path | None = None
        self.listing: Listing | None = None
        self.image: ResolvedImage | None = None  # the image that the layer was taken from
        self.blob: Future[Layer] | None = None
        self.make_blob: Callable[[], Layer] | None = None
        self.make_folder: Callable[[Sequence[Path]], Path] | None = None
        self.open: Callable[[int], AbstractContextManager[BinaryIO]] | None = None
        self.lock = threading.Lock()  # guards folder and blob while they are being made


class FileSystem(Struct, frozen=True):
    """A stack of layers, the lowest first; `key` names its content."""

    key: str
    layers: tuple[LayerState, ...] = ()

    def grown(self, key: str, layer: LayerState) -> "FileSystem":
        return FileSystem(key, (*self.layers, layer))
