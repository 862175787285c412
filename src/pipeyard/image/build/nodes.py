"""Files to take from, wherever they are: what is at a path, which names a folder has, and how to read a content.

Paths are relative to the tree's root, without leading slash; "" is the root. Bytes that are not UTF-8 are surrogates.
"""

import os
import stat
from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from pipeyard.image.layers.entry import Content, Entry, Kind

_KINDS: dict[int, Kind] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
    stat.S_IFIFO: "fifo",
}


class Node(Struct, frozen=True, kw_only=True, gc=False):
    """One file of a tree. `identity` is what several hard links of one file share, None where there is only one."""

    kind: Kind
    mode: int
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime_ns: int = 0
    link: str = ""
    device: tuple[int, int] = (0, 0)
    identity: tuple[int, int] | None = None


class FileTree(Protocol):
    """A tree that nobody changes while it is used. Used by one thread at a time."""

    def lookup(self, path: str) -> Node | None:
        """What is at the path itself; symlinks are not followed, and only folders have something below them."""

    def names(self, path: str) -> Sequence[str]:
        """Sorted names in a folder."""

    def content(self, path: str, node: Node) -> Content:
        """The content of a file, to be read once or more often."""

    def xattrs(self, path: str) -> dict[str, bytes]: ...

    def digest(self, path: str, node: Node) -> bytes:
        """Names the content of a file."""


def node_of(status: os.stat_result, *, uid: int, gid: int, link: str = "") -> Node | None:
    """None for what no image can hold (sockets)."""
    kind = _KINDS.get(stat.S_IFMT(status.st_mode))
    if kind is None:
        return None
    device = kind in ("char", "block")
    return Node(
        kind=kind,
        mode=stat.S_IMODE(status.st_mode),
        uid=uid,
        gid=gid,
        size=status.st_size if kind == "file" else 0,
        mtime_ns=status.st_mtime_ns,
        link=link,
        device=(os.major(status.st_rdev), os.minor(status.st_rdev)) if device else (0, 0),
        identity=(status.st_dev, status.st_ino) if status.st_nlink > 1 and kind != "dir" else None,
    )


def entry_of(path: str, node: Node, *, content: Content = b"", xattrs: dict[str, bytes] | None = None) -> Entry:
    return Entry(
        path=path,
        kind=node.kind,
        mode=node.mode,
        uid=node.uid,
        gid=node.gid,
        mtime_ns=node.mtime_ns,
        size=node.size,
        link=node.link,
        device=node.device,
        xattrs=xattrs or {},
        content=content,
    )


def node_from(entry: Entry) -> Node:
    """What an entry of a layer will look like from outside; a hard link counts as the file that it is."""
    return Node(
        kind="file" if entry.kind == "hardlink" else entry.kind,
        mode=entry.mode,
        uid=entry.uid,
        gid=entry.gid,
        size=entry.size,
        mtime_ns=entry.mtime_ns,
        link=entry.link if entry.kind == "symlink" else "",
        device=entry.device,
    )


class InlineTree:
    """A single file whose content is known."""

    def __init__(self, name: str, content: bytes, mode: int = 0o644) -> None:
        self._name = name
        self._data = content
        self._mode = mode

    def lookup(self, path: str) -> Node | None:
        if not path:
            return Node(kind="dir", mode=0o755)
        return Node(kind="file", mode=self._mode, size=len(self._data)) if path == self._name else None

    def names(self, path: str) -> Sequence[str]:
        return [] if path else [self._name]

    def content(self, path: str, node: Node) -> Content:
        return self._data

    def xattrs(self, path: str) -> dict[str, bytes]:
        return {}

    def digest(self, path: str, node: Node) -> bytes:
        import hashlib

        return hashlib.sha256(self._data).digest()
