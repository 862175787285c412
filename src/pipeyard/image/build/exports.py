"""A finished image as files: an OCI layout, a Docker archive, a root file system as folder or tar.

Sources: image-spec, image-layout.md; Docker image specification 1.2 ("Combined Image JSON"); BuildKit, exporter/.
"""

import io
import os
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec
from msgspec import structs

from pipeyard.errors import InputError
from pipeyard.files import replace_file
from pipeyard.image.build.laying import lay_out
from pipeyard.image.build.request import Built, BuiltLayer, BuiltPlatform
from pipeyard.image.layers import Entry, layer_order, write_tar
from pipeyard.image.layers.visible import visible_entries
from pipeyard.oci import Descriptor, ImageIndex, encode, media_types
from pipeyard.registry.reference import parse_reference

if TYPE_CHECKING:
    from typing_extensions import Buffer

_IN_MEMORY = 4096  # bytes of a file
Pieces = Callable[[], Iterator[bytes]]
Put = Callable[[str, int, Pieces], None]
"""Receives a file: its path, its size and its pieces."""


def oci_layout(built: Built, names: Sequence[str], put: Put) -> None:
    """An OCI image layout; each name becomes an entry of the index."""
    _put_bytes(put, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    _blobs(built, put)
    members = [_named(built.root, name) for name in names] or [built.root]
    index = ImageIndex(schema_version=2, media_type=media_types.OCI_INDEX, manifests=members)
    _put_bytes(put, "index.json", encode(index))


def docker_archive(built: Built, names: Sequence[str], put: Put) -> None:
    """What `docker load` reads; an OCI layout at the same time, as Docker itself writes it. Raises InputError."""
    if len(built.platforms) != 1:
        raise InputError("a Docker archive holds one platform", hint="use type=oci for several")
    (only,) = built.platforms
    oci_layout(built, names, put)
    manifest = [
        {
            "Config": _blob_path(only.manifest.config),
            "RepoTags": [_familiar(name) for name in names] or None,
            "Layers": [_blob_path(layer) for layer in only.manifest.layers],
        }
    ]
    _put_bytes(put, "manifest.json", msgspec.json.encode(manifest))


def _familiar(name: str) -> str:
    found = parse_reference(name)
    short = found.repository.removeprefix("library/") if found.host == "docker.io" else found.name
    return f"{short}:{found.tag}"


def _named(root: Descriptor, name: str) -> Descriptor:
    reference = parse_reference(name)
    notes = {
        **root.annotations,
        "io.containerd.image.name": str(reference),
        "org.opencontainers.image.ref.name": reference.tag,
    }
    return structs.replace(root, annotations=notes)


def _blobs(built: Built, put: Put) -> None:
    done: set[str] = set()

    def once(descriptor: Descriptor, pieces: Pieces) -> None:
        if descriptor.digest not in done:
            done.add(descriptor.digest)
            put(_blob_path(descriptor), descriptor.size, pieces)

    for one in built.platforms:
        for layer in one.layers:
            once(layer.descriptor, _reader(layer))
        once(one.manifest.config, _whole(one.config_data))
        once(one.descriptor, _whole(one.manifest_data))
        if one.attestation is not None:
            for descriptor, data in one.attestation.blobs:
                once(descriptor, _whole(data))
            once(one.attestation.descriptor, _whole(one.attestation.data))
    once(built.root, _whole(built.root_data))


def _blob_path(descriptor: Descriptor) -> str:
    return f"blobs/{descriptor.digest.replace(':', '/')}"


def _whole(data: bytes) -> Pieces:
    return lambda: iter((data,))


def _reader(layer: BuiltLayer) -> Pieces:
    def pieces() -> Iterator[bytes]:
        with layer.open(0) as stream:
            while data := stream.read(1 << 20):
                yield data

    return pieces


def _put_bytes(put: Put, path: str, data: bytes) -> None:
    put(path, len(data), _whole(data))


# ---------------------------------------------------------------- where it goes


def to_tar(write: Callable[[Put], None], out: BinaryIO) -> None:
    """Files as a tar archive, without times or owners, written as they come."""
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        made: set[str] = set()

        def put(path: str, size: int, pieces: Pieces) -> None:
            parent = ""
            for part in path.split("/")[:-1]:
                parent = f"{parent}{part}/"
                if parent not in made:
                    made.add(parent)
                    folder = tarfile.TarInfo(parent)
                    folder.type, folder.mode = tarfile.DIRTYPE, 0o755
                    tar.addfile(folder)
            member = tarfile.TarInfo(path)
            member.size, member.mode = size, 0o644
            tar.addfile(member, _Stream(pieces()))

        write(put)


class _Stream(io.RawIOBase):
    """An iterator of bytes as a file, for one reader that knows how much there is."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        parts = [self._rest]
        have = len(self._rest)
        while have < size and (piece := next(self._pieces, b"")):
            parts.append(piece)
            have += len(piece)
        data = b"".join(parts)
        self._rest = data[size:]
        return data[:size]


def to_folder(write: Callable[[Put], None], folder: Path) -> None:
    """Files below a folder, each whole or absent; blobs that are there already stay."""

    def put(path: str, size: int, pieces: Pieces) -> None:
        target = folder / path
        if path.startswith("blobs/") and target.exists() and target.stat().st_size == size:
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        with replace_file(target, durable=False) as out:
            for data in pieces():
                out.write(data)

    write(put)


# ---------------------------------------------------------------- the files of the image


def write_root_tar(image: BuiltPlatform, consume: Callable[[bytes], object]) -> None:
    """The image's files as one uncompressed tar stream."""
    write_tar(_merged(image), consume, epoch_s=None)


def write_root_folder(image: BuiltPlatform, folder: Path) -> None:
    """The image's files below `folder`, which is made; owners are kept where this process may set them.

    Raises InputError where a file would take the place of a folder that is there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lay_out((_beside(entry, folder) for entry in _merged(image)), folder, epoch_ns=1 << 62)


def _beside(entry: Entry, folder: Path) -> Entry:
    """What is there already under the name is replaced, but a folder stays."""
    path = folder / entry.path
    if entry.kind != "dir" and os.path.lexists(path):
        if path.is_dir() and not path.is_symlink():
            raise InputError(f"{path} is a folder, where the image has a file")
        path.unlink()
    return entry


def _merged(image: BuiltPlatform) -> list[Entry]:
    """What the layers come to, parents first and hard links last.

    Contents over a few KB are in a temporary file that has no name: memory is bounded whatever the image holds.
    """
    spool = tempfile.TemporaryFile()  # noqa: SIM115 -- it lives as long as the entries that read from it
    found: dict[str, Entry] = {}
    layers = [partial(layer.open, 0) for layer in image.layers]
    for _, entry in visible_entries(layers):
        path = entry.path.lstrip("/")
        if path not in found:
            found[path] = _kept(entry, spool)
    return sorted(found.values(), key=lambda entry: (entry.kind == "hardlink", layer_order(entry)))


def _kept(entry: Entry, spool: BinaryIO) -> Entry:
    """The entry with content that can be opened later; the layer's stream will be past it by then."""
    if entry.kind != "file" or isinstance(entry.content, bytes | str):
        return entry
    with entry.content() as stream:
        if entry.size <= _IN_MEMORY:
            return structs.replace(entry, content=stream.read())
        start = spool.seek(0, os.SEEK_END)
        while data := stream.read(1 << 20):
            spool.write(data)
        spool.flush()
    return structs.replace(entry, content=partial(_Part, spool, start, entry.size))


class _Part(io.RawIOBase):
    """A stretch of a file, read by offset."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file = file
        self._at = start
        self._end = start + size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "Buffer") -> int:
        view = memoryview(buffer)
        data = os.pread(self._file.fileno(), min(len(view), self._end - self._at), self._at)
        view[: len(data)] = data
        self._at += len(data)
        return len(data)
