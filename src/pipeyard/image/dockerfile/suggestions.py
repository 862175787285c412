"""The known name that somebody probably meant. Source: BuildKit, util/suggest."""

from collections.abc import Iterable

_CLOSE = 3  # edits; from here on it is another word


def suggestion(given: str, known: Iterable[str]) -> str:
    """The closest of the known names, "" when none is close. Case decides nothing."""
    best = ""
    least = _CLOSE
    for name in sorted(known):
        if abs(len(name) - len(given)) < least and (distance := _distance(given.lower(), name.lower())) < least:
            best, least = name, distance
    return best


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """The suggestion as a hint, "" when there is none."""
    name = suggestion(given, known)
    return f"did you mean {name}?" if name else ""


def _distance(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, right in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (left != right))
    return row[-1]
