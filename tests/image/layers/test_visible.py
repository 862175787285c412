"""What is seen of a stack of layers, as an extraction of all of them would show it."""

import io
from contextlib import AbstractContextManager
from typing import BinaryIO

from pipeyard.image.layers import Entry, is_whiteout, opaque, whiteout, write_tar
from pipeyard.image.layers.visible import OpenLayer, visible_entries


def layer(*entries: Entry) -> OpenLayer:
    blocks: list[bytes] = []
    write_tar(entries, lambda block: blocks.append(bytes(block)))

    def opened() -> AbstractContextManager[BinaryIO]:
        return io.BytesIO(b"".join(blocks))

    return opened


def file(path: str, data: bytes = b"x") -> Entry:
    return Entry(path=path, kind="file", mode=0o644, size=len(data), content=data)


def folder(path: str) -> Entry:
    return Entry(path=path, kind="dir", mode=0o755)


def seen(*layers: OpenLayer) -> dict[str, int]:
    """Files, and the layer that each is from."""
    return {entry.path: at for at, entry in visible_entries(layers) if entry.kind == "file"}


def test_the_highest_layer_that_has_a_file_shows_it() -> None:
    assert seen(layer(file("a"), file("b")), layer(file("b"), file("c"))) == {"a": 0, "b": 1, "c": 1}


def test_removed_files_and_folders_are_not_seen() -> None:
    lower = layer(file("a"), folder("d"), file("d/e"), file("f"))
    assert seen(lower, layer(whiteout("a"), whiteout("d"))) == {"f": 0}


def test_a_removal_counts_for_the_layers_below_only() -> None:
    assert seen(layer(file("a")), layer(whiteout("a"), file("a"))) == {"a": 1}
    assert seen(layer(file("a")), layer(whiteout("a")), layer(file("a"))) == {"a": 2}


def test_an_emptied_folder_shows_what_was_put_there_since() -> None:
    lower = layer(folder("d"), file("d/old"), file("x"))
    assert seen(lower, layer(folder("d"), opaque("d"), file("d/new"))) == {"d/new": 1, "x": 0}


def test_a_file_in_the_place_of_a_folder_hides_what_was_in_it() -> None:
    assert seen(layer(folder("d"), file("d/e")), layer(file("d"))) == {"d": 1}


def test_markers_and_paths_out_of_the_root_are_not_shown() -> None:
    entries = list(visible_entries([layer(file("../etc/shadow"), file("a/../../b"), whiteout("c"), file("ok"))]))
    assert [entry.path for _, entry in entries] == ["ok"]
    assert not any(is_whiteout(entry) for _, entry in entries)
