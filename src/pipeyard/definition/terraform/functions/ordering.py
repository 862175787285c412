"""Functions about the order, the sum and the repetition of elements."""

from pipeyard.definition.terraform.conversion import ConversionError, convert
from pipeyard.definition.terraform.functions.collections import like, need_sequence
from pipeyard.definition.terraform.functions.signature import (
    Function,
    FunctionFault,
    Parameter,
    Table,
    anything,
    strings,
)
from pipeyard.definition.terraform.operators import arithmetic
from pipeyard.definition.terraform.values import ANY, NUMBER, STRING, ListType, Value, identity, list_of, number, text


def _distinct(given: Value) -> Value:
    found = {identity(item): item for item in reversed(given.items)}
    return like(given, sorted(found.values(), key=given.items.index))


def _reverse(given: Value) -> Value:
    need_sequence(given, "reverse")
    return like(given, given.items[::-1])


def _sort(given: Value) -> Value:
    if any(item.is_null for item in given.items):
        raise FunctionFault("sort needs texts that are not null")
    return list_of([text(one) for one in sorted(item.raw for item in given.items)], STRING)


def _sum(given: Value) -> Value:
    items = need_sequence(given, "sum")
    if not items:
        raise FunctionFault("sum needs at least one number")
    total = number(0)
    for item in items:
        try:
            if item.is_null:
                raise ConversionError("null is no number")
            total = number(arithmetic("+", total.raw, convert(item, NUMBER).raw))
        except ConversionError as error:
            raise FunctionFault(f"sum needs numbers: {error.message}") from None
    return total


FUNCTIONS: Table = {
    "distinct": Function(_distinct, (Parameter("list", ListType(ANY)),)),
    "reverse": Function(_reverse, (anything("list"),), partial=True),
    "sort": Function(_sort, (strings("list"),), returns=ListType(STRING)),
    "sum": Function(_sum, (anything("list"),), returns=NUMBER),
}
