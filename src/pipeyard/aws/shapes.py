"""Input checked and answers shaped by the service's model: what an operation gets is right, what it gives is known.

In between times are integer UTC milliseconds and blobs are bytes; a Notation says how a protocol writes both.
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from pipeyard.aws.refusals import AwsError

if TYPE_CHECKING:
    from botocore.model import Shape

_MAX_SHOWN = 1000

# Where the service lists its values in an order that is not the model's.
_ENUM_ORDER: Mapping[str, tuple[str, ...]] = {
    "ImageTagMutability": ("IMMUTABLE", "MUTABLE", "MUTABLE_WITH_EXCLUSION", "IMMUTABLE_WITH_EXCLUSION"),
}


class Notation(Struct, frozen=True):
    """How a protocol carries what its format has no type for. Readers raise ValueError."""

    read_time: Callable[[Any], int]
    read_blob: Callable[[Any], bytes]
    write_time: Callable[[int], Any]
    write_blob: Callable[[bytes], Any]


class Broken(Struct, frozen=True):
    """A constraint of the model that an input does not meet. `path` as the services write it."""

    path: str
    value: Any
    rule: str
    pattern: str = ""  # of a rule about one


def _json_time(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("not a time")
    return round(value * 1000)


def _base64(value: Any) -> bytes:
    try:
        return b64decode(value, validate=True)
    except (Base64Error, TypeError) as error:
        raise ValueError("not base64") from error


JSON = Notation(_json_time, _base64, lambda ms: ms / 1000, lambda data: b64encode(data).decode())


def read(shape: "Shape | None", value: Any, notation: Notation) -> dict[str, Any]:
    """The input of an operation with our types; unknown members are dropped, as the services do.

    Raises AwsError (SerializationException) for a value of a wrong type.
    """
    if shape is None:
        return {}
    if not isinstance(value, dict):
        raise AwsError("SerializationException", "the request's body is not an object")
    found: dict[str, Any] = _read(shape, value, notation)
    return found


def broken_constraints(shape: "Shape | None", value: dict[str, Any]) -> tuple[Broken, ...]:
    """Every constraint of the model that a value from `read` does not meet."""
    return tuple(_check(shape, value, "")) if shape is not None else ()


def write(shape: "Shape", value: Any, notation: Notation) -> Any:
    """An operation's answer in a protocol's types; None means absent. Raises TypeError for what is not modelled."""
    match shape.type_name:
        case "structure":
            return {
                member.serialization.get("name", name): write(member, each, notation)
                for name, member, each in members(shape, value)
            }
        case "list":
            return [write(shape.member, each, notation) for each in value]
        case "map":
            return {str(key): write(shape.value, each, notation) for key, each in value.items()}
        case "timestamp":
            return notation.write_time(in_ms(value))
        case "blob":
            return notation.write_blob(value)
        case kind:
            if not isinstance(value, _TYPES[kind]):
                raise TypeError(f"{shape.name} is {kind}, not {value!r}")
            return value


def members(shape: "Shape", value: Mapping[str, Any]) -> Iterator[tuple[str, "Shape", Any]]:
    """Name, shape and value of what is present. Raises TypeError for a member that the model does not have."""
    for name, each in value.items():
        if name not in shape.members:
            raise TypeError(f"{shape.name} has no member {name}")
        if each is not None:
            yield name, shape.members[name], each


def in_ms(value: int | datetime) -> int:
    """The engine's views have aware datetimes; everybody else milliseconds."""
    return round(value.timestamp() * 1000) if isinstance(value, datetime) else value


def complaint(code: str, broken: tuple[Broken, ...]) -> AwsError:
    """The sentence that the services say. Source: answers of ECR; of CodePipeline, CodeBuild and STS."""
    if code == "InvalidParameterException":
        first = broken[0]
        rule = f"must satisfy regular expression '{first.pattern}'" if first.pattern else first.rule
        return AwsError(code, f"Invalid parameter at '{first.path}' failed to satisfy constraint: '{rule}'")
    told = "; ".join(
        f"Value {_shown(each.value)} at '{each.path[:1].lower()}{each.path[1:]}' "
        f"failed to satisfy constraint: {each.rule}"
        for each in broken
    )
    count = len(broken)
    return AwsError(code, f"{count} validation error{'s' if count > 1 else ''} detected: {told}")


_TYPES: Mapping[str, Any] = {
    "string": str,
    "character": str,
    "boolean": bool,
    "integer": int,
    "long": int,
    "float": (int, float),
    "double": (int, float),
}


def _read(shape: "Shape", value: Any, notation: Notation) -> Any:
    match shape.type_name:
        case "structure":
            _expect(isinstance(value, dict), value, "object")
            return {
                name: _read(member, value[name], notation)
                for name, member in shape.members.items()
                if value.get(name) is not None
            }
        case "list":
            _expect(isinstance(value, list), value, "list")
            return [_read(shape.member, each, notation) for each in value]
        case "map":
            _expect(isinstance(value, dict), value, "object")
            return {key: _read(shape.value, each, notation) for key, each in value.items()}
        case "timestamp" | "blob" as kind:
            try:
                return (notation.read_time if kind == "timestamp" else notation.read_blob)(value)
            except (ValueError, OverflowError) as error:
                raise _serialization(value, kind) from error
        case kind:
            number = kind in ("integer", "long", "float", "double")
            _expect(isinstance(value, _TYPES[kind]) and not (number and isinstance(value, bool)), value, kind)
            return value


def _expect(right: bool, value: Any, wanted: str) -> None:
    if not right:
        raise _serialization(value, wanted)


def _serialization(value: Any, wanted: str) -> AwsError:
    kinds = {str: "STRING_VALUE", bool: "TRUE_VALUE", int: "NUMBER_VALUE", float: "DECIMAL_VALUE", bytes: "BLOB_VALUE"}
    kind = kinds.get(type(value), "START_OF_OBJECT" if isinstance(value, dict) else "START_OF_ARRAY")
    return AwsError("SerializationException", f"{kind} can not be converted to {wanted}")


def _check(shape: "Shape", value: Any, path: str) -> Iterator[Broken]:
    limits = shape.metadata
    match shape.type_name:
        case "structure":
            for name in shape.required_members:
                if name not in value:
                    yield Broken(_join(path, name), None, "Member must not be null")
            for name, each in value.items():
                yield from _check(shape.members[name], each, _join(path, name))
        case "list":
            yield from _check_length(limits, value, path)
            for number, each in enumerate(value, 1):
                yield from _check(shape.member, each, f"{path}.{number}.member")
        case "map":
            yield from _check_length(limits, value, path)
            for key, each in value.items():
                yield from _check(shape.key, key, f"{path}.key")
                yield from _check(shape.value, each, f"{path}.{key}.member")
        case "string":
            yield from _check_length(limits, value, path)
            pattern = limits.get("pattern")
            if pattern and (compiled := _pattern(pattern)) and not compiled.fullmatch(value):
                yield Broken(path, value, f"Member must satisfy regular expression pattern: {pattern}", pattern)
            values = _ENUM_ORDER.get(shape.name, shape.enum)
            if values and value not in values:
                yield Broken(path, value, f"Member must satisfy enum value set: [{', '.join(values)}]")
        case "blob":
            yield from _check_length(limits, value, path)
        case "integer" | "long" | "float" | "double":
            if "min" in limits and value < limits["min"]:
                yield Broken(path, value, f"Member must have value greater than or equal to {limits['min']}")
            if "max" in limits and value > limits["max"]:
                yield Broken(path, value, f"Member must have value less than or equal to {limits['max']}")


def _check_length(limits: Mapping[str, Any], value: Any, path: str) -> Iterator[Broken]:
    if "min" in limits and len(value) < limits["min"]:
        yield Broken(path, value, f"Member must have length greater than or equal to {limits['min']}")
    if "max" in limits and len(value) > limits["max"]:
        yield Broken(path, value, f"Member must have length less than or equal to {limits['max']}")


@cache
def _pattern(text: str) -> re.Pattern[str] | None:
    """The models' patterns are Java's; one that Python cannot read checks nothing."""
    for java, ours in _CLASSES:
        text = text.replace(java, ours)
    try:
        return re.compile(text)
    except re.error:
        return None


# Unicode's letters, separators and numbers, as what may stand between brackets; letters are taken generously.
_CLASSES = (("\\p{L}", "a-zA-Z\u00aa-\U0010ffff"), ("\\p{Z}", r"\s"), ("\\p{N}", r"\d"))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _shown(value: Any) -> str:
    return "null" if value is None else f"'{str(value)[:_MAX_SHOWN]}'"
