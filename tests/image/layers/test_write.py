import gzip
import hashlib
import io
import os
import random
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeyard.errors import BuildFailed, InputError, Stopped
from pipeyard.image.layers import (
    GZIP,
    UNCOMPRESSED,
    ZSTD,
    Compression,
    Entry,
    layer_order,
    opaque,
    parse_compression,
    read_entries,
    tar_blocks,
    whiteout,
    write_layer,
    write_tar,
)
from pipeyard.threads import StopSignal
from tests.image.layers.stores import MemoryStore


def file(path: str, data: bytes, **more: object) -> Entry:
    return Entry(path=path, kind="file", mode=0o644, size=len(data), content=data, **more)  # type: ignore[arg-type]


def tar_of(*entries: Entry, epoch_s: int | None = None) -> bytes:
    return b"".join(tar_blocks(entries, epoch_s))


def opened(data: bytes) -> tarfile.TarFile:
    return tarfile.open(fileobj=io.BytesIO(data))


def mixed_entries(seed: int = 7) -> Iterator[Entry]:
    """Small and large, compressible and not: five MiB in all."""
    chance = random.Random(seed)
    for number in range(300):
        size = chance.choice([0, 1, 511, 512, 513, 5_000, 40_000])
        yield file(f"many/{number:04d}", chance.randbytes(size // 2) + bytes(size - size // 2))
    yield file("large", chance.randbytes(1_500_000) + b"text " * 400_000)


def test_a_layer_of_nothing_is_the_well_known_empty_one() -> None:
    layer = write_layer([], MemoryStore())
    assert layer.diff_id == "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
    assert layer.size == 1024


@pytest.mark.parametrize("compression", [GZIP, ZSTD, UNCOMPRESSED, Compression("gzip", 9), Compression("gzip", 0)])
def test_the_blob_does_not_depend_on_the_number_of_threads(compression: Compression) -> None:
    store = MemoryStore()
    layer, *others = [
        write_layer(mixed_entries(), store, compression=compression, epoch_s=5, threads=count) for count in (1, 2, 5)
    ]
    assert others == [layer, layer]
    data = store.blobs[layer.blob.digest]
    assert layer.blob.size == len(data)
    assert layer.blob.digest == "sha256:" + hashlib.sha256(data).hexdigest()


def test_gzip_is_one_plain_member_that_every_reader_takes(tmp_path: Path) -> None:
    store = MemoryStore()
    layer = write_layer(mixed_entries(), store, epoch_s=5)
    data = store.blobs[layer.blob.digest]
    content = gzip.decompress(data)
    assert layer.diff_id == "sha256:" + hashlib.sha256(content).hexdigest()
    assert data.count(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff") == 1
    (tmp_path / "layer.tgz").write_bytes(data)
    listing = subprocess.run(["tar", "-tzf", tmp_path / "layer.tgz"], capture_output=True, text=True, check=True)
    assert len(listing.stdout.splitlines()) == 301


def test_what_does_not_shrink_is_stored_and_read_back_by_everybody() -> None:
    noise = random.Random(1).randbytes(5 << 20)
    store = MemoryStore()
    layer = write_layer([file("noise", noise), file("text", b"text " * 1_000_000)], store)
    data = store.blobs[layer.blob.digest]
    assert len(noise) < len(data) < len(noise) * 1.02
    assert layer.diff_id == "sha256:" + hashlib.sha256(gzip.decompress(data)).hexdigest()


def test_media_types_tell_the_compression() -> None:
    found = [write_layer([], MemoryStore(), compression=kind).blob.media_type for kind in (GZIP, ZSTD, UNCOMPRESSED)]
    assert [name.rpartition(".")[2] for name in found] == ["tar+gzip", "tar+zstd", "tar"]


def test_times_clamp_to_the_epoch_and_owners_have_no_names() -> None:
    old = file("old", b"", mtime_ns=1_000_000_000_000)
    new = file("new", b"", mtime_ns=9_000_000_000_999)
    members = opened(tar_of(new, old, epoch_s=5_000)).getmembers()
    assert [member.mtime for member in members] == [5_000, 1_000]
    assert {(member.uname, member.gname) for member in members} == {("", "")}


@pytest.mark.parametrize(
    "path",
    [
        "a" * 100,
        "a" * 101,
        "d/" * 60 + "file",
        "x" * 155 + "/" + "y" * 100,
        "x" * 156 + "/" + "y" * 100,
        "x/" + "y" * 255,
        "/".join(["n" * 200] * 5),
        "gr\u00fc\u00dfe",
        "caf\udce9",
        "new\nline",
        "back\\slash",
    ],
)
def test_names_of_any_length_and_bytes_come_back(path: str) -> None:
    for entry in (file(path, b"content"), Entry(path=path, kind="dir", mode=0o755)):
        (member,) = opened(tar_of(entry)).getmembers()
        assert os.fsencode(member.name) == os.fsencode(path)
        (back,) = read_entries(io.BytesIO(tar_of(entry)).read)
        assert back.path == path


def test_what_ustar_cannot_hold_comes_back_through_extended_headers() -> None:
    entry = file(
        "app", b"x", uid=3_000_000_000, gid=2_097_152, mtime_ns=-5_000_000_000,
        xattrs={"security.capability": b"\x01\x00\x00\x02\xff\x00=\n", "user.note": b""},
    )  # fmt: skip
    (back,) = read_entries(io.BytesIO(tar_of(entry)).read)
    assert (back.uid, back.gid, back.mtime_ns, back.xattrs) == (entry.uid, entry.gid, entry.mtime_ns, entry.xattrs)
    (member,) = opened(tar_of(entry)).getmembers()
    assert (member.uid, member.gid, member.mtime) == (entry.uid, entry.gid, -5)


def zeros() -> AbstractContextManager[BinaryIO]:
    return open("/dev/zero", "rb")


def test_a_file_beyond_eight_gigabytes_announces_its_size() -> None:
    huge = Entry(path="huge", kind="file", mode=0o600, size=9 << 30, content=zeros)
    first = next(iter(tar_blocks([huge], None, block_size=4096)))
    assert b"size=9663676416\n" in first


@pytest.mark.parametrize("kind", ["symlink", "hardlink", "fifo", "char", "block", "dir"])
def test_everything_that_is_no_file_keeps_what_it_is(kind: str) -> None:
    link = "target/" * 20 if kind in ("symlink", "hardlink") else ""
    device = (8, 300) if kind in ("char", "block") else (0, 0)
    entry = Entry(path="it", kind=kind, mode=0o4751, uid=1, gid=2, link=link.rstrip("/"), device=device)  # type: ignore[arg-type]
    (back,) = read_entries(io.BytesIO(tar_of(entry)).read)
    assert (back.kind, back.mode, back.link, back.device, back.size) == (kind, 0o4751, link.rstrip("/"), device, 0)


def test_whiteouts_stand_before_their_siblings_and_parents_before_children() -> None:
    entries = [
        file("d/a", b""),
        file("d.x", b""),
        whiteout("d/zz"),
        Entry(path="d", kind="dir", mode=0o755),
        opaque("d"),
    ]
    ordered = [entry.path for entry in sorted(entries, key=layer_order)]
    assert ordered == ["d", "d/.wh..wh..opq", "d/.wh.zz", "d/a", "d.x"]


def test_a_file_that_shrinks_or_grows_while_it_is_read_fails_the_layer(tmp_path: Path) -> None:
    for size in (10, 3_000_000):
        path = tmp_path / "file"
        path.write_bytes(bytes(size))
        for said in (size - 1, size + 1):
            store = MemoryStore()
            entry = Entry(path="f", kind="file", mode=0o644, size=said, content=str(path))
            with pytest.raises(BuildFailed, match="changed while it was read"):
                write_layer([entry], store)
            assert store.blobs == {}


def test_a_symlink_in_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"0123456789")
    link = tmp_path / "link"
    link.symlink_to(secret)
    with pytest.raises(BuildFailed):
        write_layer([Entry(path="f", kind="file", mode=0o644, size=10, content=str(link))], MemoryStore())


def test_a_failure_of_the_store_ends_the_pipeline_and_is_raised() -> None:
    class Full(MemoryStore):
        def writer(self, algorithm: str = "sha256"):  # type: ignore[no-untyped-def]
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_layer(mixed_entries(), Full())


def test_a_stop_ends_the_pipeline() -> None:
    signal = StopSignal()
    signal.stop("enough")
    with pytest.raises(Stopped):
        write_layer(mixed_entries(), MemoryStore(), stop=signal)


def test_the_tar_stream_alone_is_the_content_of_the_blob() -> None:
    pieces: list[bytes] = []
    size = write_tar(mixed_entries(), pieces.append, epoch_s=5)
    layer = write_layer(mixed_entries(), MemoryStore(), epoch_s=5)
    assert layer.diff_id == "sha256:" + hashlib.sha256(b"".join(pieces)).hexdigest()
    assert size == layer.size


def test_unknown_compressions_and_levels_are_named() -> None:
    assert parse_compression("zstd", 19) == Compression("zstd", 19)
    with pytest.raises(InputError, match="estargz"):
        parse_compression("estargz")
    with pytest.raises(InputError, match="level 11"):
        parse_compression("gzip", 11)


names = st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=120).filter(
    lambda name: name not in (".", "..")
)
entries = st.builds(
    lambda parts, mode, uid, time, data, xattrs: file("/".join(parts), data, uid=uid, mtime_ns=time, xattrs=xattrs),
    st.lists(names, min_size=1, max_size=4),
    st.integers(0, 0o7777),
    st.integers(0, 1 << 32),
    st.integers(-(1 << 40), 1 << 40).map(lambda seconds: seconds * 1_000_000_000),
    st.binary(max_size=2000),
    st.dictionaries(st.text("abc.", min_size=1, max_size=9).map("user.".__add__), st.binary(max_size=50), max_size=3),
)


@given(st.lists(entries, max_size=6), st.sampled_from([512, 1024, 4096, 1 << 20]))
@settings(deadline=None, max_examples=60)
def test_whatever_was_written_is_read_back(given_entries: list[Entry], block_size: int) -> None:
    blocks = list(tar_blocks(given_entries, None, block_size))
    assert all(len(block) == block_size for block in blocks[:-1])
    stream = io.BytesIO(b"".join(blocks))
    found = []
    for entry in read_entries(stream.read):
        with entry.content() if callable(entry.content) else io.BytesIO(b"") as content:
            found.append((entry.path, entry.uid, entry.mtime_ns, entry.xattrs, content.read()))
    assert found == [(e.path, e.uid, e.mtime_ns, e.xattrs, e.content) for e in given_entries]
