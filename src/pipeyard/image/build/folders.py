"""Layers as folders and as lists of entries: made when a RUN or a COPY must see them, kept in the cache."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from pipeyard.errors import PipeyardError
from pipeyard.image.build.cache import BuildCache, Record
from pipeyard.image.build.keys import chain_key
from pipeyard.image.build.layerstate import FileSystem, LayerState
from pipeyard.image.build.nodes import Node
from pipeyard.image.build.stacktree import StackTree
from pipeyard.image.build.views import Listing, View
from pipeyard.image.layers import Layer, form_of_this_process
from pipeyard.oci import Descriptor, Digest, ImageConfig, encode
from pipeyard.progress import Observer, StepEnded, StepStarted, Transferred
from pipeyard.registry.blobs import BlobStore, BlobWriter
from pipeyard.registry.exchange import ImageOrigin, ResolvedImage
from pipeyard.threads import Future, Stop

SMALL_BASE = 16 << 20
"""Bytes of compressed layers that are fetched only to look at their names; see `View` of a larger base below."""

_STANDARD = frozenset(("bin", "boot", "dev", "etc", "home", "lib", "lib32", "lib64", "libx32", "media", "mnt")).union(
    ("opt", "proc", "root", "run", "sbin", "srv", "sys", "tmp", "usr", "var")
)


class BaseLayers:
    """The layers of an image as a file system whose folders are made on demand."""

    def __init__(self, store: BlobStore, origin: ImageOrigin, cache: BuildCache, observe: Observer, stop: Stop) -> None:
        self._store = store
        self._origin = origin
        self._cache = cache
        self._observe = observe
        self._stop = stop

    def file_system(self, image: ResolvedImage, key: str) -> FileSystem:
        diff_ids = image.config.rootfs.diff_ids
        powers = form_of_this_process().powers
        layers = []
        for number, (blob, diff_id) in enumerate(zip(image.manifest.layers, diff_ids, strict=True)):
            layer = LayerState(f"{image.reference} layer {number + 1}/{len(diff_ids)}")
            layer.image = image
            layer.open = self.opener(image, blob)
            layer.blob = Future()
            layer.blob.set_result(Layer(blob, diff_id, 0))
            layer.make_folder = self._maker(image, blob, diff_id, chain_key(diff_ids[: number + 1], powers), layer.name)
            layers.append(layer)
        return FileSystem(key, tuple(layers))

    def opener(self, image: ResolvedImage, blob: Descriptor) -> "_Opener":
        """Reads a blob of an image from the store when it is there, else from where the image is."""
        return _Opener(self._store, self._origin, image, blob)

    def _maker(self, image: ResolvedImage, blob: Descriptor, diff_id: Digest, key: str, name: str) -> "_BaseFolder":
        return _BaseFolder(self, image, blob, diff_id, key, name)

    def known_folder(self, key: str) -> Path | None:
        record = self._cache.find(key)
        return self._cache.folder(record.folder) if record is not None and record.folder else None

    def unpack(
        self,
        image: ResolvedImage,
        blob: Descriptor,
        diff_id: Digest,
        key: str,
        name: str,
        lowers: Sequence[Path],
    ) -> Path:
        """Unpacks a layer; what had to be fetched for it is in the store afterwards."""
        from pipeyard.image.layers import extract

        step = f"unpack {blob.digest[:19]}"
        self._observe(StepStarted(step, f"unpack {name}"))
        folder, path = self._cache.new_folder()
        try:
            if self._store.size(blob.digest) is not None:
                with self._store.read(blob.digest) as stream:
                    done = extract(stream, path, lowers=lowers, expected=diff_id, stop=self._stop)
            else:
                with self._origin.read(image, blob) as stream, self._store.writer() as writer:
                    tee = _Tee(stream, writer, blob, self._observe, step)
                    done = extract(cast(BinaryIO, tee), path, lowers=lowers, expected=diff_id, stop=self._stop)
                    tee.drain()
                    writer.commit(blob.media_type, blob.digest)
        except BaseException as error:
            self._cache.discard(folder)
            self._observe(StepEnded(step, error=str(error) or type(error).__name__))
            raise
        self._cache.keep(key, Record(diff_id=diff_id, size=done.size, folder=folder))
        self._observe(StepEnded(step))
        return path

    def fetch(self, image: ResolvedImage, blob: Descriptor) -> None:
        """Brings a layer's blob into the store."""
        if self._store.size(blob.digest) is not None:
            return
        with self._origin.read(image, blob) as stream, self._store.writer() as writer:
            while data := stream.read(1 << 20):
                self._stop.check()
                writer.write(data)
            writer.commit(blob.media_type, blob.digest)


class _Opener:
    def __init__(self, store: BlobStore, origin: ImageOrigin, image: ResolvedImage, blob: Descriptor) -> None:
        self._store, self._origin, self._image, self._blob = store, origin, image, blob

    def __call__(self, start: int) -> AbstractContextManager[BinaryIO]:
        if self._store.size(self._blob.digest) is not None:
            return self._store.read(self._blob.digest, start)
        return self._origin.read(self._image, self._blob, start)


class _BaseFolder:
    def __init__(
        self, layers: BaseLayers, image: ResolvedImage, blob: Descriptor, diff_id: Digest, key: str, name: str
    ) -> None:
        self._layers = layers
        self._image, self.blob, self._diff_id, self.key, self._name = image, blob, diff_id, key, name

    def known(self) -> Path | None:
        return self._layers.known_folder(self.key)

    def fetch(self) -> None:
        self._layers.fetch(self._image, self.blob)

    def __call__(self, lowers: Sequence[Path]) -> Path:
        found = self.known()
        if found is not None:
            return found
        return self._layers.unpack(self._image, self.blob, self._diff_id, self.key, self._name, lowers)


class _Tee:
    """A stream of which everything that is read is also stored."""

    def __init__(self, stream: BinaryIO, writer: BlobWriter, blob: Descriptor, observe: Observer, step: str) -> None:
        self._stream, self._writer, self._blob = stream, writer, blob
        self._observe, self._step = observe, step
        self._done = 0
        self._told = 0

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        if data:
            self._writer.write(data)
            self._done += len(data)
            if self._done - self._told > 1 << 22 or self._done == self._blob.size:
                self._told = self._done
                self._observe(Transferred(self._step, self._done, self._blob.size, self._blob.digest[7:19]))
        return data

    def drain(self) -> None:
        while self.read(1 << 20):
            pass


def materialized(system: FileSystem) -> tuple[Path, ...]:
    """The folders of all its layers, the lowest first; those that are missing are made. Safe for threads."""
    folders: list[Path] = []
    for layer in system.layers:
        with layer.lock:
            if layer.folder is None:
                if layer.make_folder is None:
                    raise PipeyardError(f"{layer.name} has no files to look at")
                layer.folder = layer.make_folder(tuple(folders))
            folders.append(layer.folder)
    return tuple(folders)


class Lookups(Protocol):
    def lookup(self, path: str) -> Node | None: ...


def view_of(system: FileSystem, destination: str) -> Lookups:
    """A view that is good enough to copy to `destination`.

    Of layers that are on disk, the folders; of the others, their entries. A large base image that nobody has
    fetched is not fetched for this alone when the destination's first folder is none that a distribution has, nothing
    in the image's configuration mentions it, and its history accounts for each layer: it is taken to have nothing
    there.
    """
    folders: list[Path] = []
    for layer in system.layers:
        if layer.folder is None and isinstance(layer.make_folder, _BaseFolder):
            layer.folder = layer.make_folder.known()
        if layer.folder is None:
            break
        folders.append(layer.folder)
    below = StackTree(folders) if folders else None
    rest = system.layers[len(folders) :]
    missing = [
        layer.make_folder.blob for layer in rest if layer.listing is None and isinstance(layer.make_folder, _BaseFolder)
    ]
    unseen = sum(blob.size for blob in missing) > SMALL_BASE and _is_foreign(rest, destination)
    listings = []
    for layer in rest:
        if unseen and layer.listing is None and isinstance(layer.make_folder, _BaseFolder):
            continue
        listings.append(listing_of(layer))
    return View(reversed(listings), below)


def listing_of(layer: LayerState) -> Listing:
    with layer.lock:
        if layer.listing is None:
            if isinstance(layer.make_folder, _BaseFolder):
                layer.make_folder.fetch()
            if layer.open is None and layer.blob is not None:
                layer.blob.result()
            assert layer.open is not None
            from pipeyard.image.layers import read_entries

            with layer.open(0) as stream:
                layer.listing = Listing(read_entries(stream.read))
        return layer.listing


def _is_foreign(layers: Sequence[LayerState], destination: str) -> bool:
    name = destination.strip("/").partition("/")[0]
    if not name or name in _STANDARD or name in (".", ".."):
        return False
    return not any(may_hold(layer.image.config, name) for layer in layers if layer.image is not None)


def may_hold(config: ImageConfig, name: str) -> bool:
    """Whether an image says something of a folder, or keeps silent about one of its layers."""
    told = [entry.created_by for entry in config.history if not entry.empty_layer]
    if len(told) != len(config.rootfs.diff_ids) or not all(told):
        return True
    return name.encode() in encode(config)  # history, entry point, environment, labels: wherever it stands
