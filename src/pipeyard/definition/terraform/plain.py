"""Values as Python's own types: what a JSON decoder gives, and what `jsonencode` would encode."""

from typing import Any

from pipeyard.definition.terraform.numbers import from_float, rounded
from pipeyard.definition.terraform.values import (
    NULL,
    NUMBER,
    Unknown,
    Value,
    boolean,
    is_mapping,
    is_sequence,
    number,
    object_of,
    text,
    tuple_of,
)
from pipeyard.errors import InputError


def from_plain(plain: Any) -> Value:
    """A value from what a JSON decoder gives."""
    match plain:
        case None:
            return NULL
        case bool():
            return boolean(plain)
        case str():
            return text(plain)
        case int() | float():
            return number(rounded(plain) if isinstance(plain, int) else from_float(plain))
        case dict():
            return object_of({str(name): from_plain(item) for name, item in plain.items()})
        case list() | tuple():
            return tuple_of(from_plain(item) for item in plain)
    raise TypeError(f"no value of Terraform: {type(plain).__name__}")


def to_plain(value: Value) -> Any:
    """What `jsonencode` would encode, as Python's own types. Raises InputError where something is not known."""
    if isinstance(value.raw, Unknown):
        raise InputError("; ".join(value.raw.chain))
    if value.raw is None:
        return None
    if is_sequence(value.type):
        return [to_plain(item) for item in value.items]
    if is_mapping(value.type):
        return {name: to_plain(item) for name, item in value.entries.items()}
    if value.type == NUMBER:
        if isinstance(value.raw, float):
            raise InputError("an infinite number cannot be written as JSON")
        return value.raw if isinstance(value.raw, int) else float(value.raw)
    return value.raw
