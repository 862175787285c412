"""Java archives: what Maven wrote into them, else what their manifest says, and the archives within.

Sources: Apache Maven Archiver, "pom.properties content"; JAR file specification, "JAR manifest".
"""

import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pipeyard.scan.finding import Finding, clean, text_of

ENDINGS = (".jar", ".war", ".ear", ".hpi")
_MAX_MEMBERS = 100_000
_MAX_TEXT = 1 << 20  # bytes of a manifest or of properties
_MAX_NESTED = 128 << 20  # bytes, of all archives within one
_MAX_DEPTH = 3
_WITHIN = 2000  # archives within one that are read
_numbered = re.compile(r"(.+?)-([0-9][0-9A-Za-z.+_-]*)").fullmatch


def java_packages(archive: Path, path: str) -> Iterator[Finding]:
    """The packages of an archive that may be hostile; nothing is extracted. One that is damaged has none."""
    yield from _Reading().packages(archive, path, 0)


class _Reading:
    def __init__(self) -> None:
        self._left = _MAX_NESTED
        self._archives = _WITHIN

    def packages(self, archive: Path | BinaryIO, path: str, depth: int) -> Iterator[Finding]:
        try:
            with zipfile.ZipFile(archive) as opened:
                members = opened.infolist()[:_MAX_MEMBERS]
                found = list(_maven(opened, members)) or list(_manifest(opened, members, path))
                yield from found
                if depth < _MAX_DEPTH:
                    for member in members:
                        if member.filename.lower().endswith(ENDINGS):
                            data = self._nested(opened, member)
                            if data:
                                yield from self.packages(io.BytesIO(data), member.filename, depth + 1)
        except (zipfile.BadZipFile, OSError, ValueError, RuntimeError, NotImplementedError, EOFError, zlib.error):
            return  # damaged, encrypted, or packed in a way that nobody knows

    def _nested(self, opened: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
        self._archives -= 1
        if self._archives < 0 or member.file_size > self._left:
            return b""
        data = _content(opened, member, self._left)
        self._left -= len(data)
        return data


def _content(opened: zipfile.ZipFile, member: zipfile.ZipInfo, limit: int) -> bytes:
    """What the member says of its size is not believed."""
    with opened.open(member) as stream:
        data = stream.read(limit + 1)
    return data if len(data) <= limit else b""


def _maven(opened: zipfile.ZipFile, members: list[zipfile.ZipInfo]) -> Iterator[Finding]:
    for member in members:
        name = member.filename
        if name.startswith("META-INF/maven/") and name.endswith("/pom.properties"):
            values = dict(
                line.partition("=")[::2]
                for line in text_of(_content(opened, member, _MAX_TEXT)).splitlines()
                if line and line[0] not in "#!"
            )
            group, artifact, version = (clean(values.get(key, "")) for key in ("groupId", "artifactId", "version"))
            if group and artifact and version:
                yield _finding(group, artifact, version)


def _manifest(opened: zipfile.ZipFile, members: list[zipfile.ZipInfo], path: str) -> Iterator[Finding]:
    member = next((one for one in members if one.filename.upper() == "META-INF/MANIFEST.MF"), None)
    if member is None:
        return
    values: dict[str, str] = {}
    text = text_of(_content(opened, member, _MAX_TEXT)).replace("\r\n", "\n").replace("\n ", "")
    for line in text.split("\n"):
        if not line.strip():
            break  # the main section ends here
        key, _, value = line.partition(":")
        values.setdefault(key.lower(), clean(value))
    stem = path.rpartition("/")[2].rpartition(".")[0]
    version = values.get("implementation-version") or values.get("bundle-version") or ""
    if version and stem.endswith(f"-{version}"):
        name = stem.removesuffix(f"-{version}")
    elif numbered := _numbered(stem):
        # Of two versions the file's own name is right: manifests add words and build numbers.
        name, version = numbered.groups()
    else:
        name = stem
    if name and version:
        bundle = values.get("bundle-symbolicname", "").partition(";")[0]
        group = values.get("implementation-vendor-id") or bundle.rpartition(".")[0] or name
        yield _finding(group, clean(name), clean(version))


def _finding(group: str, artifact: str, version: str) -> Finding:
    return Finding(kind="maven", namespace=group, name=artifact, version=version, source="Java archive")
