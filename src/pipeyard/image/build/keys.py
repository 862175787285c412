"""What names a step's result: its own definition, the keys of what it stands on, and the files that it reads.

Two builds that come to the same key may use each other's result. Titles, places, proxies and the values of secrets are
in no key.
"""

import hashlib
from collections.abc import Sequence

import msgspec

from pipeyard.image.build.context import LocalFiles
from pipeyard.image.build.copying import Copier, Ownership, expand_wildcards, resolve_in
from pipeyard.image.build.graph import CopyFiles, CopySource, MakeFolder, RunCommand
from pipeyard.image.build.nodes import FileTree, Node
from pipeyard.image.build.views import Growing, View
from pipeyard.registry.exchange import ResolvedImage

VERSION = "2"  # of the keys: raise it when the same key would mean another result
SCRATCH_KEY = hashlib.sha256(b"scratch").hexdigest()


def digest_key(*parts: object) -> str:
    return hashlib.sha256(msgspec.msgpack.encode([VERSION, *parts])).hexdigest()


def image_key(image: ResolvedImage) -> str:
    """Of an image's file system: what its layers hold, whatever they are called and however they are packed."""
    return digest_key("image", list(image.config.rootfs.diff_ids))


def chain_key(diff_ids: Sequence[str], powers: str) -> str:
    """Of a layer in its place above others, as a folder that a process of these powers wrote."""
    return digest_key("folder", powers, list(diff_ids))


def step_key(
    operation: CopyFiles | RunCommand | MakeFolder, inputs: Sequence[str | bytes], settings: tuple[object, ...]
) -> str:
    """`inputs`: keys or content digests of what the operation reads; `settings`: whatever else decides a layer."""
    return digest_key(type(operation).__name__, operation, list(inputs), list(settings))


def selection(tree: FileTree, source: CopySource, exclude: Sequence[str], *, read: bool) -> bytes | None:
    """Digest of exactly the files that a copy takes. None when a file would have to be read and `read` is not set."""
    roots = expand_wildcards(tree, source.path) if source.wildcards else [source.path.lstrip("/")]
    parts: list[object] = []
    for root in roots:
        followed = resolve_in(tree, root)
        node = tree.lookup(followed)
        if node is None:
            parts.append([_text(root), None])
            continue
        if node.kind == "dir" and (source.include or exclude or not isinstance(tree, LocalFiles)):
            content = _walked(tree, root, source, exclude, read=read)
        elif node.kind == "dir":
            assert isinstance(tree, LocalFiles)
            content = tree.summary(followed, read=read)
        else:
            content = _file_digest(tree, followed, node, read=read)
        if content is None:
            return None
        parts.append([_text(root.rpartition("/")[2]), node.kind, node.mode, node.uid, node.gid, content])
    return hashlib.sha256(msgspec.msgpack.encode(parts)).digest()


def _walked(tree: FileTree, root: str, source: CopySource, exclude: Sequence[str], *, read: bool) -> bytes | None:
    copier = Copier(Growing(View((), None)), Ownership(), 0)
    copier.copy(tree, [root], "/", contents_only=True, include=source.include, exclude=exclude)
    rows = []
    for path, placed in sorted(copier.placed.items()):
        node = placed.node
        content: bytes | None = b""
        if placed.tree is not None and node.kind == "file":
            content = _file_digest(tree, placed.source, node, read=read)
            if content is None:
                return None
        link = min(placed.names) if placed.names is not None else node.link
        rows.append([_text(path), node.kind, node.mode, node.uid, node.gid, _text(link), node.device, content])
    return hashlib.sha256(msgspec.msgpack.encode(rows)).digest()


def _file_digest(tree: FileTree, path: str, node: Node, *, read: bool) -> bytes | None:
    if node.kind != "file":
        return b""
    if isinstance(tree, LocalFiles) and not read:
        return tree.known_digest(path)
    return tree.digest(path, node)


def _text(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
