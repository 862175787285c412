import io
from pathlib import Path

import pytest

from pipeyard.image.layers import Entry, FolderStack, extract, opaque, tar_blocks, whiteout
from pipeyard.image.layers.powers import powers_from


def layer(folder: Path, *entries: Entry) -> Path:
    folder.mkdir()
    extract(io.BytesIO(b"".join(tar_blocks(entries, None))), folder)
    return folder


def file(path: str, data: bytes = b"") -> Entry:
    return Entry(path=path, kind="file", mode=0o644, size=len(data), content=data)


def folder(path: str) -> Entry:
    return Entry(path=path, kind="dir", mode=0o755)


def symlink(path: str, to: str) -> Entry:
    return Entry(path=path, kind="symlink", mode=0o777, link=to)


def content(stack: FolderStack, path: str) -> str | None:
    found = stack.lookup(path)
    return Path(found.file).read_text() if found else None


def test_the_uppermost_layer_that_has_a_name_wins(tmp_path: Path) -> None:
    low = layer(tmp_path / "low", folder("etc"), file("etc/a", b"old"), file("etc/b", b"b"))
    high = layer(tmp_path / "high", folder("etc"), file("etc/a", b"new"), file("etc/c", b"c"))
    stack = FolderStack([low, high])
    assert [content(stack, f"etc/{name}") for name in "abcd"] == ["new", "b", "c", None]
    assert stack.names("etc") == ["a", "b", "c"]
    assert stack.names("") == ["etc"]


def test_whiteouts_opaque_folders_and_files_hide_what_is_below(tmp_path: Path) -> None:
    low = layer(tmp_path / "low", file("gone"), folder("o"), file("o/x"), folder("f"), file("f/x"), folder("w/d"))
    high = layer(tmp_path / "high", whiteout("gone"), folder("o"), opaque("o"), file("o/y"), file("f"), whiteout("w"))
    stack = FolderStack([low, high])
    assert [stack.lookup(path) is None for path in ("gone", "o/x", "f/x", "w", "w/d")] == [True] * 5
    assert stack.names("o") == ["y"]
    assert stack.names("") == ["f", "o"]
    top = layer(tmp_path / "top", folder("w"), file("w/new"))
    assert FolderStack([low, high, top]).names("w") == ["new"]


def test_a_marked_file_is_a_whiteout_where_no_device_can_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*about: object, **more: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    low = layer(tmp_path / "low", file("gone"), folder("d"), file("d/x"))
    monkeypatch.setattr("os.mknod", refuse)
    high = layer(tmp_path / "high", whiteout("gone"), whiteout("d"), folder("d"), file("d/y"))
    stack = FolderStack([low, high])
    assert stack.lookup("gone") is None
    assert stack.names("d") == ["y"]


def test_links_are_resolved_within_the_tree(tmp_path: Path) -> None:
    low = layer(tmp_path / "low", symlink("var/run", "/run"), symlink("up", "../../../etc"), symlink("loop", "loop"))
    stack = FolderStack([low])
    assert stack.resolve("/var/run/x.sock") == "run/x.sock"
    assert stack.resolve("up/passwd") == "etc/passwd"
    assert stack.resolve("up", follow_last=False) == "up"
    assert stack.resolve("a/../../b/./c") == "b/c"
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        stack.resolve("loop/x")


def test_powers_follow_from_the_map_of_ids() -> None:
    assert powers_from(0, "         0          0 4294967295\n") == "root"
    assert powers_from(0, "         0          0 4294967295\n", 0xA80425FB) == "confined"
    assert powers_from(0, "0 1001 1\n1 100000 65536\n") == "sub-ids"
    assert powers_from(0, "0 1001 1\n") == "single"
    assert powers_from(1001, "         0          0 4294967295\n") == "single"
