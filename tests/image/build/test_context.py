"""A local folder as a source of files, and what is remembered of it."""

import os
import time
from pathlib import Path

import msgspec
import pytest

from pipeyard.errors import BuildFailed
from pipeyard.image.build.context import LocalFiles
from pipeyard.image.build.statcache import KnownFiles, KnownFolder
from pipeyard.image.dockerfile.ignore import compile_ignore


def fill(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        os.utime(path, (1_600_000_000, 1_600_000_000))
    return root


def settle(root: Path) -> None:
    """Files that changed a moment ago are not trusted: their change time must be past."""
    newest = max(path.stat().st_ctime for path in root.rglob("*"))
    while time.time() < newest + 0.05:
        os.sched_yield()


def walk(files: LocalFiles, path: str = "") -> list[str]:
    found = []
    for name in files.names(path):
        inner = f"{path}/{name}" if path else name
        node = files.lookup(inner)
        assert node is not None
        found.append(inner)
        if node.kind == "dir":
            found += walk(files, inner)
    return found


def test_owners_are_roots_and_modes_are_kept(tmp_path: Path) -> None:
    fill(tmp_path, {"a": "a"})
    (tmp_path / "a").chmod(0o640)
    node = LocalFiles(tmp_path).lookup("a")
    assert node is not None
    assert (node.uid, node.gid, node.mode, node.size) == (0, 0, 0o640, 1)


def test_ignored_files_are_not_there_and_exceptions_are(tmp_path: Path) -> None:
    fill(tmp_path, {"docs/a": "", "docs/README": "", "docs/deep/x": "", "src/a.o": "", "src/a.c": "", "empty/a.o": ""})
    ignore = compile_ignore(b"docs/*\n!docs/README\n**/*.o\n", ".dockerignore")
    assert walk(LocalFiles(tmp_path, ignore=ignore)) == ["docs", "docs/README", "empty", "src", "src/a.c"]


def test_an_unchanged_file_is_not_read_again(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", {"d/a": "a", "d/b": "b"})
    settle(root)
    first = LocalFiles(root, cache=tmp_path / "stats")
    summary = first.summary("", read=True)
    first.save()
    second = LocalFiles(root, cache=tmp_path / "stats")
    assert second.summary("", read=False) == summary


def test_only_a_changed_file_is_read_again(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", {"d/a": "a", "d/b": "b"})
    settle(root)
    first = LocalFiles(root, cache=tmp_path / "stats")
    summary = first.summary("", read=True)
    first.save()
    (root / "d/b").write_text("c")
    second = LocalFiles(root, cache=tmp_path / "stats")
    assert second.known_digest("d/a") is not None
    assert second.known_digest("d/b") is None
    assert second.summary("", read=True) != summary


def test_a_change_within_the_grain_of_the_clock_is_not_missed(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", {"a": "one"})
    first = LocalFiles(root, cache=tmp_path / "stats")
    before = first.summary("", read=True)
    first.save()
    (root / "a").write_text("two")
    assert LocalFiles(root, cache=tmp_path / "stats").summary("", read=True) != before


def test_a_damaged_cache_is_no_cache(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", {"a": "one"})
    first = LocalFiles(root, cache=tmp_path / "stats")
    summary = first.summary("", read=True)
    first.save()
    for file in (tmp_path / "stats").iterdir():
        file.write_bytes(file.read_bytes()[:-7])
    assert LocalFiles(root, cache=tmp_path / "stats").summary("", read=True) == summary


def test_names_that_are_not_utf8_are_files_like_all_others(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    name = os.fsdecode(b"caf\xe9")
    (root / name).write_text("x")
    files = LocalFiles(root, cache=tmp_path / "stats")
    assert files.names("") == [name]
    assert files.summary("", read=True)
    files.save()


@pytest.mark.parametrize("change", ["mode", "link", "name", "kind"])
def test_what_matters_is_in_the_summary(tmp_path: Path, change: str) -> None:
    root = fill(tmp_path, {"d/a": "a"})
    (root / "l").symlink_to("d")
    before = LocalFiles(root).summary("", read=True)
    match change:
        case "mode":
            (root / "d/a").chmod(0o777)
        case "link":
            (root / "l").unlink()
            (root / "l").symlink_to("e")
        case "name":
            (root / "d/a").rename(root / "d/b")
        case "kind":
            (root / "d/a").unlink()
            (root / "d/a").mkdir()
    assert LocalFiles(root).summary("", read=True) != before


def test_a_link_put_in_the_place_of_a_folder_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a").write_text("secret")
    root = fill(tmp_path / "root", {"d/a": "mine!!"})
    files = LocalFiles(root)
    node = files.lookup("d/a")
    assert node is not None
    (root / "d").rename(root / "moved")
    (root / "d").symlink_to(tmp_path / "outside")
    fresh = LocalFiles(root)
    fresh._folders = files._folders  # what was listed before the swap
    with pytest.raises(BuildFailed, match="could not be read"):
        fresh.content("d/a", node)


def test_a_fifo_put_in_the_place_of_a_file_does_not_hang(tmp_path: Path) -> None:
    root = fill(tmp_path, {"a": "content"})
    files = LocalFiles(root)
    node = files.lookup("a")
    assert node is not None
    (root / "a").unlink()
    os.mkfifo(root / "a")
    with pytest.raises(BuildFailed, match="changed while it was read"):
        files.content("a", node)


@pytest.mark.parametrize("files", [b"\xc0", b"\x93\x91\xa1a\x90\x90", b"\x93\x91\x01\x90\x90"])
def test_what_was_kept_of_a_folder_and_cannot_be_read_is_nothing(files: bytes) -> None:
    kept = msgspec.msgpack.decode(msgspec.msgpack.encode([b"s", b"d", msgspec.Raw(files)]), type=KnownFolder)
    assert kept.summary == b"d"
    assert kept.files == KnownFiles([], [], [])
