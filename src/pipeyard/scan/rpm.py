"""RPM's database in its SQLite form.

Source: rpm, lib/backend/sqlite.cc and the header format in docs/manual/format_header.md: a blob holds the number of
entries and of data bytes, the entries (tag, type, offset, count; all big endian), and the data.
"""

import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from pipeyard.scan.finding import Finding, clean, text_of

_NAME, _VERSION, _RELEASE, _EPOCH, _VENDOR, _LICENSE, _URL, _ARCH, _SOURCE = (
    1000, 1001, 1002, 1003, 1011, 1014, 1020, 1022, 1044,
)  # fmt: skip
_WANTED = {_NAME, _VERSION, _RELEASE, _EPOCH, _VENDOR, _LICENSE, _URL, _ARCH, _SOURCE}
_INT32, _STRING, _I18N = 4, 6, 9
_MAX_ENTRIES = 10_000
_MAX_STEPS = 20_000  # of a thousand instructions of SQLite's machine each: some seconds


def rpm_packages(database: Path) -> Iterator[Finding]:
    """The packages of an rpmdb.sqlite, which may be hostile. Raises sqlite3.Error when it is no such database."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return steps > _MAX_STEPS

    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        connection.execute("PRAGMA trusted_schema=OFF")  # no function that a schema names is run
        connection.execute("PRAGMA cell_size_check=ON")
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 64 << 20)
        connection.set_progress_handler(count, 1000)
        for (blob,) in connection.execute("SELECT blob FROM Packages"):
            found = _package(blob) if isinstance(blob, bytes) else None
            if found is not None:
                yield found


def _package(blob: bytes) -> Finding | None:
    tags = _tags(blob)
    name, version, release = (str(tags.get(tag, "")) for tag in (_NAME, _VERSION, _RELEASE))
    if not name or not version or name == "gpg-pubkey":
        return None
    return Finding(
        kind="rpm",
        name=name,
        version=f"{version}-{release}" if release else version,
        qualifiers={
            "arch": str(tags.get(_ARCH, "")),
            "epoch": str(tags.get(_EPOCH, "")),
            "upstream": str(tags.get(_SOURCE, "")),
        },
        source="RPM database",
        license=str(tags.get(_LICENSE, "")),
        supplier=str(tags.get(_VENDOR, "")),
        homepage=str(tags.get(_URL, "")),
    )


def _tags(blob: bytes) -> dict[int, str | int]:
    if len(blob) < 8:
        return {}
    entries, size = struct.unpack_from(">II", blob)
    start = 8 + 16 * entries
    if entries > _MAX_ENTRIES or start + size > len(blob):
        return {}
    found: dict[int, str | int] = {}
    for at in range(entries):
        tag, kind, offset, _ = struct.unpack_from(">IIII", blob, 8 + 16 * at)
        if tag not in _WANTED or offset >= size:
            continue
        if kind in (_STRING, _I18N):
            end = blob.find(b"\0", start + offset)
            found[tag] = clean(text_of(blob[start + offset : end if end >= 0 else None]))
        elif kind == _INT32 and offset + 4 <= size:
            found[tag] = struct.unpack_from(">I", blob, start + offset)[0]
    return found
