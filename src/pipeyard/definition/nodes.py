"""A document as a tree in which every value knows its place: what parsers make and readers walk."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from pipeyard.errors import InputError, Place


class Leaf(Struct, frozen=True):
    """A scalar. `text` is how a string property takes it: numbers as they are written, booleans in JSON's words."""

    value: str | int | float | bool | None
    text: str
    place: Place


class Items(Struct, frozen=True):
    nodes: tuple["Node", ...]
    place: Place


class Table(Struct, frozen=True):
    entries: Mapping[str, "Node"]
    key_places: Mapping[str, Place]
    place: Place
    repeated: tuple[tuple[str, Place], ...] = ()  # of a whole document's root: keys whose earlier value is lost

    def get(self, key: str) -> "Node | None":
        return self.entries.get(key)

    def key_place(self, key: str) -> Place:
        return self.key_places.get(key, self.place)


KNOWN_LATER = "(known after apply)"
"""What a plan shows in the place of a value that only a deployment can tell: Terraform's words for it."""


class Unknown(Struct, frozen=True):
    """A value that cannot be known here; `chain` tells why, from the place that asked to the cause.

    An empty chain stands for a fault that is already reported. `text` is what a plan shows in its stead.
    """

    chain: tuple[str, ...]
    place: Place
    hint: str = ""
    text: str = ""


Node = Leaf | Items | Table | Unknown


def text_leaf(text: str, place: Place) -> Leaf:
    return Leaf(text, text, place)


def value_leaf(value: float | bool | None, place: Place) -> Leaf:
    if value is None:
        return Leaf(None, "", place)
    if isinstance(value, bool):
        return Leaf(value, "true" if value else "false", place)
    return Leaf(value, str(int(value)) if float(value).is_integer() else repr(value), place)


def plain(node: Node) -> Any:
    """The tree without places, as json.loads would give it; raises InputError at an Unknown."""
    match node:
        case Leaf():
            return node.value
        case Items():
            return [plain(item) for item in node.nodes]
        case Table():
            return {key: plain(item) for key, item in node.entries.items()}
        case Unknown():
            raise InputError("; ".join(node.chain), place=node.place, hint=node.hint)


def first_unknown(node: Node) -> Unknown | None:
    """The first value within a tree that cannot be known."""
    match node:
        case Unknown():
            return node
        case Items():
            return next((found for child in node.nodes if (found := first_unknown(child))), None)
        case Table():
            return next((found for child in node.entries.values() if (found := first_unknown(child))), None)
        case Leaf():
            return None


def shown(node: Node) -> Node:
    """The tree with a text for each value that cannot be known."""
    match node:
        case Unknown():
            return text_leaf(node.text or KNOWN_LATER, node.place)
        case Items():
            return Items(tuple(shown(child) for child in node.nodes), node.place)
        case Table():
            return Table({key: shown(child) for key, child in node.entries.items()}, node.key_places, node.place)
        case Leaf():
            return node
