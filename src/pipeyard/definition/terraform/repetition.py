"""How many of a block there are: `count` and `for_each`. Source: Terraform language, "Meta-Arguments"."""

from msgspec import Struct

from pipeyard.definition.terraform.conversion import ConversionError, convert
from pipeyard.definition.terraform.syntax import Attribute
from pipeyard.definition.terraform.values import (
    NUMBER,
    SetType,
    Unknown,
    Value,
    is_mapping,
    is_sequence,
    object_of,
    tuple_of,
    unknown,
)
from pipeyard.errors import InputError

MAX_INSTANCES = 10_000


class Repetition(Struct, frozen=True):
    """Which of several instances: nothing, an index of `count`, or key and value of `for_each`."""

    key: str | int | None = None
    value: Value | None = None
    unknown: tuple[str, ...] = ()  # how many there are is not known: the chain why

    @property
    def suffix(self) -> str:
        if self.key is None:
            return ""
        return f"[{self.key}]" if isinstance(self.key, int) else f'["{self.key}"]'


ONCE = Repetition()


def combined(instances: list[tuple[Repetition, Value]]) -> Value:
    """One value for a block: the instance itself, a tuple by index, or an object by key."""
    if len(instances) == 1:
        repetition, value = instances[0]
        if repetition.unknown:
            return unknown(*repetition.unknown)
        if repetition.key is None:
            return value
    if all(isinstance(repetition.key, int) for repetition, _ in instances):
        return tuple_of([value for _, value in instances])
    return object_of({str(repetition.key): value for repetition, value in instances})


def counted(value: Value, attribute: Attribute, name: str) -> list[Repetition]:
    if value.is_unknown:
        return [Repetition(unknown=(f"how many {name} there are is not known", *value.chain))]
    if value.is_null:
        raise InputError("count cannot be null", place=attribute.span.place)
    try:
        size = convert(value, NUMBER).raw
    except ConversionError as error:
        raise InputError(f"count is unsuitable: {error.message}", place=attribute.span.place) from None
    if not isinstance(size, int) or not 0 <= size <= MAX_INSTANCES:
        raise InputError(f"count must be a whole number from 0 to {MAX_INSTANCES}", place=attribute.span.place)
    return [Repetition(index) for index in range(size)]


def keyed(value: Value, attribute: Attribute, name: str) -> list[Repetition]:
    place = attribute.span.place
    if value.is_unknown:
        return [Repetition(unknown=(f"how many {name} there are is not known", *value.chain))]
    if value.is_null:
        raise InputError("for_each cannot be null", place=place)
    if is_mapping(value.type):
        return [Repetition(key, item) for key, item in sorted(value.entries.items())]
    if isinstance(value.type, SetType):
        found: list[Repetition] = []
        for item in value.items:
            if isinstance(item.raw, Unknown):
                return [Repetition(unknown=(f"how many {name} there are is not known", *item.chain))]
            if not isinstance(item.raw, str):
                raise InputError("for_each takes a set of strings", place=place)
            found.append(Repetition(item.raw, item))
        return found
    hint = "toset makes a set of a list" if is_sequence(value.type) else ""
    raise InputError("for_each takes a map or a set of strings", place=place, hint=hint)
