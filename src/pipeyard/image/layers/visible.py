"""What is seen of a stack of layers: each path as the highest layer that has it shows it.

Layers are read as streams, the highest first, and no content is kept. Source: image-spec, layer.md, "Applying
changesets".
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import BinaryIO

from pipeyard.errors import InputError
from pipeyard.image.layers.entry import Entry, is_opaque, is_whiteout, removed_path
from pipeyard.image.layers.read import read_entries

OpenLayer = Callable[[], AbstractContextManager[BinaryIO]]
_MAX_ENTRIES = 5_000_000


def visible_entries(layers: Sequence[OpenLayer]) -> Iterator[tuple[int, Entry]]:
    """The entries of the merged file system with the position of the layer that each is from, in no useful order.

    `layers` come lowest first. An entry's content can be opened once, and before the next entry is asked for. Paths
    are relative; entries that would lie outside of the root are left out. Raises BadArchive, and InputError for more
    entries than any real image has. A layer that has a path several times, as none should, shows it as often.
    """
    seen: set[str] = set()  # in higher layers
    covered: set[str] = set()  # paths below which nothing of the lower layers shows; "PATH/" leaves PATH itself
    for at in range(len(layers) - 1, -1, -1):
        covering: set[str] = set()
        here: set[str] = set()
        with layers[at]() as stream:
            for entry in read_entries(stream.read):
                path = entry.path.lstrip("/")
                if ".." in path.split("/"):
                    continue
                if is_whiteout(entry):
                    removed = removed_path(entry).lstrip("/")
                    covering.add(f"{removed}/" if is_opaque(entry) else removed)
                elif path not in seen and not _is_covered(path, covered):
                    here.add(path)
                    if entry.kind != "dir":
                        covering.add(path)
                    if len(seen) + len(here) > _MAX_ENTRIES:
                        raise InputError(f"the image has more than {_MAX_ENTRIES} files")
                    yield at, entry
        covered |= covering
        seen |= here


def _is_covered(path: str, covered: set[str]) -> bool:
    if path in covered:
        return True
    while path and covered:
        path = path.rpartition("/")[0]
        if f"{path}/" in covered or path in covered:
            return True
    return False
