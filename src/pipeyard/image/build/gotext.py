"""Texts as Go prints them: history entries and errors are compared with those of other builders byte by byte."""

from collections.abc import Sequence

_ESCAPES = {7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}


def quoted(text: str) -> str:
    """A Go string literal, as `%q` prints it. Source: strconv.Quote."""
    out = []
    for character in text:
        code = ord(character)
        if code in _ESCAPES:
            out.append(_ESCAPES[code])
        elif 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8
            out.append(f"\\x{code - 0xDC00:02x}")
        elif character.isprintable():
            out.append(character)
        elif code < 0x80:
            out.append(f"\\x{code:02x}")
        else:
            out.append(f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
    return '"' + "".join(out) + '"'


def quoted_list(words: Sequence[str]) -> str:
    """A slice of strings under `%q`."""
    return "[" + " ".join(map(quoted, words)) + "]"


def plain_list(words: Sequence[str]) -> str:
    """A slice of strings under `%v`."""
    return "[" + " ".join(words) + "]"


def duration(nanoseconds: int) -> str:
    """A time.Duration: `1h30m0s`, `1.5s`, `20ms`, `0s`."""
    if nanoseconds == 0:
        return "0s"
    sign, rest = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    if rest < 1_000_000_000:
        for unit, size in (("ms", 1_000_000), ("µs", 1_000), ("ns", 1)):
            if rest >= size:
                return f"{sign}{_decimal(rest, size)}{unit}"
    minutes, below = divmod(rest, 60_000_000_000)
    text = f"{_decimal(below, 1_000_000_000)}s"
    if minutes:
        hours, minutes = divmod(minutes, 60)
        text = (f"{hours}h" if hours else "") + f"{minutes}m{text}"
    return sign + text


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    if not rest:
        return str(whole)
    return f"{whole}.{rest:0{len(str(unit)) - 1}d}".rstrip("0")
