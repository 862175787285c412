"""Type constraints of variables, with the defaults of optional attributes.

Source: Terraform language, "Type Constraints".
"""

from collections.abc import Callable, Mapping

from msgspec import Struct

from pipeyard.definition.terraform.evaluation import evaluate
from pipeyard.definition.terraform.names import Locals, Scope
from pipeyard.definition.terraform.syntax import Call, Expression, Literal, ObjectOf, Span, TupleOf, keyword
from pipeyard.definition.terraform.values import (
    ANY,
    BOOL,
    NUMBER,
    STRING,
    ListType,
    MapType,
    ObjectType,
    SetType,
    TupleType,
    Type,
    Value,
    is_mapping,
    is_sequence,
    object_of,
)
from pipeyard.errors import InputError

_WORDS: Mapping[str, Type] = {"string": STRING, "number": NUMBER, "bool": BOOL, "any": ANY}
_COLLECTIONS: Mapping[str, Callable[[Type], Type]] = {"list": ListType, "set": SetType, "map": MapType}


class Defaults(Struct, frozen=True):
    """`values` of an object's optional attributes; `parts` by attribute, by index, or "" for every element."""

    values: Mapping[str, Value] = {}
    parts: Mapping[str | int, "Defaults"] = {}


class Constraint(Struct, frozen=True):
    type: Type
    defaults: Defaults | None = None
    written: bool = True  # false where a variable has no `type`


ANYTHING = Constraint(ANY, written=False)


def read_constraint(node: Expression, scope: Scope) -> Constraint:
    """A type expression, as `list(object({ name = string, order = optional(number, 1) }))`."""
    word = keyword(node)
    if word in _WORDS:
        return Constraint(_WORDS[word])
    if word in _COLLECTIONS:  # `list` alone is list(any), a form of Terraform 0.11 that is still accepted
        return Constraint(_COLLECTIONS[word](ANY))
    if isinstance(node, Literal) and node.value in ("string", "list", "map"):  # quoted: Terraform 0.11
        return {"string": Constraint(STRING), "list": Constraint(ListType(ANY)), "map": Constraint(MapType(ANY))}[
            str(node.value)
        ]
    if isinstance(node, Call):
        if node.name in _COLLECTIONS and len(node.arguments) == 1:
            inner = read_constraint(node.arguments[0], scope)
            parts = Defaults({}, {"": inner.defaults}) if inner.defaults else None
            return Constraint(_COLLECTIONS[node.name](inner.type), parts)
        if node.name == "object" and len(node.arguments) == 1 and isinstance(node.arguments[0], ObjectOf):
            return _object(node.arguments[0], scope)
        if node.name == "tuple" and len(node.arguments) == 1 and isinstance(node.arguments[0], TupleOf):
            inners = [read_constraint(item, scope) for item in node.arguments[0].items]
            found: dict[str | int, Defaults] = {
                index: inner.defaults for index, inner in enumerate(inners) if inner.defaults
            }
            return Constraint(TupleType(tuple(inner.type for inner in inners)), Defaults({}, found) if found else None)
    raise _wrong(node.span)


def _wrong(span: Span) -> InputError:
    return InputError(
        f"{span.text.splitlines()[0][:60] if span.text else 'this'} is no type",
        place=span.place,
        hint="types are string, number, bool, any, list(...), set(...), map(...), object({...}) and tuple([...])",
    )


def _object(node: ObjectOf, scope: Scope) -> Constraint:
    attributes: dict[str, Type] = {}
    optional: set[str] = set()
    values: dict[str, Value] = {}
    parts: dict[str | int, Defaults] = {}
    for key, value in node.items:
        if not isinstance(key, Literal) or not isinstance(key.value, str):
            raise InputError("the name of an attribute is a plain word", place=key.span.place)
        default: Expression | None = None
        if isinstance(value, Call) and value.name == "optional" and 1 <= len(value.arguments) <= 2:
            optional.add(key.value)
            default = value.arguments[1] if len(value.arguments) == 2 else None
            value = value.arguments[0]
        inner = read_constraint(value, scope)
        attributes[key.value] = inner.type
        if inner.defaults:
            parts[key.value] = inner.defaults
        if default is not None:
            values[key.value] = evaluate(default, scope, Locals())
    kind = ObjectType(tuple(sorted(attributes.items(), key=lambda pair: pair[0])), frozenset(optional))
    return Constraint(kind, Defaults(values, parts) if values or parts else None)


def with_defaults(value: Value, defaults: Defaults | None) -> Value:
    """The value with what its optional attributes leave out, before it is converted to the type."""
    if defaults is None or value.is_null or value.is_unknown:
        return value
    parts = defaults.parts
    if is_sequence(value.type):
        items = tuple(with_defaults(item, parts.get("", parts.get(index))) for index, item in enumerate(value.items))
        return Value(TupleType(tuple(item.type for item in items)), items, value.sensitive)
    if not is_mapping(value.type):
        return value
    entries = dict(value.entries)
    for name, default in defaults.values.items():
        if name not in entries or entries[name].is_null:
            entries[name] = default
    every = parts.get("")
    for name, item in entries.items():
        entries[name] = with_defaults(item, every if every else parts.get(name))
    made = object_of(entries)
    return Value(made.type, made.raw, value.sensitive)
