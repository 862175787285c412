"""Values as Go's libraries read them: booleans, unsigned numbers, durations, sizes.

Source: strconv.ParseBool and ParseUint, time.ParseDuration, docker/go-units RAMInBytes. Each returns None for text
that is no such value; the caller knows what it was for.
"""

import re

from pipeyard.patterns import later

_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))
_UNITS_NS = {
    "ns": 1,
    "us": 1_000,
    "\u00b5s": 1_000,
    "\u03bcs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_part = later(r"([0-9]*)(?:\.([0-9]*))?(ns|us|\u00b5s|\u03bcs|ms|s|m|h)")
_size = later(r"([0-9.eE+-]*[0-9.]) ?([kmgtp]?)(i?b?)", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


def parse_bool(text: str) -> bool | None:
    if text in _TRUE:
        return True
    return False if text in _FALSE else None


def parse_unsigned(text: str, *, base: int) -> int | None:
    """A number of 32 bits; no sign, no prefix."""
    if not text or not all("0" <= digit < chr(ord("0") + base) for digit in text):
        return None
    value = int(text, base) if len(text) < 64 else 1 << 32
    return value if value < 1 << 32 else None


def parse_duration_ns(text: str) -> int | None:
    """Nanoseconds: "1h2m3.5s", "-1s", "0"."""
    sign = -1 if text.startswith("-") else 1
    body = text[1:] if text[:1] in ("-", "+") else text
    if body == "0":
        return 0
    total = position = 0
    while position < len(body):
        part = _part.match(body, position)
        if part is None or not (part[1] or part[2]) or len(part[1]) > 19:
            return None
        unit = _UNITS_NS[part[3]]
        total += int(part[1] or "0") * unit + (int(float(f"0.{part[2]}") * unit) if part[2] else 0)
        position = part.end()
    return sign * total if position and total < 1 << 63 else None


def parse_size(text: str) -> int | None:
    """Bytes: "64m", "1.5GiB", "10 kb", each unit 1024 times the one before."""
    found = _size.fullmatch(text)
    if found is None or (found[3].lower() == "i") or (found[3].lower() == "ib" and not found[2]):
        return None
    try:
        size = float(found[1])
    except ValueError:
        return None
    size *= 1024 ** _POWERS[found[2].lower()]
    return int(size) if 0 <= size < 1 << 63 else None
