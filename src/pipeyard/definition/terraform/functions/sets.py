"""Set functions."""

from collections.abc import Sequence
from itertools import product

from pipeyard.definition.terraform.conversion import convert, unify
from pipeyard.definition.terraform.functions.collections import MAX_ELEMENTS, need_sequence
from pipeyard.definition.terraform.functions.signature import Function, FunctionFault, Parameter, Table, anything
from pipeyard.definition.terraform.values import (
    ANY,
    SetType,
    TupleType,
    Type,
    Value,
    identity,
    is_sequence,
    list_of,
    set_of,
    tuple_of,
)

_SET = Parameter("sets", SetType(ANY))


def _same_sets(values: Sequence[Value], name: str) -> tuple[list[Value], Type]:
    kind = unify(value.type.element for value in values if isinstance(value.type, SetType))
    if kind is None:
        raise FunctionFault(f"the sets given to {name} must have elements of one type")
    return [convert(value, SetType(kind)) for value in values], kind


def _intersection(*values: Value) -> Value:
    sets, kind = _same_sets(values, "setintersection")
    shared = set.intersection(*({identity(item) for item in one.items} for one in sets))
    return set_of([item for item in sets[0].items if identity(item) in shared], kind)


def _union(*values: Value) -> Value:
    sets, kind = _same_sets(values, "setunion")
    return set_of([item for one in sets for item in one.items], kind)


def _difference(left: Value, right: Value) -> Value:
    sets, kind = _same_sets((left, right), "setsubtract")
    taken = {identity(item) for item in sets[1].items}
    return set_of([item for item in sets[0].items if identity(item) not in taken], kind)


def _product(*values: Value) -> Value:
    if len(values) < 2:
        raise FunctionFault("setproduct needs at least two collections")
    size = 1
    for value in values:
        size *= len(need_sequence(value, "setproduct"))
    if size > MAX_ELEMENTS:
        raise FunctionFault(f"setproduct would make {size} combinations")
    kinds = [_element(value) for value in values]
    combinations = [
        tuple_of([convert(item, kind) for item, kind in zip(items, kinds, strict=True)])
        for items in product(*(value.items for value in values))
    ]
    made = TupleType(tuple(kinds))
    if any(isinstance(value.type, SetType) for value in values):
        return set_of(combinations, made)
    return list_of(combinations, made)


def _element(value: Value) -> Type:
    if isinstance(value.type, TupleType):
        kind = unify(value.type.elements)
        if kind is None:
            raise FunctionFault("all elements of a collection given to setproduct must have one type")
        return kind
    assert is_sequence(value.type)
    return value.type.element  # type: ignore[union-attr]  # a list or a set, as just checked


FUNCTIONS: Table = {
    "setintersection": Function(_intersection, (_SET,), rest=_SET),
    "setproduct": Function(_product, rest=anything("sets")),
    "setsubtract": Function(_difference, (Parameter("a", SetType(ANY)), Parameter("b", SetType(ANY)))),
    "setunion": Function(_union, (_SET,), rest=_SET),
}
