import gzip
import io
import os
import stat
import tarfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeyard.errors import DigestMismatch
from pipeyard.files import remove_tree
from pipeyard.image.layers import (
    GZIP,
    ZSTD,
    BadArchive,
    Entry,
    ExtractLimits,
    Form,
    extract,
    form_of_this_process,
    opaque,
    tar_blocks,
    whiteout,
    write_layer,
)
from pipeyard.image.layers.extract import Extracted, owner_of
from pipeyard.image.layers.stack import is_overlay_opaque
from pipeyard.oci import Digest
from tests.image.layers.stores import MemoryStore

ME = (os.geteuid(), os.getegid())


def folder(path: str, mode: int = 0o755, **more: object) -> Entry:
    return Entry(path=path, kind="dir", mode=mode, **more)  # type: ignore[arg-type]


def file(path: str, data: bytes = b"", mode: int = 0o644, **more: object) -> Entry:
    return Entry(path=path, kind="file", mode=mode, size=len(data), content=data, **more)  # type: ignore[arg-type]


def symlink(path: str, to: str) -> Entry:
    return Entry(path=path, kind="symlink", mode=0o777, link=to)


def hardlink(path: str, to: str) -> Entry:
    return Entry(path=path, kind="hardlink", mode=0o644, link=to)


def unpack(into: Path, *entries: Entry, lowers: tuple[Path, ...] = ()) -> Extracted:
    into.mkdir(exist_ok=True)
    return extract(io.BytesIO(b"".join(tar_blocks(entries, None))), into, lowers=lowers)


def is_whiteout(path: Path) -> bool:
    status = path.lstat()
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def owner(path: Path) -> tuple[int, int]:
    return owner_of(os.fspath(path), path.lstat(), form_of_this_process())


def test_a_layer_becomes_the_folder_that_it_describes(tmp_path: Path) -> None:
    entries = [
        folder("d", 0o2750, mtime_ns=1_500_000_000_000_000_000, uid=12, gid=34),
        file("d/f", b"hello" * 1000, 0o4711, mtime_ns=1_400_000_000_000_000_000, uid=56, gid=78),
        hardlink("d/g", "d/f"),
        symlink("d/l", "../anywhere"),
        Entry(path="d/p", kind="fifo", mode=0o600),
        file("x", xattrs={"user.note": b"\0binary"}),
    ]
    store = MemoryStore()
    for compression in (GZIP, ZSTD):
        layer = write_layer(entries, store, compression=compression)
        root = tmp_path / compression.kind
        root.mkdir()
        result = extract(io.BytesIO(store.blobs[layer.blob.digest]), root, expected=layer.diff_id)
        assert (result.diff_id, result.size, result.entries) == (layer.diff_id, layer.size, 6)
        status = (root / "d/f").stat()
        assert (root / "d/f").read_bytes() == b"hello" * 1000
        assert stat.S_IMODE(status.st_mode) == 0o4711
        assert status.st_mtime == 1_400_000_000
        assert status.st_nlink == 2
        assert owner(root / "d/f") == (56, 78)
        assert owner(root / "d") == (12, 34)
        assert stat.S_IMODE((root / "d").stat().st_mode) == 0o2750
        assert (root / "d").stat().st_mtime == 1_500_000_000, "set after its content was written"
        assert os.readlink(root / "d/l") == "../anywhere"
        assert stat.S_ISFIFO((root / "d/p").lstat().st_mode)
        assert os.getxattr(root / "x", "user.note") == b"\0binary"


def test_another_digest_than_the_image_says_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DigestMismatch):
        extract(io.BytesIO(b"".join(tar_blocks([], None))), tmp_path, expected=Digest("sha256:" + "0" * 64))


@pytest.mark.parametrize(
    "hostile",
    [
        [file("../out")],
        [file("/etc/out")],
        [file("a/../../out")],
        [hardlink("x", "../out")],
        [hardlink("x", "/etc/passwd")],
        [hardlink("x", "missing")],
        [hardlink("x", "x")],
        [folder("d"), hardlink("x", "d")],
        [file("f"), file("f/inner")],
        [file("x", xattrs={"trusted.overlay.redirect": b"/etc"})],
        [file("x", xattrs={"user.overlay.opaque": b"y"})],
        [file("x", xattrs={"user.pipeyard.owner": b"0:0"})],
        [whiteout("..")],
        [file("d/.wh...")],
        [Entry(path="x", kind="char", mode=0o600, device=(0, 0))],
        [symlink("loop", "loop"), file("loop/x")],
    ],
    ids=lambda entries: " ".join(entry.path for entry in entries),
)
def test_hostile_layers_are_refused(tmp_path: Path, hostile: list[Entry]) -> None:
    outside = sorted(path for path in tmp_path.iterdir())
    with pytest.raises(BadArchive):
        unpack(tmp_path / "root", *hostile)
    assert [path for path in sorted(tmp_path.iterdir()) if path.name != "root"] == outside


@pytest.mark.parametrize("target", ["/", "..", "../..", "../outside", "/outside", "inner/../../../outside"])
def test_writing_through_a_symlink_stays_within_the_root(tmp_path: Path, target: str) -> None:
    (tmp_path / "outside").mkdir()
    if target.startswith("/"):
        target = target.replace("/outside", os.fspath(tmp_path / "outside"))
    unpack(tmp_path / "root", folder("inner"), symlink("way", target), file("way/pwned", b"x"))
    assert list((tmp_path / "outside").iterdir()) == []
    assert not (tmp_path / "pwned").exists()
    assert len(list((tmp_path / "root").rglob("pwned"))) == 1


def test_a_folder_that_turns_into_a_symlink_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    unpack(
        tmp_path / "root",
        folder("d"), file("d/first"), symlink("d", os.fspath(tmp_path / "outside")), file("d/second"),
    )  # fmt: skip
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_hardlink_to_a_symlink_links_the_link_itself(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("host")
    unpack(tmp_path / "root", symlink("l", os.fspath(secret)), hardlink("h", "l"))
    assert (tmp_path / "root/h").is_symlink()
    assert secret.stat().st_nlink == 1


def test_parents_through_a_symlink_of_a_lower_layer_land_where_it_points(tmp_path: Path) -> None:
    unpack(tmp_path / "low", folder("usr"), folder("usr/lib", 0o711), symlink("lib", "usr/lib"))
    unpack(tmp_path / "high", file("lib/libx.so", b"elf"), lowers=(tmp_path / "low",))
    assert (tmp_path / "high/usr/lib/libx.so").read_bytes() == b"elf"
    assert not (tmp_path / "high/lib").exists()
    assert stat.S_IMODE((tmp_path / "high/usr/lib").stat().st_mode) == 0o711


def test_parents_that_the_layer_does_not_name_are_those_of_the_layers_below(tmp_path: Path) -> None:
    unpack(tmp_path / "low", folder("home", 0o750, uid=7, gid=8, mtime_ns=1_000_000_000))
    unpack(tmp_path / "high", file("home/a"), file("new/b"), lowers=(tmp_path / "low",))
    home = tmp_path / "high/home"
    assert (stat.S_IMODE(home.stat().st_mode), owner(home), home.stat().st_mtime) == (0o750, (7, 8), 1)
    assert stat.S_IMODE((tmp_path / "high/new").stat().st_mode) == 0o755


def test_whiteouts_take_the_form_of_overlayfs(tmp_path: Path) -> None:
    root = tmp_path / "root"
    unpack(root, folder("d"), opaque("d"), whiteout("gone"), whiteout("again"), folder("again"), file("again/x"))
    assert is_overlay_opaque(os.fspath(root / "d"))
    assert is_whiteout(root / "gone")
    assert is_overlay_opaque(os.fspath(root / "again")), "what was below it stays gone"
    assert not (root / ".wh.gone").exists()


def test_a_whiteout_leaves_what_its_own_layer_brings(tmp_path: Path) -> None:
    unpack(tmp_path / "root", file("f", b"new"), whiteout("f"))
    assert (tmp_path / "root/f").read_bytes() == b"new"


def test_a_hardlink_to_a_file_of_a_lower_layer_brings_it_up(tmp_path: Path) -> None:
    unpack(tmp_path / "low", folder("d"), file("d/f", b"data", 0o751))
    unpack(tmp_path / "high", hardlink("h", "d/f"), lowers=(tmp_path / "low",))
    assert (tmp_path / "high/h").read_bytes() == b"data"
    assert (tmp_path / "high/h").stat().st_ino == (tmp_path / "high/d/f").stat().st_ino
    assert stat.S_IMODE((tmp_path / "high/h").stat().st_mode) == 0o751


def test_the_last_of_several_entries_of_one_name_counts(tmp_path: Path) -> None:
    root = tmp_path / "root"
    unpack(root, file("a", b"1"), file("a", b"2"), folder("b"), file("b/x"), file("b", b"3"), file("c"), folder("c"))
    assert (root / "a").read_bytes() == b"2"
    assert (root / "b").read_bytes() == b"3"
    assert (root / "c").is_dir()


def test_devices_are_left_out_where_they_cannot_be_made(tmp_path: Path) -> None:
    data = b"".join(tar_blocks([Entry(path="null", kind="char", mode=0o666, device=(1, 3))], None))
    result = extract(io.BytesIO(data), tmp_path, form=Form("single"))
    assert result.skipped == ("null",)


def test_a_single_id_writes_owners_down(tmp_path: Path) -> None:
    data = b"".join(tar_blocks([file("f", uid=101, gid=102), folder("d", uid=3)], None))
    extract(io.BytesIO(data), tmp_path, form=Form("single"))
    assert (tmp_path / "f").stat().st_uid == ME[0]
    assert owner_of(os.fspath(tmp_path / "f"), (tmp_path / "f").stat(), Form("single")) == (101, 102)
    assert owner_of(os.fspath(tmp_path / "d"), (tmp_path / "d").stat(), Form("single")) == (3, 0)


def test_bombs_are_refused(tmp_path: Path) -> None:
    packed = gzip.compress(b"".join(tar_blocks([file("zeros", bytes(50_000_000))], None)))
    with pytest.raises(BadArchive, match="larger than 10000000 bytes"):
        extract(io.BytesIO(packed), tmp_path, limits=ExtractLimits(total_bytes=10_000_000))
    many = b"".join(tar_blocks([file(str(number)) for number in range(20)], None))
    with pytest.raises(BadArchive, match="more than 10 entries"):
        extract(io.BytesIO(many), tmp_path, limits=ExtractLimits(entries=10))


def test_a_sparse_file_that_claims_to_be_enormous_is_refused(tmp_path: Path) -> None:
    header = tarfile.TarInfo("x")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        header.pax_headers = {"GNU.sparse.realsize": str(1 << 60), "GNU.sparse.map": f"{(1 << 60) - 1},0"}
        archive.addfile(header)
    with pytest.raises(BadArchive, match="larger than"):
        extract(io.BytesIO(out.getvalue()), tmp_path, limits=ExtractLimits(total_bytes=1 << 30))
    assert not (tmp_path / "x").exists()


def test_sparse_files_keep_their_holes(tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        header = tarfile.TarInfo("x")
        header.size = 4
        header.pax_headers = {"GNU.sparse.realsize": "50000000", "GNU.sparse.map": "1000000,4"}
        archive.addfile(header, io.BytesIO(b"data"))
    extract(io.BytesIO(out.getvalue()), tmp_path)
    assert (tmp_path / "x").read_bytes() == bytes(1_000_000) + b"data" + bytes(48_999_996)
    assert (tmp_path / "x").stat().st_blocks < 1000


def test_a_truncated_layer_is_refused(tmp_path: Path) -> None:
    store = MemoryStore()
    layer = write_layer([file("f", os.urandom(100_000))], store)
    data = store.blobs[layer.blob.digest]
    with pytest.raises(BadArchive):
        extract(io.BytesIO(data[:-20]), tmp_path)
    plain = b"".join(tar_blocks([file("f", os.urandom(100_000))], None))
    with pytest.raises(BadArchive):
        extract(io.BytesIO(plain[:50_000]), tmp_path)


parts = st.sampled_from(["a", "b", "c", "..", ".wh.a", ".wh..wh..opq"])
paths = st.lists(parts, min_size=1, max_size=4).map("/".join)
targets = st.sampled_from(["a", "b/c", "../..", "/", "/a", "../outside", ".", "c"])
anything = st.one_of(
    st.builds(lambda path: file(path, b"data"), paths),
    st.builds(folder, paths),
    st.builds(symlink, paths, targets),
    st.builds(hardlink, paths, paths),
)


@given(st.lists(anything, max_size=12))
@example([symlink("a/a/c", "a"), hardlink("a", "a/a/c")])  # a folder replaced by a file that lies in it
@settings(deadline=None, max_examples=200)
def test_no_layer_reaches_out_of_its_folder(tmp_path_factory: pytest.TempPathFactory, entries: list[Entry]) -> None:
    place = tmp_path_factory.mktemp("hostile")
    (place / "outside").mkdir()
    try:
        unpack(place / "root", *entries)
    except BadArchive:
        pass
    assert sorted(path.name for path in place.iterdir()) == ["outside", "root"]
    assert list((place / "outside").iterdir()) == []


def nested(levels: int) -> list[str]:
    return ["/".join(["a"] * level) for level in range(1, levels + 1)]


DEEP = {
    "one file": lambda levels: [file(nested(levels)[-1])],
    "each folder": lambda levels: [folder(path) for path in nested(levels)],
    "the deepest folder first": lambda levels: [folder(path) for path in reversed(nested(levels))],
    "files in the deepest": lambda levels: [file("a/" * levels + str(name)) for name in range(levels)],
    "a file becomes a folder": lambda levels: [file("a"), folder("a"), file(nested(levels)[-1]), file("a")],
}


@pytest.mark.parametrize("name", DEEP)
def test_unpacking_takes_steps_in_proportion_to_the_depth_of_a_layer(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = 0
    real = os.open

    def counting(*arguments: object, **options: object) -> int:
        nonlocal opened
        opened += 1
        return real(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", counting)
    lower = tmp_path / "lower"
    unpack(lower, file("other/file"))
    opened = 0
    levels = 1900
    unpack(tmp_path / "layer", *DEEP[name](levels), lowers=(lower,))
    # Some 64 for each level where a folder is found from the nearest that is open; 1900 from the root.
    assert opened < levels * 150, opened
    monkeypatch.undo()
    remove_tree(tmp_path / "layer")


def test_folders_that_names_imply_count_as_entries(tmp_path: Path) -> None:
    layer = b"".join(tar_blocks([file("/".join(["a"] * 50))], None))
    tmp_path.joinpath("x").mkdir()
    with pytest.raises(BadArchive, match="imply more than 10 folders"):
        extract(io.BytesIO(layer), tmp_path / "x", limits=ExtractLimits(entries=10))


def test_a_folder_in_the_place_of_a_lower_layers_link_gets_what_comes_after_it(tmp_path: Path) -> None:
    lower = tmp_path / "lower"
    unpack(lower, folder("usr/lib"), symlink("lib", "usr/lib"))
    unpack(tmp_path / "layer", file("lib/a"), folder("lib"), file("lib/b"), lowers=(lower,))
    assert (tmp_path / "layer/usr/lib/a").exists()
    assert (tmp_path / "layer/lib/b").exists()
