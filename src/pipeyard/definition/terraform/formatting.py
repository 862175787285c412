"""`format`: verbs as Terraform's documentation describes them and Go's fmt carries them out."""

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from pipeyard.definition.terraform.conversion import ConversionError, convert
from pipeyard.definition.terraform.graphemes import graphemes
from pipeyard.definition.terraform.json_text import encode_json
from pipeyard.definition.terraform.numbers import Number, number_text
from pipeyard.definition.terraform.values import BOOL, NUMBER, STRING, Primitive, Value, friendly
from pipeyard.errors import InputError

_VERB = re.compile(
    r"%(?P<flags>[#0\-+ ]*)(?P<width>[0-9]*)(?:\.(?P<precision>[0-9]*))?(?:\[(?P<index>[0-9]+)\])?(?P<mode>.)",
    re.DOTALL,
)
_MAX_SIZE = 100_000


class FormatFault(InputError):
    """The format asks for what the arguments are not."""


def format_text(template: str, arguments: Sequence[Value]) -> str:
    """Raises FormatFault for unknown verbs, and for arguments that are missing, superfluous or unsuitable."""
    out: list[str] = []
    at = 0
    following = 0  # index of the argument that a verb without an index takes
    highest = 0
    while (start := template.find("%", at)) >= 0:
        out.append(template[at:start])
        if template.startswith("%%", start):
            out.append("%")
            at = start + 2
            continue
        found = _VERB.match(template, start)
        if found is None:
            raise FormatFault(f"the verb {template[start:]!r} is not complete")
        at = found.end()
        if found["index"]:
            following = int(found["index"]) - 1
        if following < 0 or following >= len(arguments):
            raise FormatFault(f"{found[0]} has no argument: there are {len(arguments)}")
        out.append(_formatted(found, arguments[following]))
        following += 1
        highest = max(highest, following)
    if highest < len(arguments):
        raise FormatFault(f"there are {len(arguments)} arguments, and the format uses {highest}")
    return "".join([*out, template[at:]])


def _formatted(verb: re.Match[str], value: Value) -> str:
    flags, mode = verb["flags"], verb["mode"]
    width = int(verb["width"]) if verb["width"] else 0
    precision = None if verb["precision"] is None else int(verb["precision"] or 0)
    if width > _MAX_SIZE or (precision or 0) > _MAX_SIZE:
        raise FormatFault(f"{verb[0]} is too wide")
    if mode != "v" and value.is_null:
        raise FormatFault(f"null cannot be formatted with {verb[0]}")
    if mode == "v":
        return _padded(_as_is(value, "#" in flags), width, flags)
    if mode == "t":
        return _padded("true" if _converted(value, BOOL, verb[0]) else "false", width, flags)
    if mode in "bdoxX":
        number = _converted(value, NUMBER, verb[0])
        if not isinstance(number, int):
            raise FormatFault(f"{verb[0]} needs a whole number")
        return _padded_number(_integer(number, mode, flags, precision), width, flags)
    if mode in "eEfgG":
        return _padded_number(_real(_converted(value, NUMBER, verb[0]), mode, flags, precision), width, flags)
    if mode in "sq":
        text = str(_converted(value, STRING, verb[0]))
        if precision is not None:
            text = "".join(graphemes(text)[:precision])
        return _padded(encode_json(Value(STRING, text)) if mode == "q" else text, width, flags)
    raise FormatFault(f"there is no verb {verb[0]!r}", hint="there are %v %s %q %d %b %o %x %X %e %E %f %g %G %t %%")


def _converted(value: Value, kind: Primitive, verb: str) -> Any:
    try:
        return convert(value, kind).raw
    except ConversionError:
        raise FormatFault(f"{verb} needs a {kind.name}, not a {friendly(value.type)}") from None


def _as_is(value: Value, as_json: bool) -> str:
    if not as_json and not value.is_null:
        if value.type == STRING:
            return str(value.raw)
        if value.type == NUMBER:
            return _shortest(value.raw, "e")
    return encode_json(value)


def _padded(text: str, width: int, flags: str) -> str:
    missing = width - len(graphemes(text))
    if missing <= 0:
        return text
    if "-" in flags:
        return text + " " * missing
    return ("0" if "0" in flags else " ") * missing + text


def _padded_number(text: str, width: int, flags: str) -> str:
    if "0" in flags and "-" not in flags and text[:1] in "+- " and len(text) < width:
        return text[0] + text[1:].rjust(width - 1, "0")
    return _padded(text, width, flags)


def _sign(negative: bool, flags: str) -> str:
    return "-" if negative else "+" if "+" in flags else " " if " " in flags else ""


def _integer(number: int, mode: str, flags: str, precision: int | None) -> str:
    digits = format(abs(number), mode)
    if precision is not None:
        digits = digits.rjust(precision, "0")
    if "#" in flags:
        digits = {"b": "0b", "o": "0", "x": "0x", "X": "0X"}.get(mode, "") + digits
    return _sign(number < 0, flags) + digits


def _real(number: Number, mode: str, flags: str, precision: int | None) -> str:
    if isinstance(number, float):
        return ("+" if "+" in flags else "") + "Inf" if number > 0 else "-Inf"
    sign = _sign(number < 0, flags)
    size: int | Fraction = -number if number < 0 else number
    if mode == "f":
        return sign + _fixed(size, 6 if precision is None else precision)
    if mode in "eE":
        return sign + _scientific(*_digits(size, 7 if precision is None else precision + 1), mode)
    if precision is None:
        return sign + _shortest(size, "e" if mode == "g" else "E")
    digits, exponent = _digits(size, precision or 1)
    return sign + _general(digits.rstrip("0") or "0", exponent, len(digits), "e" if mode == "g" else "E")


def _fixed(size: Number, precision: int) -> str:
    scaled = round(Fraction(size) * 10**precision)
    text = str(scaled).rjust(precision + 1, "0")
    return f"{text[:-precision]}.{text[-precision:]}" if precision else text


def _digits(size: int | Fraction, count: int) -> tuple[str, int]:
    """The first digits, rounded, and the power of ten of the first one."""
    if not size:
        return "0" * count, 0
    exponent = 0
    value = Fraction(size)
    text = number_text(size).replace("-", "")
    whole, _, fraction = text.partition(".")
    exponent = len(whole) - 1 if whole != "0" else -(len(fraction) - len(fraction.lstrip("0")) + 1)
    scaled = round(value / Fraction(10) ** (exponent - count + 1))
    if len(str(scaled)) > count:
        exponent += 1
        scaled = round(value / Fraction(10) ** (exponent - count + 1))
    return str(scaled), exponent


def _shortest(number: Number, letter: str) -> str:
    """Go's `%g` with as few digits as tell the number apart."""
    if isinstance(number, float):
        return "+Inf" if number > 0 else "-Inf"
    text = number_text(number)
    sign = "-" if text.startswith("-") else ""
    whole, _, fraction = text.lstrip("-").partition(".")
    if whole != "0":
        digits, exponent = (whole + fraction).rstrip("0"), len(whole) - 1
    else:
        digits = fraction.lstrip("0")
        exponent = -(len(fraction) - len(digits) + 1)
    if not digits:
        return sign + "0"
    # However many digits there are, an exponent begins at the seventh: math/big, Float.Text('g', -1).
    return sign + _general(digits, exponent, 6, letter)


def _general(digits: str, exponent: int, precision: int, letter: str) -> str:
    if exponent < -4 or exponent >= precision:
        return _scientific(digits, exponent, letter)
    if exponent < 0:
        return "0." + "0" * (-exponent - 1) + digits
    whole = digits[: exponent + 1].ljust(exponent + 1, "0")
    rest = digits[exponent + 1 :]
    return f"{whole}.{rest}" if rest else whole


def _scientific(digits: str, exponent: int, letter: str) -> str:
    mantissa = digits[0] + (f".{digits[1:]}" if len(digits) > 1 else "")
    return f"{mantissa}{letter}{'-' if exponent < 0 else '+'}{abs(exponent):02d}"
