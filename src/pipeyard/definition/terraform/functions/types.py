"""Type conversion functions, and those about sensitivity."""

from pipeyard.definition.terraform.conversion import ConversionError, convert
from pipeyard.definition.terraform.functions.signature import Function, FunctionFault, Table, anything
from pipeyard.definition.terraform.values import (
    ANY,
    BOOL,
    NUMBER,
    STRING,
    ListType,
    MapType,
    SetType,
    Type,
    Value,
    boolean,
    first_unknown,
)


def _to(kind: Type, name: str) -> Function:
    def body(value: Value) -> Value:
        try:
            return convert(value, kind)
        except ConversionError as error:
            raise FunctionFault(f"v of {name} is unsuitable: {error.message}", hint=error.hint) from None

    return Function(body, (anything("v", null=True),), returns=kind, raw=True)


def _sensitive(value: Value) -> Value:
    return Value(value.type, value.raw, True)


def _nonsensitive(value: Value) -> Value:
    return Value(value.type, value.raw)


def _is_sensitive(value: Value) -> Value:
    return boolean(value.sensitive)


def _as_is(value: Value) -> Value:
    return value


def _unknown_type(value: Value) -> Value:
    missing = first_unknown(value)
    raise FunctionFault("type exists only in the console", hint=missing.chain[0] if missing and missing.chain else "")


FUNCTIONS: Table = {
    "tobool": _to(BOOL, "tobool"),
    "tolist": _to(ListType(ANY), "tolist"),
    "tomap": _to(MapType(ANY), "tomap"),
    "tonumber": _to(NUMBER, "tonumber"),
    "toset": _to(SetType(ANY), "toset"),
    "tostring": _to(STRING, "tostring"),
    "sensitive": Function(_sensitive, (anything("value", null=True),), raw=True),
    "nonsensitive": Function(_nonsensitive, (anything("value", null=True),), raw=True),
    "issensitive": Function(_is_sensitive, (anything("value", null=True),), returns=BOOL, raw=True),
    "ephemeralasnull": Function(_as_is, (anything("value", null=True),), raw=True),
    "type": Function(_unknown_type, (anything("value", null=True),), raw=True),
}
