"""Terraform's functions by name. Source: Terraform language, "Built-in Functions" (1.11)."""

from collections.abc import Mapping
from functools import cache

from pipeyard.definition.terraform.functions.signature import Function, FunctionCall, FunctionFault, apply
from pipeyard.definition.terraform.values import STRING, Value, unknown

__all__ = ["FunctionCall", "call_function"]

_NOT_REPEATABLE = {
    "timestamp": "the time of the deployment",
    "plantimestamp": "the time of the plan",
    "uuid": "a value that is drawn at random",
    "bcrypt": "a hash with a random salt",
}
"""Their result is different each time, so that reading the same files twice would give two pipelines."""

_GONE = {"list": "[...] or tolist", "map": "{...} or tomap"}


def call_function(name: str, arguments: list[Value], context: FunctionCall) -> Value:
    """Raises InputError for an unknown name, unsuitable arguments, and where the function itself fails."""
    name = name.removeprefix("core::")
    function = _table().get(name)
    if function is not None:
        return apply(name, function, arguments, context)
    if name in _NOT_REPEATABLE:
        return unknown(f"{name}() is {_NOT_REPEATABLE[name]}", of=STRING)
    if name in _GONE:
        raise FunctionFault(f"the function {name} does not exist any more", hint=f"write {_GONE[name]}")
    if name.startswith("provider::"):
        raise FunctionFault(f"the function {name} belongs to a provider, which is not run here")
    if name == "rsadecrypt":
        raise FunctionFault("the function rsadecrypt is not available here", hint="it needs a private key in the files")
    from pipeyard.definition.declaration import suggestion

    raise FunctionFault(
        f"there is no function {name}", hint=suggestion(name, [*_table(), *_NOT_REPEATABLE, "try", "can"])
    )


@cache
def _table() -> Mapping[str, Function]:
    from pipeyard.definition.terraform.functions import (
        arithmetic,
        collections,
        dates,
        encoding,
        hashes,
        networks,
        ordering,
        paths,
        sets,
        strings,
        types,
    )

    families = (arithmetic, strings, collections, ordering, sets, encoding, paths, dates, hashes, networks, types)
    return {name: function for family in families for name, function in family.FUNCTIONS.items()}
