"""A finished image as files: an OCI layout, a Docker archive, and how either is written.

Sources: image-spec, image-layout.md; Docker image specification 1.2 ("Combined Image JSON"); BuildKit, exporter/.
"""

import io
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec import structs

from pipeyard.errors import InputError
from pipeyard.files import replace_file
from pipeyard.image.build.request import Built, BuiltLayer
from pipeyard.oci import Descriptor, ImageIndex, encode, media_types
from pipeyard.registry.reference import parse_reference

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
