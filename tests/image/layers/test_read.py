import bz2
import gzip
import io
import lzma
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeyard.image.layers import BadArchive, Entry, is_archive, read_entries


def tarred(format: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as archive:
        for name, data in (("a.txt", b"one"), ("d/" + "long" * 60, b"two" * 1000), ("empty", b"")):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        link = tarfile.TarInfo("link")
        link.type = tarfile.SYMTYPE
        link.linkname = "to/" + "x" * 150
        archive.addfile(link)
    return out.getvalue()


def contents(data: bytes) -> dict[str, bytes | str]:
    found: dict[str, bytes | str] = {}
    for entry in read_entries(io.BytesIO(data).read):
        if entry.kind == "file":
            found[entry.path] = _read(entry)
        else:
            found[entry.path] = entry.link
    return found


def _read(entry: Entry) -> bytes:
    if not callable(entry.content):
        return b""
    with entry.content() as file:
        return file.read()


EXPECTED = {"a.txt": b"one", "d/" + "long" * 60: b"two" * 1000, "empty": b"", "link": "to/" + "x" * 150}

packings: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "gzip members": lambda data: b"".join(gzip.compress(data[at : at + 777]) for at in range(0, len(data), 777)),
    "zstd frames": lambda data: b"".join(
        zstandard.ZstdCompressor().compress(data[at : at + 777]) for at in range(0, len(data), 777)
    ),
    "gzip on a tape": lambda data: gzip.compress(data) + bytes(5000),
}


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize("packing", packings)
def test_every_packing_and_format_is_recognised_and_read(packing: str, format: int) -> None:
    packed = packings[packing](tarred(format))
    assert contents(packed) == EXPECTED
    assert is_archive(io.BytesIO(packed).read)


@pytest.mark.parametrize("packing", [name for name in packings if name != "gzip on a tape"])
def test_a_truncated_archive_is_an_error_and_never_a_shorter_archive(packing: str) -> None:
    packed = packings[packing](tarred())
    for keep in (len(packed) // 2, len(packed) // 3):
        data = packed[:keep] if packing != "plain" else packed[: keep // 512 * 512 + 100]
        with pytest.raises(BadArchive):
            contents(data)


def test_damaged_compressed_data_is_found() -> None:
    packed = bytearray(gzip.compress(tarred()))
    packed[-6] ^= 1  # the checksum at the end
    with pytest.raises(BadArchive):
        contents(bytes(packed))


@pytest.mark.parametrize(
    "data", [b"", b"hello", bytes(300), b"\x1f\x8b\x08", gzip.compress(b"only text" * 100, mtime=0), b"\xff" * 2000]
)
def test_other_files_are_no_archives(data: bytes) -> None:
    assert not is_archive(io.BytesIO(data).read)


def test_a_wrong_header_checksum_is_refused() -> None:
    data = bytearray(tarred(tarfile.GNU_FORMAT))
    data[0] ^= 1
    with pytest.raises(BadArchive, match="checksum"):
        contents(bytes(data))


def test_a_huge_extended_header_is_refused_before_it_is_read() -> None:
    header = tarfile.TarInfo("x")
    header.type = tarfile.XHDTYPE
    header.size = 1 << 33
    with pytest.raises(BadArchive, match="extended header"):
        contents(header.tobuf(tarfile.GNU_FORMAT))


@pytest.mark.parametrize(
    "record", [b"9 path=\n", b"30 path=x\n", b"-1 path=x\n", b"99999999999 a=b\n", b"12 pathxabc\n"]
)
def test_damaged_extended_headers_are_refused(record: bytes) -> None:
    header = tarfile.TarInfo("x")
    header.type = tarfile.XHDTYPE
    header.size = len(record)
    data = header.tobuf(tarfile.USTAR_FORMAT) + record.ljust(512, b"\0") + tarfile.TarInfo("y").tobuf()
    with pytest.raises(BadArchive):
        contents(data + bytes(1024))


def test_names_are_normalised_but_stay_hostile_for_the_caller_to_judge() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name in ("./a//b/./c", "/etc/x", "../up", "."):
            archive.addfile(tarfile.TarInfo(name))
    assert list(contents(out.getvalue())) == ["a/b/c", "/etc/x", "../up", ""]


@pytest.mark.parametrize(
    "format", ["gnu", "pax --sparse-version=0.0", "pax --sparse-version=0.1", "pax --sparse-version=1.0"]
)
def test_sparse_files_of_every_format_are_spelled_out(tmp_path: Path, format: str) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        for offset in (0, 300_000, 900_000):
            file.seek(offset)
            file.write(b"data" * 2000)
        file.truncate(2_000_000)
    kind, *more = format.split()
    packed = subprocess.run(
        ["tar", "-S", "-c", f"--format={kind}", *more, "-C", tmp_path, "sparse"], capture_output=True, check=True
    )
    assert contents(packed.stdout) == {"sparse": path.read_bytes()}


@given(st.data())
@settings(deadline=None, max_examples=150)
def test_no_change_of_a_few_bytes_crashes_the_reader(data: st.DataObject) -> None:
    archive = bytearray(tarred(data.draw(st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]))))
    for _ in range(data.draw(st.integers(1, 4))):
        archive[data.draw(st.integers(0, len(archive) - 1))] = data.draw(st.integers(0, 255))
    try:
        contents(bytes(archive))
    except BadArchive:
        pass


@given(st.binary(max_size=3000))
@settings(deadline=None, max_examples=100)
def test_no_bytes_crash_the_reader(data: bytes) -> None:
    try:
        contents(data)
    except BadArchive:
        pass


def _with_records(records: dict[str, str], name: str = "f") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo(name)
        member.pax_headers = records
        archive.addfile(member)
    return out.getvalue()


@pytest.mark.parametrize("path", ["a/" * 2048 + "f", "a" * 4097])
def test_a_path_that_can_be_extracted_nowhere_is_refused(path: str) -> None:
    assert list(contents(_with_records({"path": "a/" * 2000 + "f"}))) == ["a/" * 2000 + "f"]
    for record in ("path", "linkpath"):
        with pytest.raises(BadArchive, match="more than 4096"):
            contents(_with_records({record: path}))


def test_extended_headers_add_up_to_no_more_than_one_may_have() -> None:
    head = _with_records({"comment": "x" * 900_000})
    size = int(head[124:135], 8)
    extended = head[: 512 + size + -size % 512]
    rest = tarred()
    assert contents(extended + rest) == EXPECTED
    with pytest.raises(BadArchive, match="an extended header"):
        contents(extended * 2 + rest)
