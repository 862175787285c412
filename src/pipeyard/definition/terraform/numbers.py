"""Numbers as Terraform has them: binary floating point of 512 bits, far beyond what anybody writes.

A number is an `int`, a `Fraction` when it is none, or a float that is infinite. Every result is rounded to 512 bits,
to even, so that even 1/3 has the digits that Terraform prints. Source: cty, "Numbers"; math/big, Float.Text('f', -1).
"""

import math
import re
from fractions import Fraction

Number = int | Fraction | float

PRECISION = 512
_MAX_EXPONENT = 4000
_LITERAL = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?(?:[eE]([+-]?[0-9]+))?")


def parse_number(text: str) -> int | Fraction:
    """A number from its decimal form. Raises ValueError when the text is none."""
    found = _LITERAL.fullmatch(text)
    if found is None or not (found[2] or found[3]) or not text.isascii():
        raise ValueError(f"{text[:60]!r} is not a number")
    whole, fraction, exponent = found[2] or "", found[3] or "", int(found[4] or 0)
    if abs(exponent) > _MAX_EXPONENT or len(whole) + len(fraction) > _MAX_EXPONENT:
        raise ValueError(f"{text[:60]!r} is larger or smaller than numbers can be here")
    value = Fraction(int(whole + fraction or "0")) * Fraction(10) ** (exponent - len(fraction))
    return rounded(-value if found[1] == "-" else value)


def rounded(value: int | Fraction) -> int | Fraction:
    """The nearest number with 512 significant bits; an int when it is whole."""
    numerator, denominator = value.numerator, value.denominator
    if denominator == 1 and numerator.bit_length() <= PRECISION:
        return numerator
    # Scaled so that the integer part has exactly PRECISION bits.
    shift = PRECISION - (abs(numerator).bit_length() - denominator.bit_length())
    scaled = _scaled(numerator, denominator, shift)
    if abs(scaled).bit_length() > PRECISION:
        shift -= 1
        scaled = _scaled(numerator, denominator, shift)
    result = Fraction(scaled << -shift) if shift < 0 else Fraction(scaled, 1 << shift)
    return result.numerator if result.denominator == 1 else result


def _scaled(numerator: int, denominator: int, shift: int) -> int:
    exact = Fraction(numerator << shift, denominator) if shift >= 0 else Fraction(numerator, denominator << -shift)
    return round(exact)  # half to even


def from_float(value: float) -> Number:
    """A double by its shortest decimal form, as Terraform prints the results of log and pow."""
    if math.isinf(value):
        return value
    if math.isnan(value):
        raise ValueError("the result is not a number")
    return rounded(Fraction(repr(value)))


def number_text(value: Number) -> str:
    """The shortest decimal that reads back as the same number, without an exponent."""
    if isinstance(value, float):
        return "+Inf" if value > 0 else "-Inf"
    if isinstance(value, int):
        return _whole_text(value)
    sign = "-" if value < 0 else ""
    value = abs(value)
    denominator = value.denominator
    # A decimal with few digits is what people write; only results of divisions need the search.
    magnitude = _magnitude(value)
    for digits in (17, 40, 80, 120, *range(150, 157)):
        candidate = _decimal(value, digits - 1 - magnitude)
        if rounded(candidate) == value:
            text = _plain(candidate, max(digits - 1 - magnitude, 0))
            return sign + (text.rstrip("0").rstrip(".") if "." in text else text)
    places = denominator.bit_length()
    return sign + _plain(value, places).rstrip("0").rstrip(".")


def _whole_text(value: int) -> str:
    text = str(value)
    size = len(text.lstrip("-"))
    if size <= 155:
        return text
    for digits in range(150, 157):
        unit = 10 ** (size - digits)
        candidate = round(Fraction(value, unit)) * unit
        if rounded(candidate) == value:
            return str(candidate)
    return text


def _magnitude(value: Fraction) -> int:
    """The power of ten of the first digit, exact or one too small."""
    return math.floor((value.numerator.bit_length() - value.denominator.bit_length() - 1) * 0.30103)


def _decimal(value: Fraction, places: int) -> Fraction:
    unit = Fraction(10) ** places
    return Fraction(round(value * unit)) / unit


def _plain(value: Fraction, places: int) -> str:
    scaled = round(value * 10**places)
    text = str(scaled).rjust(places + 1, "0")
    return f"{text[:-places]}.{text[-places:]}" if places else text
