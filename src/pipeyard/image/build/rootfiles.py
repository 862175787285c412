"""A finished image's files as a folder or as one tar, with what is attested of them beside.

Source: BuildKit, exporter/local and exporter/tar: names of files and folders, subjects of the statements.
"""

import hashlib
import io
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec
from msgspec import Struct, structs

from pipeyard.errors import InputError
from pipeyard.image.build.attestations import PROVENANCE, SPDX
from pipeyard.image.build.laying import lay_out
from pipeyard.image.build.request import BuiltPlatform
from pipeyard.image.layers import Entry, layer_order, write_tar
from pipeyard.image.layers.visible import visible_entries

if TYPE_CHECKING:
    from typing_extensions import Buffer

_IN_MEMORY = 4096  # bytes of a file
_NAMES = {PROVENANCE: "provenance", SPDX: "sbom.spdx"}


class FilesOutput(Struct, frozen=True, kw_only=True):
    """`split`: a folder for each platform (None: when there are several). `prefix`: of the attestations' names."""

    split: bool | None = None
    prefix: str = ""


def write_root_tar(
    images: Sequence[BuiltPlatform], consume: Callable[[bytes], object], wanted: FilesOutput | None = None
) -> None:
    """The images' files as one uncompressed tar stream."""
    write_tar(sorted(_all_entries(images, wanted or FilesOutput()), key=_parents_first), consume, epoch_s=None)


def write_root_folder(images: Sequence[BuiltPlatform], folder: Path, wanted: FilesOutput | None = None) -> None:
    """The images' files below `folder`, which is made; owners are kept where this process may set them.

    Raises InputError where a file would take the place of a folder that is there, or of another platform's file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    entries = [_beside(entry, folder) for entry in _all_entries(images, wanted or FilesOutput())]
    lay_out(sorted(entries, key=_parents_first), folder, epoch_ns=1 << 62)


def _parents_first(entry: Entry) -> tuple[object, ...]:
    return entry.kind == "hardlink", layer_order(entry)


def _all_entries(images: Sequence[BuiltPlatform], wanted: FilesOutput) -> Iterator[Entry]:
    """Raises InputError for a file that two platforms have."""
    split = len(images) > 1 if wanted.split is None else wanted.split
    seen: dict[str, str] = {}
    for image in images:
        name = str(image.platform).replace("/", "_")
        entries = _merged(image)
        merging = len(images) > 1 and not split
        attested = _statements(image, entries, wanted.prefix, f".{name}" if merging else "")
        hidden = {entry.path for entry in attested}
        if split:
            yield Entry(path=name, kind="dir", mode=0o755)
        for entry in (*(one for one in entries if one.path and one.path not in hidden), *attested):
            if not merging:
                yield _below(name, entry) if split else entry
                continue
            other = seen.setdefault(entry.path, name)
            if other == name:
                yield entry
            elif entry.kind != "dir":
                raise InputError(
                    f"cannot overwrite {entry.path} from {other} with {name}",
                    hint="leave out platform-split=false, so that each platform has a folder",
                )


def _below(folder: str, entry: Entry) -> Entry:
    link = f"{folder}/{entry.link}" if entry.kind == "hardlink" else entry.link
    return structs.replace(entry, path=f"{folder}/{entry.path}", link=link)


def _statements(image: BuiltPlatform, entries: Sequence[Entry], prefix: str, suffix: str) -> list[Entry]:
    """The attestations as files: statements about all regular files of the image, instead of about its manifest."""
    if image.attestation is None:
        return []
    hashes = {entry.path: _sha256(entry) for entry in entries if entry.kind == "file"}
    hashes |= {entry.path: hashes[entry.link] for entry in entries if entry.kind == "hardlink" and entry.link in hashes}
    subjects = [{"name": path, "digest": {"sha256": hashes[path]}} for path in sorted(hashes)]
    made = []
    for descriptor, data in image.attestation.blobs:
        name = _NAMES.get(descriptor.annotations.get("in-toto.io/predicate-type", ""))
        if name is None:
            continue
        statement: dict[str, Any] = msgspec.json.decode(data)
        statement["subject"] = subjects
        text = msgspec.json.format(msgspec.json.encode(statement), indent=2)
        path = f"{prefix}{name}{suffix}.json"
        made.append(
            Entry(path=path, kind="file", mode=0o600, mtime_ns=_created_ns(image), size=len(text), content=text)
        )
    return made


def _sha256(entry: Entry) -> str:
    if isinstance(entry.content, bytes):
        return hashlib.sha256(entry.content).hexdigest()
    if isinstance(entry.content, str):
        with open(entry.content, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    with entry.content() as stream:
        hasher = hashlib.sha256()
        while data := stream.read(1 << 20):
            hasher.update(data)
        return hasher.hexdigest()


def _created_ns(image: BuiltPlatform) -> int:
    from datetime import datetime

    created = image.config.created
    return int(datetime.fromisoformat(created).timestamp()) * 1_000_000_000 if created else 0


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
    return sorted(found.values(), key=_parents_first)


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
