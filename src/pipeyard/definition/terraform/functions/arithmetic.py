"""Numeric functions."""

import math

from pipeyard.definition.terraform.functions.signature import (
    Function,
    FunctionFault,
    Parameter,
    Table,
    anything,
    numeral,
)
from pipeyard.definition.terraform.numbers import Number, from_float
from pipeyard.definition.terraform.values import NUMBER, STRING, Value, number

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def _absolute(value: Value) -> Value:
    return number(abs(value.raw))


def _ceiling(value: Value) -> Value:
    return value if isinstance(value.raw, float) else number(math.ceil(value.raw))


def _floor(value: Value) -> Value:
    return value if isinstance(value.raw, float) else number(math.floor(value.raw))


def _logarithm(value: Value, base: Value) -> Value:
    try:
        return number(_double(math.log(value.raw) / math.log(base.raw)))
    except (ValueError, ZeroDivisionError, OverflowError):
        if value.raw == 0 and base.raw > 1:
            return number(-math.inf)
        raise FunctionFault("there is no such logarithm") from None


def _power(value: Value, exponent: Value) -> Value:
    try:
        return number(_double(math.pow(value.raw, exponent.raw)))
    except OverflowError:
        return number(math.inf)
    except ValueError:
        raise FunctionFault("there is no such power") from None


def _double(value: float) -> Number:
    try:
        return from_float(value)
    except ValueError as error:
        raise FunctionFault(str(error)) from None


def _sign(value: Value) -> Value:
    if not isinstance(value.raw, int):
        raise FunctionFault("signum needs a whole number")
    return number((value.raw > 0) - (value.raw < 0))


def _extreme(smallest: bool) -> Function:
    def body(*values: Value) -> Value:
        if not values:
            raise FunctionFault("at least one number is needed")
        return (min if smallest else max)(values, key=lambda value: value.raw)

    return Function(body, rest=Parameter("numbers", NUMBER), returns=NUMBER)


def _parse_integer(given: Value, base: Value) -> Value:
    if not isinstance(base.raw, int) or not 2 <= base.raw <= 62:
        raise FunctionFault("the base must be a whole number from 2 to 62")
    if given.type != STRING:
        raise FunctionFault("parseint takes text, not a number")
    text: str = given.raw
    digits = text[1:] if text[:1] in ("-", "+") else text
    if base.raw <= 36:
        digits = digits.lower()
    values = [_DIGITS.find(digit) for digit in digits]
    if not values or any(not 0 <= value < base.raw for value in values) or len(values) > 4000:
        raise FunctionFault(f"{text[:60]!r} is no whole number in base {base.raw}")
    result = 0
    for value in values:
        result = result * base.raw + value
    return number(-result if text.startswith("-") else result)


FUNCTIONS: Table = {
    "abs": Function(_absolute, (numeral("num"),), returns=NUMBER),
    "ceil": Function(_ceiling, (numeral("num"),), returns=NUMBER),
    "floor": Function(_floor, (numeral("num"),), returns=NUMBER),
    "log": Function(_logarithm, (numeral("num"), numeral("base")), returns=NUMBER),
    "max": _extreme(False),
    "min": _extreme(True),
    "parseint": Function(_parse_integer, (anything("number"), numeral("base")), returns=NUMBER),
    "pow": Function(_power, (numeral("num"), numeral("power")), returns=NUMBER),
    "signum": Function(_sign, (numeral("num"),), returns=NUMBER),
}
