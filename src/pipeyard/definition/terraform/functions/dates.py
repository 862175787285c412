"""Date and time functions over RFC 3339 timestamps."""

import re
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction

from pipeyard.definition.terraform.functions.signature import Function, FunctionFault, Table, string
from pipeyard.definition.terraform.values import NUMBER, STRING, Value, number, text

_TIMESTAMP = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})[Tt](\d{2}):(\d{2}):(\d{2})(?:\.(\d+))?(?:([Zz])|([+-])(\d{2}):(\d{2}))", re.ASCII
)
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_UNITS = {
    "ns": Fraction(1, 10**9),
    "us": Fraction(1, 10**6),
    "µs": Fraction(1, 10**6),
    "μs": Fraction(1, 10**6),
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "m": Fraction(60),
    "h": Fraction(3600),
}
_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_PIECE = re.compile(r"'((?:[^']|'')*)'|([A-Za-z])\2*|[^A-Za-z']+")


def parse_timestamp(given: str) -> tuple[datetime, Fraction]:
    """The moment in its own time zone, and the part of a second beyond it. Raises FunctionFault."""
    found = _TIMESTAMP.fullmatch(given)
    if found is None:
        raise FunctionFault(
            f"{given[:60]!r} is no timestamp of RFC 3339",
            hint="such as 2024-02-03T04:05:06Z or 2024-02-03T04:05:06+01:00",
        )
    year, month, day, hour, minute, second = (int(found[index]) for index in range(1, 7))
    zone = UTC
    try:
        if found[9]:
            offset = timedelta(hours=int(found[10]), minutes=int(found[11]))
            zone = timezone(offset if found[9] == "+" else -offset)
        moment = datetime(year, month, day, hour, minute, second, tzinfo=zone)
    except ValueError as error:
        raise FunctionFault(f"{given!r} is no date: {error}") from None
    return moment, Fraction(int(found[7]), 10 ** len(found[7])) if found[7] else Fraction(0)


def parse_duration(given: str) -> Fraction:
    """Seconds of a duration as Go writes them, "1h15m". Raises FunctionFault."""
    rest = given[1:] if given[:1] in ("-", "+") else given
    total = Fraction(0)
    at = 0
    if rest == "0":
        return total
    while at < len(rest):
        found = _DURATION.match(rest, at)
        if found is None:
            break
        total += Fraction(found[1].rstrip(".") if not found[1].startswith(".") else f"0{found[1]}") * _UNITS[found[2]]
        at = found.end()
    if not rest or at < len(rest):
        raise FunctionFault(f"{given[:60]!r} is no duration", hint="such as 90m, 1h30m or -24h")
    return -total if given.startswith("-") else total


def _add(timestamp: Value, duration: Value) -> Value:
    moment, fraction = parse_timestamp(timestamp.raw)
    seconds = fraction + parse_duration(duration.raw)
    try:
        moved = moment + timedelta(seconds=seconds.numerator // seconds.denominator)
    except OverflowError:
        raise FunctionFault("the result is no date of this calendar") from None
    return text(moved.strftime(f"{moved.year:04d}-%m-%dT%H:%M:%S") + _offset(moved, ":"))


def _compare(left: Value, right: Value) -> Value:
    first, second = parse_timestamp(left.raw), parse_timestamp(right.raw)
    before = (first[0].astimezone(UTC), first[1])
    after = (second[0].astimezone(UTC), second[1])
    return number((before > after) - (before < after))


def _offset(moment: datetime, separator: str, utc: str = "Z") -> str:
    offset = moment.utcoffset() or timedelta(0)
    if not offset and utc:
        return utc
    minutes = int(offset.total_seconds()) // 60
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}{separator}{abs(minutes) % 60:02d}"


def _format(template: Value, timestamp: Value) -> Value:
    moment, _ = parse_timestamp(timestamp.raw)
    out: list[str] = []
    at = 0
    while at < len(template.raw):
        found = _PIECE.match(template.raw, at)
        if found is None:
            raise FunctionFault("a quotation mark in a date format is not closed")
        if found[2]:
            out.append(_verb(found[0], moment))
        elif found[1] is not None:
            out.append(found[1].replace("''", "'"))
        else:
            out.append(found[0])
        at = found.end()
    return text("".join(out))


def _verb(verb: str, moment: datetime) -> str:
    twelve = (moment.hour + 11) % 12 + 1
    known = {
        "YYYY": f"{moment.year:04d}",
        "YY": f"{moment.year % 100:02d}",
        "MMMM": _MONTHS[moment.month - 1],
        "MMM": _MONTHS[moment.month - 1][:3],
        "MM": f"{moment.month:02d}",
        "M": str(moment.month),
        "DD": f"{moment.day:02d}",
        "D": str(moment.day),
        "EEEE": _DAYS[moment.weekday()],
        "EEE": _DAYS[moment.weekday()][:3],
        "hh": f"{moment.hour:02d}",
        "h": str(moment.hour),
        "HH": f"{twelve:02d}",
        "H": str(twelve),
        "AA": "PM" if moment.hour >= 12 else "AM",
        "aa": "pm" if moment.hour >= 12 else "am",
        "mm": f"{moment.minute:02d}",
        "m": str(moment.minute),
        "ss": f"{moment.second:02d}",
        "s": str(moment.second),
        "ZZZZZ": _offset(moment, ":", ""),
        "ZZZZ": _offset(moment, "", ""),
        "ZZZ": _offset(moment, "", "UTC"),
        "Z": _offset(moment, ":"),
    }
    if verb not in known:
        raise FunctionFault(
            f"a date format has no verb {verb!r}", hint="text that is no verb stands in single quotation marks"
        )
    return known[verb]


FUNCTIONS: Table = {
    "formatdate": Function(_format, (string("format"), string("time")), returns=STRING),
    "timeadd": Function(_add, (string("timestamp"), string("duration")), returns=STRING),
    "timecmp": Function(_compare, (string("timestamp_a"), string("timestamp_b")), returns=NUMBER),
}
