"""The short forms of CloudFormation's YAML: `!Sub x` is `{"Fn::Sub": x}`."""

from pipeyard.definition.documents import Node, Table, parse_document
from pipeyard.errors import Place

FUNCTIONS = frozenset(
    {
        "Base64",
        "Cidr",
        "FindInMap",
        "GetAtt",
        "GetAZs",
        "If",
        "ImportValue",
        "Join",
        "Length",
        "Select",
        "Split",
        "Sub",
        "ToJsonString",
        "Transform",
        "And",
        "Equals",
        "Not",
        "Or",
        "Contains",
        "EachMemberEquals",
        "EachMemberIn",
        "RefAll",
        "ValueOf",
        "ValueOfAll",
    }
)


def short_form(tag: str, node: Node) -> Node | None:
    """The long form of a tagged value; None for a tag that CloudFormation does not know."""
    key = tag if tag in ("Ref", "Condition") else f"Fn::{tag}" if tag in FUNCTIONS else ""
    return Table({key: node}, {key: node.place}, node.place) if key else None


def parse_template(text: str, file: str) -> Node:
    """A template's tree with every short form written long. Raises InputError, placed, for wrong syntax.

    The service takes a repeated key and lets the last one count; they are in the `repeated` of the root.
    """
    repeated: list[tuple[str, Place]] = []
    document = parse_document(text, file, short_form, lambda key, place: repeated.append((key, place)))
    if repeated and isinstance(document, Table):
        return Table(document.entries, document.key_places, document.place, tuple(repeated))
    return document


def is_template(document: Node) -> bool:
    return isinstance(document, Table) and isinstance(document.get("Resources"), Table)
