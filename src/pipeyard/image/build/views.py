"""What a file system looks like from outside while it is built: layers that are only listed, above folders on disk.

A COPY must know of its destination what is a folder and where symlinks lead. It never needs a file's content, so a
layer that no RUN will see is not laid out for it: its list of entries is enough.
"""

from collections.abc import Iterable, Mapping
from typing import Protocol

from pipeyard.image.build.nodes import Node, node_from
from pipeyard.image.layers.entry import Entry, is_opaque, is_whiteout, removed_path
from pipeyard.image.layers.stack import resolve_links


class Lookup(Protocol):
    def lookup(self, path: str) -> Node | None: ...


_MOST_REMEMBERED = 10_000


class Listing:
    """The entries of one layer by path, and what they hide of the layers below."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.nodes: dict[str, Node] = {}
        self._hidden: dict[str, bool] = {}  # of folders: whether the layers below count in them
        self.removed: set[str] = set()
        self.opaque: set[str] = set()
        for entry in entries:
            if is_opaque(entry):
                self.opaque.add(removed_path(entry))
            elif is_whiteout(entry):
                self.removed.add(removed_path(entry))
            elif entry.path:
                self.nodes[entry.path] = node_from(entry)
        self.implied = _implied_folders(self.nodes)

    @classmethod
    def of_nodes(cls, nodes: dict[str, Node]) -> "Listing":
        """A layer that removes nothing and names all its folders."""
        made = cls(())
        made.nodes = nodes
        return made

    def hides(self, path: str) -> bool:
        """Whether the layers below do not count for the path: a whiteout or something that is no folder is above it."""
        if path in self.removed:
            return True
        return self._hides_in(path.rpartition("/")[0])

    def _hides_in(self, folder: str) -> bool:
        # Remembered by folder: neighbours and what is below them ask for the same again and again.
        asked: list[str] = []
        while (hidden := self._hidden.get(folder)) is None:
            asked.append(folder)
            hidden = self._hides_below(folder)
            if hidden or not folder:
                break
            folder = folder.rpartition("/")[0]
        if len(self._hidden) + len(asked) > _MOST_REMEMBERED:
            self._hidden.clear()
        self._hidden.update(dict.fromkeys(asked, hidden))
        return hidden

    def _hides_below(self, folder: str) -> bool:
        if folder in self.opaque or folder in self.removed:
            return True
        node = self.nodes.get(folder)
        return node is not None and node.kind != "dir"


def _implied_folders(nodes: Mapping[str, Node]) -> set[str]:
    """Folders that have entries but none of their own."""
    found: set[str] = set()
    for path in nodes:
        parent = path.rpartition("/")[0]
        while parent and parent not in nodes and parent not in found:
            found.add(parent)
            parent = parent.rpartition("/")[0]
    return found


class View:
    """Listings, the uppermost first, above a tree of folders. A Lookup."""

    def __init__(self, listings: Iterable[Listing], below: Lookup | None) -> None:
        self._listings = list(listings)
        self._below = below

    def lookup(self, path: str) -> Node | None:
        if not path:
            return Node(kind="dir", mode=0o755)
        implied = False
        for listing in self._listings:
            node = listing.nodes.get(path)
            if node is not None:
                return node
            implied = implied or path in listing.implied
            if listing.hides(path):
                return Node(kind="dir", mode=0o755) if implied else None
        node = self._below.lookup(path) if self._below is not None else None
        return Node(kind="dir", mode=0o755) if node is None and implied else node


class Growing:
    """A view with the entries that one instruction has made so far on top of it."""

    def __init__(self, below: Lookup) -> None:
        self.made: dict[str, Node] = {}
        self._below = below
        self._covered: set[str] = set()

    def lookup(self, path: str) -> Node | None:
        found = self.made.get(path)
        if found is not None or not self._covered:
            return found or self._below.lookup(path)
        parent = path
        while parent:
            if parent in self._covered:
                return None
            parent = parent.rpartition("/")[0]
        return self._below.lookup(path)

    def cover(self, path: str) -> None:
        """Takes away what is at the path and below it."""
        node = self.lookup(path)
        self._covered.add(path)
        if node is not None and node.kind != "dir":
            self.made.pop(path, None)
            return
        for known in [one for one in self.made if one == path or one.startswith(path + "/")]:
            del self.made[known]

    def resolve(self, path: str, *, follow_last: bool = True) -> str:
        """Without symlinks, within the root. Raises OSError (ELOOP)."""
        return resolve_links(path, self._link, follow_last=follow_last)

    def _link(self, path: str) -> str | None:
        node = self.lookup(path)
        return node.link if node is not None and node.kind == "symlink" else None
