"""The packages in a file system, found by the records that package managers and linkers leave.

Nothing of the image is run and nothing is believed: files are read once, up to a limit, and what cannot be read is
left out and noted. The files come as a stream, so that an image of any size passes through a few MiB of memory.
"""

import re
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from pipeyard.errors import InputError
from pipeyard.scan.finding import Finding, clean, text_of
from pipeyard.scan.golang import PROGRAM_STARTS, go_packages
from pipeyard.scan.java import ENDINGS, java_packages
from pipeyard.scan.languages import gem_packages, npm_lock, npm_package, python_packages
from pipeyard.scan.purl import package_url
from pipeyard.scan.rpm import rpm_packages
from pipeyard.scan.sbom import Distribution, Package, Sbom
from pipeyard.scan.stanzas import apk_packages, dpkg_packages

_MAX_RECORD = 64 << 20  # bytes of a text that tells of packages
_MAX_COPIED = 1 << 30  # bytes of an archive or database that has to lie on disk to be read
_MAX_PACKAGES = 500_000
_SMALLEST_PROGRAM = 100_000  # bytes; Go's are never that small


class ScannedFile(Struct, frozen=True, kw_only=True):
    """A regular file of the image as it is in the end. `open` may be called until the next file is asked for."""

    path: str  # relative to the root
    size: int  # bytes
    executable: bool
    layer: str  # digest of the layer that it is from
    open: Callable[[], AbstractContextManager[BinaryIO]]


_Reader = Callable[[bytes], Iterator[Finding]]

_RECORDS: tuple[tuple[Callable[[str], object], _Reader], ...] = (
    (re.compile(r"var/lib/dpkg/(?:status|status\.d/(?![^/]*\.md5sums$)[^/]+)").fullmatch, dpkg_packages),
    (re.compile(r"(?:usr/)?lib/apk/db/installed").fullmatch, apk_packages),
    (re.compile(r"(?:.*/)?[^/]+(?:\.dist-info/METADATA|\.egg-info/PKG-INFO|\.egg-info)").fullmatch, python_packages),
    (re.compile(r"(?:.*/)?node_modules/(?:@[^/]+/)?[^/@][^/]*/package\.json").fullmatch, npm_package),
    (re.compile(r"(?:.*/)?(?:package-lock|npm-shrinkwrap)\.json").fullmatch, npm_lock),
    (re.compile(r"(?:.*/)?specifications/(?:default/)?[^/]+\.gemspec").fullmatch, gem_packages),
)
_ENDINGS = ("/status", "/installed", "METADATA", "PKG-INFO", ".egg-info", ".json", ".gemspec")
_is_rpm = re.compile(r"(?:var/lib|usr/lib/sysimage)/rpm/(?:rpmdb\.sqlite|Packages(?:\.db)?)").fullmatch
_is_release = re.compile(r"(?:etc|usr/lib)/os-release").fullmatch


def tells_of_packages(path: str) -> bool:
    """Whether a file of this name is a record of packages; programs and archives tell by their content."""
    return any(matches(path) for matches, _ in _RECORDS) or bool(_is_rpm(path) or _is_release(path))


def inventory(files: Iterable[ScannedFile]) -> Sbom:
    """The packages of an image, from all its files in any order. Equal files give an equal answer.

    Raises InputError for more packages than any real image has.
    """
    found: list[tuple[Finding, ScannedFile]] = []
    notes: list[str] = []
    releases: dict[str, Distribution] = {}
    for file in files:
        if _is_release(file.path):
            releases[file.path] = _distribution(_whole(file))
            continue
        try:
            found += [(finding, file) for finding in _findings(file, notes)]
        except (sqlite3.Error, OSError) as error:
            notes.append(f"{clean(file.path)} could not be read: {clean(str(error))}")
        if len(found) > _MAX_PACKAGES:
            raise InputError(f"the image has more than {_MAX_PACKAGES} packages")
    distribution = releases.get("etc/os-release") or releases.get("usr/lib/os-release")
    packages = {_package(finding, file, distribution) for finding, file in found}
    return Sbom(
        packages=tuple(sorted(packages, key=lambda one: (one.purl, one.path, one.source))),
        distribution=distribution,
        notes=tuple(sorted(notes)),
    )


def _findings(file: ScannedFile, notes: list[str]) -> Iterator[Finding]:
    path = file.path
    if path.endswith(_ENDINGS) or "/dpkg/status.d/" in path:
        for matches, reader in _RECORDS:
            if matches(path):
                if file.size > _MAX_RECORD:
                    notes.append(f"{clean(path)} was not read: it has {file.size} bytes")
                else:
                    yield from reader(_whole(file))
                return
    if path.lower().endswith(ENDINGS):
        with _on_disk(file, notes) as copy:
            if copy is not None:
                yield from java_packages(copy, path)
    elif _is_rpm(path):
        if not path.endswith(".sqlite"):
            notes.append(f"{path} was not read: only RPM databases in SQLite's form are")
            return
        with _on_disk(file, notes) as copy:
            if copy is not None:
                yield from rpm_packages(copy)
    elif file.executable and file.size >= _SMALLEST_PROGRAM:
        with file.open() as stream:
            start = stream.read(4)
            if start.startswith(PROGRAM_STARTS):
                yield from go_packages(stream.read)


def _whole(file: ScannedFile) -> bytes:
    with file.open() as stream:
        return stream.read(_MAX_RECORD)


@contextmanager
def _on_disk(file: ScannedFile, notes: list[str]) -> Iterator[Path | None]:
    """A copy that can be read at any place; None, with a note, for one that is too large."""
    if file.size > _MAX_COPIED:
        notes.append(f"{clean(file.path)} was not read: it has {file.size} bytes")
        yield None
        return
    with tempfile.NamedTemporaryFile(prefix="pipeyard-scan-") as copy:
        with file.open() as stream:
            shutil.copyfileobj(stream, copy, 1 << 20)
        copy.flush()
        yield Path(copy.name)


def _distribution(data: bytes) -> Distribution:
    values: dict[str, str] = {}
    for line in text_of(data[: 1 << 16]).splitlines():
        key, equals, value = line.partition("=")
        if equals:
            values[key.strip()] = clean(value.strip().strip("\"'"))
    return Distribution(
        id=values.get("ID", "linux").lower(), version=values.get("VERSION_ID", ""), name=values.get("PRETTY_NAME", "")
    )


def _package(finding: Finding, file: ScannedFile, distribution: Distribution | None) -> Package:
    namespace, qualifiers = finding.namespace, finding.qualifiers
    if finding.kind in ("deb", "apk", "rpm"):
        family = {"deb": "debian", "apk": "alpine", "rpm": "rpm"}[finding.kind]
        namespace = distribution.id if distribution else family
        if distribution:
            name = f"{distribution.id}-{distribution.version}" if distribution.version else distribution.id
            qualifiers = {**qualifiers, "distro": name}
    full = f"{finding.namespace}/{finding.name}" if finding.kind in ("npm", "golang") else finding.name
    return Package(
        kind=finding.kind,
        name=full.strip("/"),
        version=finding.version,
        purl=package_url(finding.kind, namespace, finding.name, finding.version, qualifiers),
        source=finding.source,
        path=clean(file.path),
        layer=file.layer,
        license=finding.license,
        supplier=finding.supplier,
        homepage=finding.homepage,
    )
