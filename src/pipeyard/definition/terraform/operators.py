"""Arithmetic and comparison of numbers. Source: HCL specification, "Operations"."""

import math
from collections.abc import Callable
from fractions import Fraction

from pipeyard.definition.terraform.conversion import ConversionError
from pipeyard.definition.terraform.numbers import Number, rounded

MAX_MAGNITUDE = 30_000
"""Binary digits before or behind the point, whatever the precision: far more than the literals that are read."""

COMPARISONS: dict[str, Callable[[Number, Number], bool]] = {
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}


def arithmetic(operator: str, left: Number, right: Number) -> Number:
    """The result of `+ - * / %`. Raises ConversionError where there is none."""
    if isinstance(left, float) or isinstance(right, float):
        return _with_infinity(operator, float(left), float(right))
    match operator:
        case "+":
            return rounded(left + right)
        case "-":
            return rounded(left - right)
        case "*":
            return _bounded(rounded(left * right))
        case "/":
            if right:
                return _bounded(rounded(Fraction(left) / right))
            if not left:
                raise ConversionError("zero cannot be divided by zero")
            return math.inf if left > 0 else -math.inf
        case _:
            if not right:
                return left  # as Terraform has it
            return rounded(left - right * math.trunc(Fraction(left) / right))


def _bounded(value: int | Fraction) -> int | Fraction:
    if abs(value.numerator.bit_length() - value.denominator.bit_length()) > MAX_MAGNITUDE:
        raise ConversionError("the result is larger or smaller than numbers can be here")
    return value


def _with_infinity(operator: str, left: float, right: float) -> Number:
    if operator == "/" and right == 0:
        result = left
    elif operator == "%":
        raise ConversionError("an infinite number has no remainder")
    else:
        result = {
            "+": lambda: left + right,
            "-": lambda: left - right,
            "*": lambda: left * right,
            "/": lambda: left / right,
        }[operator]()
    if math.isnan(result):
        raise ConversionError("the result is not a number")
    return result if math.isinf(result) else rounded(Fraction(result))
