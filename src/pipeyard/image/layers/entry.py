"""One path of a layer: what a tar member says, whoever wrote it and wherever its content lies.

Source: image-spec, layer.md ("File Attributes", "Whiteouts").
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import BinaryIO, Literal

from msgspec import Struct

Kind = Literal["file", "dir", "symlink", "hardlink", "char", "block", "fifo"]

Content = str | bytes | Callable[[], AbstractContextManager[BinaryIO]]
"""A path of this machine's file system, the bytes themselves, or a function that opens them anew at each call."""

WHITEOUT_PREFIX = ".wh."
OPAQUE_NAME = ".wh..wh..opq"


class Entry(Struct, frozen=True, kw_only=True):
    """`path` is relative, without leading, trailing or doubled slashes; bytes that are not UTF-8 are surrogates in it.

    The empty path is the root folder itself.
    """

    path: str
    kind: Kind
    mode: int  # permissions with setuid, setgid and sticky: 0 to 0o7777
    uid: int = 0
    gid: int = 0
    mtime_ns: int = 0  # since 1970, UTC
    size: int = 0  # bytes of a file's content; 0 for the others
    link: str = ""  # a symlink's text, or the path of the earlier entry that a hardlink names again
    device: tuple[int, int] = (0, 0)  # major and minor
    xattrs: dict[str, bytes] = {}  # full names, such as security.capability
    content: Content = b""


def whiteout(path: str, mtime_ns: int = 0) -> Entry:
    """Removes `path` of the layers below."""
    folder, slash, name = path.rpartition("/")
    return Entry(path=f"{folder}{slash}{WHITEOUT_PREFIX}{name}", kind="file", mode=0, mtime_ns=mtime_ns)


def opaque(folder: str, mtime_ns: int = 0) -> Entry:
    """Removes everything that the layers below have in `folder`, and not the folder itself."""
    return Entry(path=f"{folder}/{OPAQUE_NAME}" if folder else OPAQUE_NAME, kind="file", mode=0, mtime_ns=mtime_ns)


def is_whiteout(entry: Entry) -> bool:
    """Whether the entry removes something, opaque markers included."""
    return entry.path.rpartition("/")[2].startswith(WHITEOUT_PREFIX)


def is_opaque(entry: Entry) -> bool:
    return entry.path.rpartition("/")[2] == OPAQUE_NAME


def removed_path(entry: Entry) -> str:
    """The path that a whiteout removes; for an opaque marker, the folder that it empties."""
    folder, slash, name = entry.path.rpartition("/")
    return folder if name == OPAQUE_NAME else f"{folder}{slash}{name[len(WHITEOUT_PREFIX) :]}"


def layer_order(entry: Entry) -> str:
    """Sort key of a layer: parents before children, siblings by name, whiteouts before their siblings.

    Whiteouts come first because image-spec asks for it, and because an extractor that works in one pass would
    otherwise delete the files that it has just written.
    """
    path = entry.path.replace("/", "\0")
    if WHITEOUT_PREFIX in path:
        folder, zero, name = path.rpartition("\0")
        if name.startswith(WHITEOUT_PREFIX):
            return f"{folder}{zero}\1{'' if name == OPAQUE_NAME else name}"
    return path
