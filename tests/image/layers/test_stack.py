import io
import itertools
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeyard.image.layers import Entry, FolderStack, extract, form_of_this_process, opaque, tar_blocks, whiteout
from pipeyard.image.layers.powers import powers_from
from pipeyard.image.layers.stack import make_whiteout


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


NAMES = st.sampled_from(["a", "b"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
THINGS = st.dictionaries(PATHS, st.sampled_from(["file", "folder", "opaque", "whiteout"]), max_size=4)


def pile(root: Path, things: dict[str, str]) -> Path:
    """A folder as overlayfs leaves it; what cannot be because of something above it is left out."""
    root.mkdir()
    for path, kind in sorted(things.items()):
        place = root / path
        try:
            if kind == "file":
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(str(root))
            elif kind == "whiteout":
                place.parent.mkdir(parents=True, exist_ok=True)
                make_whiteout(str(place), form_of_this_process().overlay_prefix)
            else:
                place.mkdir(parents=True, exist_ok=True)
                if kind == "opaque":
                    os.setxattr(place, form_of_this_process().overlay_prefix + "opaque", b"y")
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            continue
    return root


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(THINGS, st.lists(PATHS, max_size=3)), min_size=1, max_size=5))
def test_a_grown_stack_shows_what_a_new_one_shows(layers: list[tuple[dict[str, str], list[str]]]) -> None:
    every = ["/".join(parts) for size in (1, 2, 3) for parts in itertools.product("ab", repeat=size)]
    with tempfile.TemporaryDirectory() as place:
        folders: list[Path] = []
        stack = FolderStack([])
        for number, (things, looked_at) in enumerate(layers):
            folders.append(pile(Path(place) / str(number), things))
            stack = stack.grown(folders[-1])
            for path in looked_at:  # what it knows already when it grows
                stack.lookup(path)
        new = FolderStack(folders)
        for path in every:
            grown, plain = stack.lookup(path), new.lookup(path)
            assert (grown and (grown.file, grown.folders)) == (plain and (plain.file, plain.folders)), path
            assert stack.names(path) == new.names(path)


def test_a_stack_may_grow_as_high_as_overlayfs_allows(tmp_path: Path) -> None:
    stack = FolderStack([])
    for number in range(500):
        folder = tmp_path / str(number)
        (folder / "same").mkdir(parents=True)
        (folder / "same" / f"of-{number}").touch()
        stack = stack.grown(folder)
    assert len(stack.names("same")) == 500
    found = stack.lookup("same/of-0")
    assert found is not None
    assert found.file == f"{tmp_path}/0/same/of-0"
    assert stack.lookup("same/of-500") is None
    assert stack.lookup("other") is None


def test_a_stack_is_asked_for_a_path_of_thousands_of_folders(tmp_path: Path) -> None:
    (tmp_path / "a/a").mkdir(parents=True)
    stack = FolderStack([tmp_path])
    assert stack.lookup("/".join(["a"] * 2000)) is None
    assert stack.names("/".join(["a"] * 2000)) == []
    assert stack.lookup("a/a") is not None
