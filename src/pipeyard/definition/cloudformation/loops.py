"""Fn::ForEach: a fragment of a template repeated for each value of a collection.

Source: CloudFormation Template Reference, "Fn::ForEach".
"""

from collections.abc import Callable, Mapping

from pipeyard.definition.documents import MAX_NODES, Items, Leaf, Node, Table
from pipeyard.errors import InputError, Place

PREFIX = "Fn::ForEach::"

_NON_ALPHANUMERIC = str.maketrans("", "", "".join(chr(code) for code in range(128) if not chr(code).isalnum()))


def has_loops(table: Table) -> bool:
    return any(key.startswith(PREFIX) for key in table.entries)


def unroll(table: Table, evaluate: Callable[[Node], Node], budget: list[int]) -> Table:
    """The table with its loops written out, also loops directly within loops.

    `evaluate` gives the collection's value; `budget` is a one-element list of how many more nodes may be made.
    Raises InputError, placed, for a loop that is no loop, a key made twice, or an exhausted budget.
    """
    entries: dict[str, Node] = {}
    key_places: dict[str, Place] = {}
    for key, node in table.entries.items():
        produced: Mapping[str, Node] = {key: node}
        if key.startswith(PREFIX):
            produced = _iterations(key, node, evaluate, budget)
        for name, value in produced.items():
            if name in entries:
                raise InputError(f"{key} makes the key {name!r} a second time", place=table.key_place(key))
            entries[name] = value
            key_places[name] = table.key_place(key)
    return Table(entries, key_places, table.place)


def _iterations(key: str, node: Node, evaluate: Callable[[Node], Node], budget: list[int]) -> dict[str, Node]:
    if not isinstance(node, Items) or len(node.nodes) != 3:
        raise InputError(f"{key} needs [identifier, collection, fragment]", place=node.place)
    identifier, collection, fragment = node.nodes
    if not isinstance(identifier, Leaf) or not isinstance(fragment, Table):
        raise InputError(f"{key} needs [identifier, collection, fragment]", place=node.place)
    values = evaluate(collection)
    if not isinstance(values, Items):
        raise InputError(f"the collection of {key} must be a list whose values are known", place=collection.place)
    out: dict[str, Node] = {}
    for value in values.nodes:
        if not isinstance(value, Leaf):
            raise InputError(f"the collection of {key} must hold text", place=value.place)
        for name, child in fragment.entries.items():
            filled = _fill(name, identifier.text, value.text)
            body = _substitute(child, identifier.text, value, budget)
            inner = _iterations(filled, body, evaluate, budget) if filled.startswith(PREFIX) else {filled: body}
            for made, node_made in inner.items():
                if made in out:
                    raise InputError(f"{key} makes the key {made!r} a second time", place=fragment.key_place(name))
                out[made] = node_made
    return out


def _fill(text: str, identifier: str, value: str) -> str:
    """`${X}` takes the value as it is, `&{X}` without what a logical id may not contain."""
    return text.replace(f"${{{identifier}}}", value).replace(f"&{{{identifier}}}", value.translate(_NON_ALPHANUMERIC))


def _substitute(node: Node, identifier: str, value: Leaf, budget: list[int]) -> Node:
    budget[0] -= 1
    if budget[0] < 0:
        raise InputError(f"loops make more than {MAX_NODES} values", place=node.place)
    match node:
        case Leaf() if isinstance(node.value, str):
            text = _fill(node.text, identifier, value.text)
            return Leaf(text, text, node.place)
        case Items():
            return Items(tuple(_substitute(child, identifier, value, budget) for child in node.nodes), node.place)
        case Table():
            reference = node.get("Ref")
            if len(node.entries) == 1 and isinstance(reference, Leaf) and reference.text == identifier:
                return Leaf(value.value, value.text, node.place)
            entries = {
                _fill(key, identifier, value.text): _substitute(child, identifier, value, budget)
                for key, child in node.entries.items()
            }
            places = {_fill(key, identifier, value.text): place for key, place in node.key_places.items()}
            return Table(entries, places, node.place)
        case _:
            return node
