"""The intrinsic functions that compute from their arguments alone, and what all functions share.

What is not known in an argument makes the result unknown, with one more link in its chain of reasons.
"""

import base64
import json
import re
from typing import Protocol

from pipeyard.definition.cloudformation.functions import cidr
from pipeyard.definition.documents import (
    Items,
    Leaf,
    Node,
    Table,
    Unknown,
    first_unknown,
    plain,
    text_leaf,
    value_leaf,
)
from pipeyard.definition.places import Inputs
from pipeyard.errors import InputError, Place

_MAX_TEXT = 1_000_000  # functions within functions double a text quickly; the service's limits are far below


class Values(Protocol):
    """What a function needs of the evaluator that called it."""

    @property
    def inputs(self) -> Inputs: ...

    def attribute(self, logical_id: str, attribute: str, place: Place) -> Node: ...

    def reference(self, name: str, place: Place) -> Node: ...

    def evaluate(self, node: Node) -> Node: ...

    def text(self, node: Node, what: str) -> Leaf | Unknown: ...

    def literal(self, node: Node, function: str) -> str: ...


def select(values: Values, argument: Node, place: Place) -> Node:
    index, listed = arguments(argument, "Fn::Select", 2, 2)
    number = values.text(index, "the index of Fn::Select")
    items = values.evaluate(listed)
    for value in (number, items):
        if isinstance(value, Unknown):
            return because(value, "Fn::Select", place)
    if not isinstance(items, Items) or not isinstance(number, Leaf) or not re.fullmatch("[0-9]{1,9}", number.text):
        raise InputError("Fn::Select needs [index, list]", place=place)
    position = int(number.text)
    if position >= len(items.nodes):
        raise InputError(f"Fn::Select: there is no value {position} in a list of {len(items.nodes)}", place=place)
    return placed(items.nodes[position], place)


def split(values: Values, argument: Node, place: Place) -> Node:
    separator, source = arguments(argument, "Fn::Split", 2, 2)
    text = values.text(source, "the text of Fn::Split")
    if isinstance(text, Unknown):
        return because(text, "Fn::Split", place)
    mark = values.literal(separator, "Fn::Split")
    if not mark:
        raise InputError("the separator of Fn::Split is empty", place=place)
    return Items(tuple(text_leaf(part, place) for part in text.text.split(mark)), place)


def encode(values: Values, argument: Node, place: Place) -> Node:
    text = values.text(argument, "the text of Fn::Base64")
    if isinstance(text, Unknown):
        return because(text, "Fn::Base64", place)
    return made(base64.b64encode(text.text.encode("utf-8", "surrogatepass")).decode(), place)


def subnets(values: Values, argument: Node, place: Place) -> Node:
    texts = []
    for part in arguments(argument, "Fn::Cidr", 2, 3):
        value = values.text(part, "an argument of Fn::Cidr")
        if isinstance(value, Unknown):
            return because(value, "Fn::Cidr", place)
        texts.append(value.text)
    blocks = cidr(texts[0], texts[1], texts[2] if len(texts) == 3 else "")
    return Items(tuple(text_leaf(block, place) for block in blocks), place)


def zones(values: Values, argument: Node, place: Place) -> Node:
    region = values.text(argument, "the region of Fn::GetAZs")
    if isinstance(region, Unknown):
        return because(region, "Fn::GetAZs", place)
    # Every region has at least zones a, b and c for most accounts; which ones an account sees, only it knows.
    name = region.text or values.inputs.region
    return Items(tuple(text_leaf(f"{name}{zone}", place) for zone in "abc"), place)


def length(values: Values, argument: Node, place: Place) -> Node:
    items = values.evaluate(argument)
    if isinstance(items, Unknown):
        return because(items, "Fn::Length", place)
    if not isinstance(items, Items):
        raise InputError("Fn::Length needs a list", place=place)
    return value_leaf(len(items.nodes), place)


def to_json_string(values: Values, argument: Node, place: Place) -> Node:
    value = values.evaluate(argument)
    unknown = first_unknown(value)
    if unknown is not None:
        return because(unknown, "Fn::ToJsonString", place)
    return made(json.dumps(plain(value), separators=(",", ":"), ensure_ascii=False), place)


def arguments(node: Node, function: str, least: int, most: int) -> tuple[Node, ...]:
    if not isinstance(node, Items) or not least <= len(node.nodes) <= most:
        wanted = str(least) if least == most else f"{least} to {most}"
        raise InputError(f"{function} needs a list of {wanted} values", place=node.place)
    return node.nodes


def made(text: str, place: Place) -> Leaf:
    if len(text) > _MAX_TEXT:
        raise InputError(f"makes a text of more than {_MAX_TEXT} characters", place=place)
    return text_leaf(text, place)


def because(value: Unknown, step: str, place: Place | None = None) -> Unknown:
    """The same unknown with one more link in its chain; a function that computes from it is part of what is shown."""
    chain = value.chain if value.chain[:1] == (step,) else (step, *value.chain)
    computes = step.startswith("Fn::") and not step.startswith("Fn::GetAtt") and value.text
    return Unknown(chain, place or value.place, value.hint, f"${{{step} {value.text}}}" if computes else value.text)


def placed(value: Node, place: Place) -> Node:
    """The same value at the place that asked for it, where the user will look."""
    match value:
        case Leaf():
            return Leaf(value.value, value.text, place)
        case Items():
            return Items(value.nodes, place)
        case Table():
            return Table(value.entries, value.key_places, place)
        case Unknown():
            return value
