"""What the `docker` commands need of whoever builds, fetches and runs images, and the images that a build has."""

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Protocol

from msgspec import Struct

from pipeyard.oci import Descriptor, ImageConfig
from pipeyard.registry.blobs import BlobStore
from pipeyard.registry.exchange import Document, ResolvedImage
from pipeyard.registry.reference import Reference, parse_reference

Log = Callable[[bytes], None]


class ImageOrder(Struct, frozen=True, kw_only=True):
    """`docker build`: folders and files are of this machine."""

    context: Path | None
    dockerfile: Path | None = None
    dockerfile_text: bytes | None = None
    target: str = ""
    arguments: dict[str, str] = {}
    labels: dict[str, str] = {}
    contexts: dict[str, str] = {}
    secrets: dict[str, bytes] = {}
    hosts: dict[str, str] = {}
    platforms: tuple[str, ...] = ()
    network: str = "default"
    no_cache: bool = False


class LocalImage(Struct, frozen=True, kw_only=True):
    """An image that a build made or pulled. `documents`: children first, the root last; `open` reads any blob."""

    image: ResolvedImage
    documents: tuple[Document, ...]
    blobs: tuple[Descriptor, ...]
    open: Callable[[Descriptor, int], AbstractContextManager[BinaryIO]]

    @property
    def id(self) -> str:
        """Docker's image id: the digest of the configuration."""
        return self.image.manifest.config.digest

    @property
    def config(self) -> ImageConfig:
        return self.image.config

    @property
    def size(self) -> int:
        return sum(layer.size for layer in self.image.manifest.layers)


class Container(Struct, frozen=True, kw_only=True):
    """`docker run`. `shared` are (folder of this machine, path within, writable)."""

    image: LocalImage
    command: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    environment: dict[str, str] = {}
    folder: str = ""
    user: str = ""
    stdin: bytes | None = None
    network: str = "host"
    shared: tuple[tuple[Path, str, bool], ...] = ()


class Engine(Protocol):
    """Does the work of `docker` for one build. Calls come from any thread; each raises PipeyardError when it fails."""

    def login(self, host: str, username: str, password: str) -> None:
        """Remembers a login for the registry until the build ends."""

    def build(self, order: ImageOrder, images: "LocalImages", log: Log) -> LocalImage:
        """FROM may name any of `images`."""

    def pull(self, reference: Reference, log: Log) -> LocalImage: ...

    def whole(self, reference: Reference) -> LocalImage:
        """What a registry has under a name, with all of its platforms; its blobs stay where they are."""

    @property
    def blobs(self) -> BlobStore:
        """Where the blobs of loaded images are kept, at least as long as the build."""

    def push(self, image: LocalImage, reference: Reference, tags: Sequence[str], log: Log) -> str:
        """Publishes under all tags; gives the digest that a reader of the registry sees."""

    def run(self, container: Container, log: Log) -> int:
        """Gives the exit status. Standard output and error are one stream."""


class LocalImages:
    """The images of one build by name, as `docker images` lists them. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards all below
        self._by_name: dict[Reference, LocalImage] = {}
        self._unnamed: dict[str, LocalImage] = {}
        self._pushed: dict[str, list[str]] = {}  # image id -> NAME@DIGEST

    def add(self, image: LocalImage, names: Sequence[Reference]) -> None:
        with self._lock:
            self._unnamed[image.id] = image
            for name in names:
                self._by_name[name] = image

    def find(self, text: str) -> LocalImage | None:
        """By name, by id, or by the beginning of an id."""
        bare = text.removeprefix("sha256:")
        with self._lock:
            if len(bare) >= 4 and all(letter in "0123456789abcdef" for letter in bare):
                found = [one for one in self._unnamed.values() if one.id.removeprefix("sha256:").startswith(bare)]
                if len(found) == 1:
                    return found[0]
            return self._by_name.get(parse_reference(text))

    def named(self, reference: Reference) -> LocalImage | None:
        with self._lock:
            return self._by_name.get(reference)

    def forget(self, text: str) -> bool:
        """Takes a name away, or with an id the image and all its names; False when there is no such image."""
        found = self.find(text)
        with self._lock:
            if found is not None and self._by_name.get(parse_reference(text)) is None:
                for name in [name for name, image in self._by_name.items() if image.id == found.id]:
                    del self._by_name[name]
                self._unnamed.pop(found.id, None)
                return True
            return self._by_name.pop(parse_reference(text), None) is not None

    def names(self) -> tuple[tuple[Reference, LocalImage], ...]:
        """Newest first."""
        with self._lock:
            return tuple(reversed(self._by_name.items()))

    def pushed(self, image: LocalImage, name: str) -> None:
        with self._lock:
            known = self._pushed.setdefault(image.id, [])
            if name not in known:
                known.append(name)

    def digests(self, image: LocalImage) -> tuple[str, ...]:
        with self._lock:
            return tuple(self._pushed.get(image.id, ()))
