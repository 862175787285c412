"""ADD of an archive: its entries at the destination, as Docker's untar puts them there.

Names and links are resolved beneath the destination, never above it. Source: moby/go-archive, archive.go (Unpack).
"""

import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from msgspec import structs

from pipeyard.errors import BuildFailed
from pipeyard.image.build.copying import Copier, Ownership, Placed, joined
from pipeyard.image.build.nodes import FileTree, Node, node_from
from pipeyard.image.build.views import Growing
from pipeyard.image.layers import BadArchive, Entry, is_archive, read_entries
from pipeyard.image.layers.stack import resolve_links

_SMALL = 1 << 20


def unpack(
    copier: Copier, view: Growing, tree: FileTree, source: str, node: Node, destination: str, ownership: Ownership
) -> bool:
    """False when the file is no archive, and nothing happened. Raises BuildFailed for a damaged one."""
    if node.kind != "file":
        return False
    with opened(tree, source, node) as stream:
        if not is_archive(stream.read):
            return False
    root = view.resolve(posixpath.normpath("/" + destination.lstrip("/")).lstrip("/"))
    copier.make_folders(root, plain_mode=True)
    owner = ownership.owner
    with opened(tree, source, node) as stream:
        try:
            for entry in read_entries(stream.read):
                _place(copier, view, root, entry, owner)
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


def _place(copier: Copier, view: Growing, root: str, entry: Entry, owner: tuple[int, int] | None) -> None:
    path = posixpath.normpath("/" + entry.path).lstrip("/")
    if not path:
        return
    parent, _, name = path.rpartition("/")
    folder = _beneath(view, root, parent)
    existing = view.lookup(folder)
    if existing is None:
        _implied(copier, view, folder)
    target = joined(folder, name)
    before = view.lookup(target)
    if before is not None and not (before.kind == "dir" and entry.kind == "dir"):
        copier.replace(target)
    uid, gid = owner if owner is not None else (entry.uid, entry.gid)
    placed = structs.replace(entry, path=target, uid=uid, gid=gid)
    if entry.kind == "hardlink":
        first = _beneath(view, root, posixpath.normpath("/" + entry.link).lstrip("/"), follow_last=False)
        if first not in copier.placed:
            raise BuildFailed(f"the archive links to {entry.link}, which it does not hold before")
        node = copier.placed[first].node
        copier.put(target, Placed(node, entry=structs.replace(placed, link=first, mode=node.mode)))
        return
    if entry.kind == "file":
        placed = structs.replace(placed, content=_kept(entry))
    copier.put(target, Placed(node_from(placed), entry=placed))


def _kept(entry: Entry) -> bytes:
    """An archive is read once, in order: its contents are kept until the layer is written."""
    content = entry.content
    if isinstance(content, bytes):
        return content
    if isinstance(content, str):
        with open(content, "rb") as file:
            return file.read()
    with content() as stream:
        return stream.read()


def _beneath(view: Growing, root: str, path: str, *, follow_last: bool = True) -> str:
    """The path below the destination; links are followed as in a chroot there."""

    def link(at: str) -> str | None:
        node = view.lookup(joined(root, at))
        return node.link if node is not None and node.kind == "symlink" else None

    return joined(root, resolve_links(path, link, follow_last=follow_last)) if path else root


def _implied(copier: Copier, view: Growing, folder: str) -> None:
    """Folders that the archive has things in and does not name are root's."""
    if not folder or view.lookup(folder) is not None:
        return
    _implied(copier, view, posixpath.dirname(folder))
    copier.put(folder, Placed(Node(kind="dir", mode=0o755, mtime_ns=copier.epoch_ns)))
