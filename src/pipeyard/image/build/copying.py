"""What COPY and ADD put where: from sources and a view of the destination to the entries of a layer.

Nothing is written here but lists; contents are opened when the layer is. Source: fsutil's copy (the `copy` package of
tonistiigi/fsutil, which BuildKit's file operations call), whose order of decisions is kept.
"""

import posixpath
from collections.abc import Callable, Iterable, Iterator, Sequence

from msgspec import Struct, structs

from pipeyard.errors import BuildFailed, DockerfileError, Place
from pipeyard.image.build.nodes import FileTree, Node, entry_of
from pipeyard.image.build.views import Growing, Listing
from pipeyard.image.dockerfile.ignore import IgnoreMatcher, compile_patterns
from pipeyard.image.dockerfile.wildcard import compile_wildcard, has_wildcard
from pipeyard.image.layers.entry import Content, Entry
from pipeyard.image.layers.stack import resolve_links

DEFAULT_FOLDER_MODE = 0o755
NOWHERE = Place("")
_TOP = (IgnoreMatcher.top, IgnoreMatcher.top)


class Placed(Struct, frozen=True, gc=False):
    """One thing of the layer: what it will be, and where its content comes from (None: it has none to read)."""

    node: Node
    tree: FileTree | None = None
    source: str = ""
    entry: Entry | None = None  # of an unpacked archive: the entry itself
    names: list[str] | None = None  # of a file with hard links: the paths, shared by all of them


class _Spot(Struct, frozen=True, gc=False):
    """Where the copier is: in the source, below the copy's own source, and at the destination."""

    source: str
    inner: str
    target: str
    within: tuple[int, int] = _TOP  # what the patterns of include and exclude passed on


class Ownership(Struct, frozen=True, kw_only=True):
    """`--chown` and `--chmod`, resolved. `folder_mode` is an octal mode, which parents that are made get as well."""

    owner: tuple[int, int] | None = None
    change_mode: Callable[[int, bool], int] | None = None
    folder_mode: int | None = None


class Copier:
    """Gathers the entries of one instruction on top of a view of its destination."""

    def __init__(self, below: Growing, ownership: Ownership, epoch_ns: int) -> None:
        self.placed: dict[str, Placed] = {}
        self.view = below
        self.ownership = ownership
        self.epoch_ns = epoch_ns
        self._linked: dict[tuple[int, int], str] = {}
        self._include: IgnoreMatcher | None = None
        self._exclude: IgnoreMatcher | None = None
        self._parents: list[tuple[FileTree, str, str, bool]] = []

    # ------------------------------------------------------------ one source

    def copy(
        self,
        tree: FileTree,
        sources: Iterable[str],
        destination: str,
        *,
        contents_only: bool,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
    ) -> None:
        """`sources` are paths of the tree without wildcards; `destination` is absolute, its end tells a folder."""
        self._include = compile_patterns(tuple(include), NOWHERE) if include else None
        self._exclude = compile_patterns(tuple(exclude), NOWHERE) if exclude else None
        for source in sources:
            followed = resolve_in(tree, source)
            self._prepare(destination)
            target = self._resolve(destination)
            node = tree.lookup(followed)
            if node is None:
                raise BuildFailed(f'"/{source}": not found', hint="is it in the context, and not in .dockerignore")
            existing = self.view.lookup(target)
            into = existing is not None and existing.kind == "dir"
            if (node.kind == "dir" and not contents_only and existing is not None) or (node.kind != "dir" and into):
                target = joined(target, posixpath.basename(source) if source else "")
            keep_folder = contents_only and node.kind == "dir" and existing is None
            self.make_folders(target if keep_folder else posixpath.dirname(target))
            self._linked = {}
            self._one(tree, _Spot(source=followed, inner="", target=target), overwrite=False)

    def _prepare(self, destination: str) -> None:
        """The folder that the destination names, or lies in, exists afterwards."""
        head, tail = posixpath.split(destination)
        folder = head if tail and tail != "." else destination
        if folder:
            self.make_folders(self._resolve(folder))

    def _resolve(self, path: str) -> str:
        return self.view.resolve(posixpath.normpath("/" + path.lstrip("/")).lstrip("/"))

    def make_folders(self, path: str, *, plain_mode: bool = False) -> None:
        """Makes the folder and its missing parents, for the instruction's owner. Raises BuildFailed.

        `plain_mode`: 0755 whatever `--chmod` says, as where an archive is unpacked.
        """
        existing = self.view.lookup(path)
        if existing is not None and existing.kind == "symlink":
            path = self.view.resolve(path)
            existing = self.view.lookup(path)
        if existing is not None:
            if existing.kind != "dir":
                raise BuildFailed(f"mkdir /{path}: not a directory")
            self._carry(path, existing)
            return
        if path:
            self.make_folders(posixpath.dirname(path), plain_mode=plain_mode)
        uid, gid = self.ownership.owner or (0, 0)
        asked = None if plain_mode else self.ownership.folder_mode
        wanted = DEFAULT_FOLDER_MODE if asked is None else asked
        self.put(path, Placed(Node(kind="dir", mode=wanted & 0o777, uid=uid, gid=gid, mtime_ns=self.epoch_ns)))

    def _carry(self, path: str, node: Node) -> None:
        """A folder that exists below is named again as it is: some tools unpack each layer on its own."""
        while path and path not in self.placed:
            self.placed[path] = Placed(node)
            path = posixpath.dirname(path)
            found = self.view.lookup(path) if path else None
            if found is None:
                return
            node = found

    def replace(self, path: str) -> None:
        """Forgets what was put at the path and below it; what the layers below have there is covered by what comes."""
        node = self.view.lookup(path)
        is_alone = node is not None and node.kind != "dir"
        below = [] if is_alone else [one for one in self.placed if one.startswith(path + "/")]
        for known in [*([path] if path in self.placed else []), *below]:
            names = self.placed.pop(known).names
            if names is not None:
                names.remove(known)
        self.view.cover(path)

    def put(self, path: str, placed: Placed) -> None:
        self.placed[path] = placed
        self.view.made[path] = placed.node

    def link(self, path: str, first: str, attributes: Node) -> None:
        """Makes `path` another name of what was put at `first`; owner and mode become those given, for all names."""
        known = self.placed[first]
        node = structs.replace(known.node, uid=attributes.uid, gid=attributes.gid, mode=attributes.mode)
        entry = known.entry and structs.replace(known.entry, uid=node.uid, gid=node.gid, mode=node.mode)
        names = known.names if known.names is not None else [first]
        placed = structs.replace(known, node=node, entry=entry, names=names)
        if node != known.node or known.names is None:
            for name in names:
                self.put(name, placed)
        names.append(path)
        self.put(path, placed)

    # ------------------------------------------------------------ one path

    def _one(self, tree: FileTree, place: "_Spot", *, overwrite: bool) -> None:
        """Copies what is at a place of the source, with everything below it."""
        included, excluded, within = self._selected(place)
        if not included and self._include is None and (self._exclude is None or not self._exclude.has_exceptions):
            return
        node = tree.lookup(place.source)
        if node is None:
            return  # a socket, or gone
        if node.kind == "dir":
            if self._include is None and self._exclude is None:
                self._everything(tree, place.source, place.target, node, overwrite=overwrite)
            else:
                self._folder(tree, place, node, within, overwrite=overwrite, included=included, excluded=excluded)
            return
        if not included:
            return
        self._make_parents(overwrite=overwrite)
        existing = self.view.lookup(place.target)
        if existing is not None and existing.kind == "dir":
            raise BuildFailed(f"cannot replace to directory /{place.target} with file")
        self._file(tree, place.source, place.target, node)

    def _selected(self, place: "_Spot") -> tuple[bool, bool, tuple[int, int]]:
        """Whether it is wanted, whether a pattern excludes it, and what the patterns need for what is in it."""
        if not place.inner or (self._include is None and self._exclude is None):
            return True, False, _TOP
        included, excluded = True, False
        first, second = place.within
        if self._include is not None:
            included, first = self._include.decide(place.inner, first)
        if self._exclude is not None:
            excluded, second = self._exclude.decide(place.inner, second)
        return included and not excluded, excluded, (first, second)

    def _file(self, tree: FileTree, source: str, target: str, node: Node) -> None:
        changed = self._changed(node)
        if node.identity is not None and node.kind == "file":
            first = self._linked.setdefault(node.identity, target)
            if first != target and first in self.placed:
                self.link(target, first, changed)
                return
        self.put(target, Placed(changed, tree, source))

    def _everything(
        self, tree: FileTree, source: str, target: str, node: Node, *, overwrite: bool, new: bool = False
    ) -> None:
        """The same as `_folder` for a folder of which no pattern leaves anything out, and that may hold very much.

        `new`: nothing was at the target, so nothing is below it.
        """
        new = new or self.view.lookup(target) is None
        self._enter(tree, source, target, node, overwrite=overwrite)
        for name in tree.names(source):
            from_, to = f"{source}/{name}" if source else name, f"{target}/{name}" if target else name
            inner = tree.lookup(from_)
            if inner is None:
                continue  # a socket, or gone
            if inner.kind == "dir":
                self._everything(tree, from_, to, inner, overwrite=True, new=new)
                continue
            if not new and (existing := self.view.lookup(to)) is not None and existing.kind == "dir":
                raise BuildFailed(f"cannot replace to directory /{to} with file")
            self._file(tree, from_, to, inner)

    def _folder(
        self,
        tree: FileTree,
        place: "_Spot",
        node: Node,
        within: tuple[int, int],
        *,
        overwrite: bool,
        included: bool,
        excluded: bool,
    ) -> None:
        source, target = place.source, place.target
        if included:
            self._make_parents(overwrite=overwrite)
            self._enter(tree, source, target, node, overwrite=overwrite)
        self._parents.append((tree, source, target, included))
        try:
            if excluded and (self._exclude is None or not self._exclude.has_exceptions):
                return
            for name in tree.names(source):
                spot = _Spot(
                    source=f"{source}/{name}" if source else name,
                    inner=f"{place.inner}/{name}" if place.inner else name,
                    target=joined(target, name),
                    within=within,
                )
                self._one(tree, spot, overwrite=True)
        finally:
            self._parents.pop()

    def _enter(self, tree: FileTree, source: str, target: str, node: Node, *, overwrite: bool) -> None:
        existing = self.view.lookup(target)
        if existing is not None and existing.kind != "dir":
            raise BuildFailed(f"cannot copy to non-directory: /{target}")
        if not target:
            return
        if existing is None or overwrite:
            self.put(target, Placed(self._changed(node), tree, source))
        else:
            self._carry(target, existing)

    def _make_parents(self, *, overwrite: bool) -> None:
        """Folders above a match of a pattern are made when the first match needs them."""
        for at, (tree, source, target, done) in enumerate(self._parents):
            if not done:
                node = tree.lookup(source)
                assert node is not None
                existing = self.view.lookup(target)
                if existing is None:
                    self._enter(tree, source, target, node, overwrite=overwrite)
                elif existing.kind != "dir":
                    raise BuildFailed(f"cannot copy to non-directory: /{target}")
                elif overwrite and target:
                    self.put(target, Placed(structs.replace(existing, mode=node.mode)))
                self._parents[at] = (tree, source, target, True)

    def _changed(self, node: Node) -> Node:
        """With the owner and mode that the instruction asks for."""
        owner, change = self.ownership.owner, self.ownership.change_mode
        if owner is None and change is None:
            return node
        uid, gid = owner if owner is not None else (node.uid, node.gid)
        mode = node.mode
        if change is not None and node.kind != "symlink":
            mode = change(node.mode, node.kind == "dir")
        return structs.replace(node, uid=uid, gid=gid, mode=mode)

    # ------------------------------------------------------------ the result

    def entries(self, folder: str = "") -> Iterator[Entry]:
        """The layer's entries in order; each content is opened when its entry is asked for.

        Nothing when the instruction changed nothing. With `folder`, where they have been laid out, contents are taken
        from there.
        """
        if not self.view.made:
            return
        seen: dict[int, str] = {}  # of files with hard links: the name that came first, which the others link to
        for path, placed in self._ordered():
            node, tree, entry = placed.node, placed.tree, placed.entry
            first = seen.setdefault(id(placed.names), path) if placed.names is not None else path
            if first != path:
                entry = Entry(
                    path=path,
                    kind="hardlink",
                    mode=node.mode,
                    uid=node.uid,
                    gid=node.gid,
                    mtime_ns=node.mtime_ns,
                    link=first,
                )
            elif entry is not None and entry.path != path:
                entry = structs.replace(entry, path=path)
            elif entry is None:
                content: Content = f"{folder}/{path}" if folder else b""
                xattrs: dict[str, bytes] = {}
                if tree is not None:
                    if node.kind == "file" and not folder:
                        content = tree.content(placed.source, node)
                    xattrs = tree.xattrs(placed.source) if node.kind in ("file", "dir") else {}
                entry = entry_of(path, node, content=content, xattrs=xattrs)
            yield entry

    def listing(self) -> Listing:
        """What later instructions must know of this layer."""
        return Listing.of_nodes({path: placed.node for path, placed in self.placed.items()} if self.view.made else {})

    def _ordered(self) -> list[tuple[str, Placed]]:
        return sorted(self.placed.items(), key=lambda item: item[0].replace("/", "\0"))


def joined(folder: str, name: str) -> str:
    if not name:
        return folder
    return f"{folder}/{name}" if folder else name


def resolve_in(tree: FileTree, path: str) -> str:
    """The path without symlinks, which are followed within the tree only."""

    def link(at: str) -> str | None:
        node = tree.lookup(at)
        return node.link if node is not None and node.kind == "symlink" else None

    try:
        return resolve_links(path, link)
    except OSError as error:
        raise BuildFailed(f"/{path}: {error.strerror}") from error


def expand_wildcards(tree: FileTree, path: str) -> list[str]:
    """Paths that a COPY source stands for, sorted; a path without wildcards stands for itself.

    Wildcards are Go's: `*` and `?` stay within one folder, `[...]` is a class, a backslash takes the next character.
    """
    parts = [part for part in path.split("/") if part]
    at = next((number for number, part in enumerate(parts) if has_wildcard(part)), None)
    if at is None:
        return ["/".join(parts)]
    start = resolve_in(tree, "/".join(parts[:at]))
    top = tree.lookup(start)
    if top is None:
        raise BuildFailed(f'"/{start}": not found', hint="is it in the context, and not in .dockerignore")
    found = [start]
    for part in parts[at:]:
        try:
            matches = compile_wildcard(part).fullmatch
        except DockerfileError:  # a malformed pattern matches nothing, as in BuildKit
            return []
        following = []
        for folder in found:
            node = tree.lookup(folder)
            if node is not None and node.kind == "dir":
                following += [joined(folder, name) for name in tree.names(folder) if matches(name)]
        found = following
    return sorted(found, key=lambda one: one.split("/"))
