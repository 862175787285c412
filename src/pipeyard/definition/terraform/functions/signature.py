"""How a function takes its arguments: converted to its parameters' types, known, and not null unless it says so."""

from collections.abc import Callable, Mapping
from typing import Protocol

from msgspec import Struct

from pipeyard.definition.terraform.conversion import ConversionError, convert
from pipeyard.definition.terraform.files import Folders
from pipeyard.definition.terraform.names import Scope
from pipeyard.definition.terraform.values import (
    ANY,
    BOOL,
    NUMBER,
    STRING,
    Dynamic,
    ListType,
    Primitive,
    Type,
    Value,
    any_sensitive,
    first_unknown,
    spelled,
    unknown,
    unmarked,
    weight,
)
from pipeyard.errors import InputError


class FunctionFault(InputError):
    """The arguments are not ones that the function has a result for."""


class FunctionCall(Struct, frozen=True):
    """What a function may touch beside its arguments."""

    folders: Folders
    scope: Scope


class Parameter(Struct, frozen=True):
    name: str
    type: Type = ANY
    null: bool = False  # null is passed on instead of refused


class Body(Protocol):
    def __call__(self, *arguments: Value) -> Value: ...


class Function(Struct, frozen=True):
    """`rest` takes any further arguments. `partial`: parts of an argument may be unknown, or sensitive on their own."""

    body: Callable[..., Value]
    parameters: tuple[Parameter, ...] = ()
    rest: Parameter | None = None
    returns: Type = ANY
    partial: bool = False
    optional: int = 0  # how many of the last parameters may be left out
    contextual: bool = False  # the body takes the FunctionCall first
    raw: bool = False  # arguments are passed on as they are: unknown, sensitive, null


def string(name: str, *, null: bool = False) -> Parameter:
    return Parameter(name, STRING, null)


def numeral(name: str) -> Parameter:
    return Parameter(name, NUMBER)


def truth(name: str) -> Parameter:
    return Parameter(name, BOOL)


def strings(name: str) -> Parameter:
    return Parameter(name, ListType(STRING))


def anything(name: str, *, null: bool = False) -> Parameter:
    return Parameter(name, ANY, null)


Table = Mapping[str, Function]


def apply(name: str, function: Function, arguments: list[Value], context: FunctionCall) -> Value:
    """Calls a function. Raises InputError for the wrong number or kind of arguments, and what the body raises."""
    least = len(function.parameters) - function.optional
    if len(arguments) < least or (function.rest is None and len(arguments) > len(function.parameters)):
        raise FunctionFault(f"{name} takes {_expected(function)}, not {len(arguments)}")
    given = [
        _argument(name, _parameter(function, index), value, raw=function.raw) for index, value in enumerate(arguments)
    ]
    before = (context,) if function.contextual else ()
    effort = context.scope.effort
    effort.spend(_effort_of(name, given))
    if function.raw:
        return function.body(*before, *given)
    if function.partial:
        missing = next((value for value in given if value.is_unknown), None)
        sensitive = any(value.sensitive for value in given)
        given = [Value(value.type, value.raw) if value.sensitive else value for value in given]
    else:
        missing = next((found for value in given if (found := first_unknown(value)) is not None), None)
        sensitive = any(any_sensitive(value) for value in given)
        given = [unmarked(value) for value in given]
    if missing is not None:
        return unknown(*missing.chain, of=function.returns, text=_told(name, function, before, given))
    result = function.body(*before, *given)
    effort.spend(weight(result))
    return Value(result.type, result.raw, True) if sensitive else result


_MULTIPLYING = frozenset({"formatlist", "indent", "join", "replace"})
"""What may write one of its arguments for each part of another."""

_SPLITTING = frozenset({"csvdecode", "jsondecode", "regexall", "split", "yamldecode"})
"""What may make a part of a value of each few characters."""


def _effort_of(name: str, given: list[Value]) -> int:
    parts = [weight(value) for value in given]
    if name == "indent" and isinstance(given[0].raw, int):
        parts[0] = 1 + abs(given[0].raw) // 16
    if name in _SPLITTING:
        return sum(len(value.raw) // 2 for value in given if isinstance(value.raw, str))
    return parts[0] * parts[-1] if name in _MULTIPLYING and parts else sum(parts)


_COMPOSING = frozenset({"jsonencode", "join", "format"})
"""What makes text of its arguments, in which references can stand for those that are not known."""


def _told(name: str, function: Function, before: tuple[FunctionCall, ...], given: list[Value]) -> str:
    if name not in _COMPOSING:
        return ""
    if any(value.is_unknown and not isinstance(value.type, Primitive | Dynamic) for value in given):
        return ""  # text cannot stand for a list
    try:
        result = function.body(*before, *map(spelled, given))
    except InputError:
        return ""
    return str(result.raw) if isinstance(result.raw, str) else ""


def _parameter(function: Function, index: int) -> Parameter:
    if index < len(function.parameters):
        return function.parameters[index]
    assert function.rest is not None
    return function.rest


def _argument(name: str, parameter: Parameter, value: Value, *, raw: bool) -> Value:
    if value.is_null and not parameter.null and not raw:
        raise FunctionFault(f"{parameter.name} of {name} must not be null")
    try:
        return convert(value, parameter.type)
    except ConversionError as error:
        raise FunctionFault(f"{parameter.name} of {name} is unsuitable: {error.message}", hint=error.hint) from None


def _expected(function: Function) -> str:
    names = ", ".join(parameter.name for parameter in function.parameters)
    count = len(function.parameters)
    if function.rest is not None:
        return f"at least {count - function.optional} arguments" + (f" ({names}, ...)" if names else "")
    if function.optional:
        return f"{count - function.optional} to {count} arguments ({names})"
    return f"{count} arguments ({names})" if count != 1 else f"one argument ({names})"
