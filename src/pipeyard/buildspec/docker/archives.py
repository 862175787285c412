"""`docker save` and `docker load`: images as one tar archive, which is Docker's and an OCI layout at the same time.

What is loaded is not trusted: only regular files are read, names are matched exactly, and digests are verified.
Sources: Docker image specification 1.2 ("Combined Image JSON"); image-spec, image-layout.md.
"""

import io
import json
import shutil
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from pipeyard.buildspec.docker.documents import familiar
from pipeyard.buildspec.docker.engine import LocalImage
from pipeyard.errors import InputError, PipeyardError
from pipeyard.oci import (
    Descriptor,
    ImageIndex,
    ImageManifest,
    decode_config,
    decode_manifest,
    digest_of,
    encode,
    media_types,
    parse_digest,
)
from pipeyard.registry.blobs import BlobStore
from pipeyard.registry.exchange import Document, ResolvedImage, descriptor_of
from pipeyard.registry.reference import DEFAULT_HOST, Reference, parse_reference

if TYPE_CHECKING:
    from typing_extensions import Buffer

_MOST_MEMBERS = 10_000
_DOCUMENT = 16 << 20  # bytes of a manifest, a configuration or an index
_REF_NAME, _IMAGE_NAME = "org.opencontainers.image.ref.name", "io.containerd.image.name"


def write_archive(out: BinaryIO | io.RawIOBase, images: Sequence[tuple[LocalImage, Sequence[Reference]]]) -> None:
    """Streams; nothing is asked of `out` but `write`."""
    written: set[str] = set()
    with tarfile.open(fileobj=cast(BinaryIO, out), mode="w|", format=tarfile.PAX_FORMAT) as tar:

        def put(name: str, size: int, data: BinaryIO) -> None:
            if name not in written:
                written.add(name)
                member = tarfile.TarInfo(name)
                member.size = size
                tar.addfile(member, data)

        members, listed = [], []
        for image, names in images:
            for blob in image.blobs:
                with image.open(blob, 0) as data:
                    put(_path(blob.digest), blob.size, data)
            for document in image.documents:
                put(_path(digest_of(document.data)), len(document.data), io.BytesIO(document.data))
            root = image.image.root
            for name in names:
                notes = {_IMAGE_NAME: str(name), _REF_NAME: name.tag}
                members.append(
                    Descriptor(media_type=root.media_type, digest=root.digest, size=root.size, annotations=notes)
                )
            if not names:
                members.append(Descriptor(media_type=root.media_type, digest=root.digest, size=root.size))
            manifest = image.image.manifest
            listed.append(
                {
                    "Config": _path(manifest.config.digest),
                    "RepoTags": [f"{familiar(name)}:{name.tag}" for name in names] or None,
                    "Layers": [_path(layer.digest) for layer in manifest.layers],
                }
            )
        index = ImageIndex(schema_version=2, media_type=media_types.OCI_INDEX, manifests=members)
        for path, text in (
            ("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'),
            ("index.json", encode(index)),
            ("manifest.json", json.dumps(listed).encode()),
        ):
            put(path, len(text), io.BytesIO(text))


def read_archive(stream: BinaryIO, blobs: BlobStore) -> list[tuple[LocalImage, tuple[Reference, ...]]]:
    """The images of an archive, plain or gzipped; their blobs are kept in `blobs`. Raises PipeyardError."""
    try:
        with tarfile.open(fileobj=stream, mode="r:*") as tar:
            members = {}
            for count, member in enumerate(tar):
                if count > _MOST_MEMBERS:
                    raise InputError("the archive has too many members")
                if member.isfile():
                    members[member.name.removeprefix("./")] = member
            archive = _Archive(tar, members, blobs)
            if "manifest.json" in members:
                return [archive.image(entry) for entry in archive.json("manifest.json", list)]
            return [archive.of_index(entry) for entry in archive.json("index.json", dict).get("manifests", ())]
    except (tarfile.TarError, EOFError, OSError, KeyError, TypeError, AttributeError) as error:
        raise PipeyardError(f"Error: the archive cannot be loaded: {error}") from error


class _Archive:
    def __init__(self, tar: tarfile.TarFile, members: dict[str, tarfile.TarInfo], blobs: BlobStore) -> None:
        self._tar = tar
        self._members = members
        self._blobs = blobs

    def json(self, name: str, kind: type) -> Any:
        try:
            document = json.loads(self._bytes(name))
        except (ValueError, RecursionError) as error:
            raise InputError(f"{name} of the archive is no JSON: {error}") from error
        if not isinstance(document, kind):
            raise InputError(f"{name} of the archive is not what it should be")
        return document

    def image(self, entry: dict[str, Any]) -> tuple[LocalImage, tuple[Reference, ...]]:
        """An entry of manifest.json. The manifest that the archive has for it, else one that is made of its layers."""
        config_data = self._bytes(entry["Config"])
        names = tuple(parse_reference(tag) for tag in entry.get("RepoTags") or ())
        manifest_data = self._manifest_with(digest_of(config_data))
        if manifest_data is None:
            layers = []
            for path in entry["Layers"]:
                with self._opened(path) as data:
                    zipped = data.read(2) == b"\x1f\x8b"
                layers.append(self._kept(path, media_types.DOCKER_LAYER_GZIP if zipped else media_types.DOCKER_LAYER))
            config = descriptor_of(Document(media_type=media_types.DOCKER_CONFIG, data=config_data))
            made = ImageManifest(schema_version=2, media_type=media_types.DOCKER_MANIFEST, config=config, layers=layers)
            manifest_data = encode(made)
        else:
            for path in entry["Layers"]:
                self._kept(path, media_types.DOCKER_LAYER)
        return self._loaded(manifest_data, config_data), names

    def of_index(self, entry: dict[str, Any]) -> tuple[LocalImage, tuple[Reference, ...]]:
        """An entry of an OCI layout's index: an image, no index of images."""
        data = self._bytes(_path(str(parse_digest(entry["digest"]))))
        manifest = decode_manifest(data)
        if not isinstance(manifest, ImageManifest):
            raise InputError("an archive of several platforms cannot be loaded")
        for layer in manifest.layers:
            self._kept(_path(layer.digest), layer.media_type)
        name = (entry.get("annotations") or {}).get(_IMAGE_NAME)
        names = (parse_reference(name),) if isinstance(name, str) else ()
        return self._loaded(data, self._bytes(_path(manifest.config.digest))), names

    def _manifest_with(self, config_digest: str) -> bytes | None:
        for name in self._members:
            if not name.startswith("blobs/sha256/") or self._members[name].size > _DOCUMENT:
                continue
            with self._opened(name) as data:
                if data.read(1) != b"{":
                    continue
            document = self._bytes(name)
            try:
                found = decode_manifest(document)
            except PipeyardError:
                continue
            if isinstance(found, ImageManifest) and found.config.digest == config_digest:
                return document
        return None

    def _loaded(self, manifest_data: bytes, config_data: bytes) -> LocalImage:
        manifest = decode_manifest(manifest_data)
        assert isinstance(manifest, ImageManifest)
        with self._blobs.writer() as out:
            out.write(config_data)
            out.commit(manifest.config.media_type, manifest.config.digest)
        for layer in manifest.layers:
            if self._blobs.size(layer.digest) is None:
                raise InputError(f"the archive lacks the layer {layer.digest}")
        media_type = manifest.media_type or media_types.DOCKER_MANIFEST
        document = Document(media_type=media_type, data=manifest_data)
        root = descriptor_of(document)
        name = Reference(DEFAULT_HOST, f"local/{root.digest.partition(':')[2]}", "latest")
        image = ResolvedImage(
            reference=name, root=root, descriptor=root, manifest=manifest, config=decode_config(config_data)
        )

        def opened(blob: Descriptor, start: int) -> AbstractContextManager[BinaryIO]:
            return self._blobs.read(blob.digest, start)

        return LocalImage(
            image=image,
            documents=(document,),
            blobs=(manifest.config, *manifest.layers),
            open=opened,
        )

    def _kept(self, path: str, media_type: str) -> Descriptor:
        expected = parse_digest(f"sha256:{path.removeprefix('blobs/sha256/')}") if path.startswith("blobs/") else None
        with self._opened(path) as data, self._blobs.writer() as out:
            shutil.copyfileobj(data, Writing(out.write), 1 << 20)
            return out.commit(media_type, expected)

    def _bytes(self, name: str) -> bytes:
        if self._members[name].size > _DOCUMENT:
            raise InputError(f"{name} of the archive is too large")
        with self._opened(name) as data:
            return data.read()

    @contextmanager
    def _opened(self, name: str) -> Iterator[BinaryIO]:
        found = self._tar.extractfile(self._members[name])
        if found is None:
            raise KeyError(name)
        with found:
            yield found  # type: ignore[misc]  # a binary stream in all but name


class Writing(io.RawIOBase):
    """A file of which only `write` is asked."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        super().__init__()
        self._write = write

    def write(self, data: "Buffer") -> int:
        piece = bytes(data)
        self._write(piece)
        return len(piece)


def _path(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"
