"""Records of what Terraform gave, and values in the form in which they are recorded."""

import json
from pathlib import Path
from typing import Any

from pipeyard.definition.terraform.numbers import number_text
from pipeyard.definition.terraform.values import (
    NUMBER,
    Dynamic,
    ListType,
    MapType,
    ObjectType,
    Primitive,
    SetType,
    TupleType,
    Type,
    Value,
    is_mapping,
    is_sequence,
)


def record(name: str) -> Any:
    """A file of this folder; its numbers keep their digits: ("number", "1.50")."""
    return json.loads(
        Path(__file__).with_name(name).read_text(encoding="utf-8"),
        parse_int=lambda digits: ("number", digits),
        parse_float=lambda digits: ("number", digits),
    )


def as_terraform_writes(kind: Type) -> Any:
    match kind:
        case Primitive():
            return kind.name
        case Dynamic():
            return "dynamic"
        case ListType():
            return ["list", as_terraform_writes(kind.element)]
        case SetType():
            return ["set", as_terraform_writes(kind.element)]
        case MapType():
            return ["map", as_terraform_writes(kind.element)]
        case TupleType():
            return ["tuple", [as_terraform_writes(inner) for inner in kind.elements]]
        case ObjectType():
            return ["object", {name: as_terraform_writes(inner) for name, inner in kind.attributes}]


def exactly(value: Value) -> Any:
    if value.is_null:
        return None
    if is_sequence(value.type):
        return [exactly(item) for item in value.items]
    if is_mapping(value.type):
        return {name: exactly(item) for name, item in value.entries.items()}
    return ("number", number_text(value.raw)) if value.type == NUMBER else value.raw
