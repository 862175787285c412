"""The merged files of a stack of layer folders, to copy from and to look things up in."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from pipeyard.image.build.nodes import Node, node_of
from pipeyard.image.layers.entry import Content
from pipeyard.image.layers.powers import Form, form_of_this_process, owner_of
from pipeyard.image.layers.stack import FolderStack

_OWN_NOTES = ("trusted.overlay.", "user.overlay.", "user.pipeyard.")


class StackTree:
    """A FileTree over folders, the lowest first. Nothing is mounted."""

    def __init__(self, folders: Sequence[Path] | FolderStack, form: Form | None = None) -> None:
        self._stack = folders if isinstance(folders, FolderStack) else FolderStack(folders)
        self._form = form or form_of_this_process()
        self._digests: dict[str, bytes] = {}

    def lookup(self, path: str) -> Node | None:
        found = self._stack.lookup(path)
        if found is None:
            return None if path else Node(kind="dir", mode=0o755)
        uid, gid = owner_of(found.file, found.status, self._form)
        node = node_of(found.status, uid=uid, gid=gid)
        if node is not None and node.kind == "symlink":
            return node_of(found.status, uid=uid, gid=gid, link=os.readlink(found.file))
        return node

    def names(self, path: str) -> Sequence[str]:
        return self._stack.names(path)

    def content(self, path: str, node: Node) -> Content:
        found = self._stack.lookup(path)
        assert found is not None
        return found.file

    def xattrs(self, path: str) -> dict[str, bytes]:
        found = self._stack.lookup(path)
        return file_xattrs(found.file) if found is not None else {}

    def digest(self, path: str, node: Node) -> bytes:
        known = self._digests.get(path)
        if known is None:
            found = self._stack.lookup(path)
            assert found is not None
            with open(found.file, "rb", buffering=0) as file:
                known = self._digests[path] = hashlib.file_digest(file, "sha256").digest()
        return known


def file_xattrs(file: str | int) -> dict[str, bytes]:
    """Extended attributes that belong to the image: not overlayfs's notes nor ours."""
    follow = isinstance(file, int)
    try:
        names = os.listxattr(file) if follow else os.listxattr(file, follow_symlinks=False)
    except OSError:  # a file system without them
        return {}
    found = {}
    for name in names:
        if not name.startswith(_OWN_NOTES) and name not in ("security.selinux",):
            try:
                found[name] = os.getxattr(file, name) if follow else os.getxattr(file, name, follow_symlinks=False)
            except OSError:  # gone, or not ours to read
                continue
    return found
