"""Files of an image that is not there, for the scan to look at."""

import io
import struct
import zipfile
from collections.abc import Mapping

from pipeyard.scan import Sbom, ScannedFile, inventory


def scanned(files: Mapping[str, bytes], programs: Mapping[str, bytes] | None = None) -> Sbom:
    """What is found in `files` and in `programs`, which are executable."""
    found = [_file(path, data, executable=False) for path, data in files.items()]
    found += [_file(path, data, executable=True) for path, data in (programs or {}).items()]
    return inventory(found)


def purls(sbom: Sbom) -> list[str]:
    return [package.purl for package in sbom.packages]


def _file(path: str, data: bytes, *, executable: bool) -> ScannedFile:
    return ScannedFile(path=path, size=len(data), executable=executable, layer="", open=lambda: io.BytesIO(data))


def archive(members: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, data in members.items():
            opened.writestr(name, data)
    return out.getvalue()


def go_program(version: str, modules: str, lead: int = 200_000) -> bytes:
    """As Go's linker lays build information out, somewhere in a program."""
    info = b"\xff Go buildinf:" + bytes([8, 2]) + bytes(16)
    marked = "0" * 16 + modules + "1" * 16 if modules else ""
    return b"\x7fELF" + bytes(lead) + info + _prefixed(version.encode()) + _prefixed(marked.encode()) + bytes(100)


def _prefixed(data: bytes) -> bytes:
    length, out = len(data), b""
    while length >= 0x80:
        out += bytes([length & 0x7F | 0x80])
        length >>= 7
    return out + bytes([length]) + data


def rpm_header(**fields: str | int) -> bytes:
    """A header blob with the tags that are named."""
    tags = {
        "name": 1000,
        "version": 1001,
        "release": 1002,
        "epoch": 1003,
        "vendor": 1011,
        "license": 1014,
        "arch": 1022,
    }
    entries, store = b"", b""
    for name, value in fields.items():
        if isinstance(value, int):
            store += bytes(-len(store) % 4)
            entries += struct.pack(">IIII", tags[name], 4, len(store), 1)
            store += struct.pack(">I", value)
        else:
            entries += struct.pack(">IIII", tags[name], 6, len(store), 1)
            store += value.encode() + b"\0"
    return struct.pack(">II", len(fields), len(store)) + entries + store
