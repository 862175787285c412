"""ADD of an archive: its entries at the destination, as Docker's untar puts them there.

Names and links are resolved beneath the destination, never above it. Source: moby/go-archive, archive.go (Unpack).
"""

import os
import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from msgspec import structs

from pipeyard.errors import BuildFailed
from pipeyard.image.build.copying import Copier, Placed, joined
from pipeyard.image.build.nodes import FileTree, Node, node_from
from pipeyard.image.build.views import Growing
from pipeyard.image.layers import Content, Entry
from pipeyard.image.layers.stack import resolve_links

_SMALL = 1 << 20
_MOST_REMEMBERED = 10_000


class Spool:
    """Contents of archives, which are read once and in order, until the layer is written.

    Large ones lie in a file of `folder` that has no name, and is gone with this object.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: BinaryIO | None = None
        self._end = 0

    def keep(self, entry: Entry) -> Content:
        content = entry.content
        if isinstance(content, bytes | str):
            return content
        with content() as stream:
            if entry.size <= _SMALL:
                return stream.read()
            file, start = self._opened(), self._end
            while data := stream.read(_SMALL):
                file.write(data)
                self._end += len(data)
            file.flush()
        return lambda: _slice(file, start, entry.size)

    def _opened(self) -> BinaryIO:
        if self._file is None:
            descriptor = os.open(self._folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
            self._file = os.fdopen(descriptor, "w+b")
        return self._file


@contextmanager
def _slice(file: BinaryIO, start: int, size: int) -> Iterator[BinaryIO]:
    yield _Slice(file.fileno(), start, size)  # type: ignore[misc] # the writer of layers uses read() alone


class _Slice:
    """Part of a file, read by offset: any number of readers at once."""

    def __init__(self, file: int, start: int, size: int) -> None:
        self._file, self._at, self._left = file, start, size

    def read(self, size: int = -1) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        data = os.pread(self._file, wanted, self._at)
        self._at += len(data)
        self._left -= len(data)
        return data


def unpack(copier: Copier, tree: FileTree, source: str, node: Node, destination: str, spool: Spool) -> bool:
    """False when the file is no archive, and nothing happened. Raises BuildFailed for a damaged one."""
    if node.kind != "file":
        return False
    from pipeyard.image.layers import BadArchive, is_archive, read_entries

    with opened(tree, source, node) as stream:
        if not is_archive(stream.read):
            return False
    root = copier.view.resolve(posixpath.normpath("/" + destination.lstrip("/")).lstrip("/"))
    copier.make_folders(root, plain_mode=True)
    with opened(tree, source, node) as stream:
        folders = _Folders(copier.view, root)
        try:
            for entry in read_entries(stream.read):
                _place(copier, folders, entry, spool)
        except BadArchive as error:
            raise BuildFailed(f"{source} is a damaged archive: {error.message}") from error
    return True


@contextmanager
def opened(tree: FileTree, source: str, node: Node) -> Iterator[BinaryIO]:
    import io

    content = tree.content(source, node)
    if isinstance(content, bytes):
        yield io.BytesIO(content)
    elif isinstance(content, str):
        with open(content, "rb") as file:
            yield file
    else:
        with content() as stream:
            yield stream


class _Folders:
    """Where an archive's folders lie below its destination, remembered until a link may have changed that."""

    def __init__(self, view: Growing, root: str) -> None:
        self.root = root
        self._view = view
        self._known: dict[str, str] = {}

    def at(self, path: str) -> str:
        found = self._known.get(path)
        if found is not None:
            return found
        parent, _, name = path.rpartition("/")
        above = self._known.get(parent) if path else self.root
        found = joined(above, name) if above is not None and path else above
        if found is None or _is_link(self._view, found):
            found = _beneath(self._view, self.root, path)
        if len(self._known) > _MOST_REMEMBERED:
            self._known.clear()
        self._known[path] = found
        return found

    def forget(self) -> None:
        self._known.clear()


def _place(copier: Copier, folders: _Folders, entry: Entry, spool: Spool) -> None:
    root = folders.root
    view, owner = copier.view, copier.ownership.owner
    path = posixpath.normpath("/" + entry.path).lstrip("/")
    if not path:
        return
    parent, _, name = path.rpartition("/")
    folder = folders.at(parent)
    existing = view.lookup(folder)
    if existing is None:
        if folder != joined(root, parent) and any(_is_link(view, joined(root, above)) for above in _prefixes(parent)):
            raise BuildFailed(f"open /{path}: no such file or directory", hint="a link leads nowhere")
        _implied(copier, view, folder)
    target = joined(folder, name)
    before = view.lookup(target)
    if before is not None and not (before.kind == "dir" and entry.kind == "dir"):
        copier.replace(target)
        if before.kind in ("dir", "symlink"):
            folders.forget()
    if entry.kind in ("symlink", "hardlink"):
        folders.forget()
    uid, gid = owner if owner is not None else (entry.uid, entry.gid)
    placed = structs.replace(entry, path=target, uid=uid, gid=gid)
    if entry.kind == "hardlink":
        first = _beneath(view, root, posixpath.normpath("/" + entry.link).lstrip("/"), follow_last=False)
        if first not in copier.placed:
            raise BuildFailed(f"the archive links to {entry.link}, which it does not hold before")
        node = copier.placed[first].node
        mode = node.mode if node.kind == "symlink" else entry.mode
        copier.link(target, first, structs.replace(node, uid=uid, gid=gid, mode=mode))
        return
    if entry.kind == "file":
        placed = structs.replace(placed, content=spool.keep(entry))
    copier.put(target, Placed(node_from(placed), entry=placed))


def _beneath(view: Growing, root: str, path: str, *, follow_last: bool = True) -> str:
    """The path below the destination; links are followed as in a chroot there."""

    def link(at: str) -> str | None:
        node = view.lookup(joined(root, at))
        return node.link if node is not None and node.kind == "symlink" else None

    return joined(root, resolve_links(path, link, follow_last=follow_last)) if path else root


def _is_link(view: Growing, path: str) -> bool:
    node = view.lookup(path)
    return node is not None and node.kind == "symlink"


def _prefixes(path: str) -> Iterator[str]:
    """The folders that a path leads through, itself included."""
    for at, letter in enumerate(path):
        if letter == "/":
            yield path[:at]
    yield path


def _implied(copier: Copier, view: Growing, folder: str) -> None:
    """Folders that the archive has things in and does not name are root's."""
    missing = []
    while folder and view.lookup(folder) is None:
        missing.append(folder)
        folder = posixpath.dirname(folder)
    for path in reversed(missing):
        copier.put(path, Placed(Node(kind="dir", mode=0o755, mtime_ns=copier.epoch_ns)))
