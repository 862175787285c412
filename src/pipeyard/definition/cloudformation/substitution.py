"""Fn::Sub and Fn::Join: text that is put together, also of parts that only a deployment knows.

Source: CloudFormation Template Reference, "Fn::Sub" and "Fn::Join".
"""

from collections.abc import Mapping

from pipeyard.definition.cloudformation.computing import Values, arguments, because, made
from pipeyard.definition.cloudformation.functions import sub_parts
from pipeyard.definition.documents import KNOWN_LATER, Items, Leaf, Node, Table, Unknown
from pipeyard.errors import InputError, Place


def sub(values: Values, argument: Node, place: Place) -> Node:
    own: Mapping[str, Node] = {}
    template = argument
    if isinstance(argument, Items):
        template, given = arguments(argument, "Fn::Sub", 2, 2)
        if not isinstance(given, Table):
            raise InputError("the second argument of Fn::Sub must be a mapping", place=given.place)
        own = given.entries
    out = _Pieces()
    for kind, part in sub_parts(values.literal(template, "Fn::Sub")):
        if kind == "text":
            out.add(part)
            continue
        if part in own:
            value = values.evaluate(own[part])
        elif "." in part:
            logical_id, _, attribute = part.partition(".")
            value = values.attribute(logical_id, attribute, place)
        else:
            value = values.reference(part, place)
        if isinstance(value, Unknown):
            out.add_unknown(value, f"Fn::Sub ${{{part}}}", place)
        elif isinstance(value, Leaf):
            out.add(value.text)
        else:
            raise InputError(f"Fn::Sub: ${{{part}}} is not text", place=place)
    return out.joined("", place)


def join(values: Values, argument: Node, place: Place) -> Node:
    separator, listed = arguments(argument, "Fn::Join", 2, 2)
    items = values.evaluate(listed)
    if isinstance(items, Unknown):
        return because(items, "Fn::Join", place)
    if not isinstance(items, Items):
        raise InputError("the second argument of Fn::Join must be a list", place=listed.place)
    out = _Pieces()
    for item in items.nodes:
        if isinstance(item, Unknown):
            out.add_unknown(item, "Fn::Join", place)
        elif isinstance(item, Leaf):
            out.add(item.text)
        else:
            raise InputError("Fn::Join joins text only", place=item.place)
    return out.joined(values.literal(separator, "Fn::Join"), place)


class _Pieces:
    """Parts of a text; with an unknown one among them the text is unknown, and shows what is known of it."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.unknown: Unknown | None = None

    def add(self, text: str) -> None:
        self.texts.append(text)

    def add_unknown(self, value: Unknown, step: str, place: Place) -> None:
        self.texts.append(value.text or KNOWN_LATER)
        self.unknown = self.unknown or because(value, step, place)

    def joined(self, separator: str, place: Place) -> Node:
        text = made(separator.join(self.texts), place)
        if self.unknown is None:
            return text
        return Unknown(self.unknown.chain, place, self.unknown.hint, text.text)
