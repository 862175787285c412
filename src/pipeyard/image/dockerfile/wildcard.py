"""Wildcards in the sources of COPY and ADD, and in one part of a path: Go's filepath.Match.

`*` and `?` never match a slash, `[a-z]` and `[^a-z]` match one character of a set, a backslash escapes. There is no
`**` and no `[!a]`. Source: Go, path/filepath/match.go.
"""

import re
from functools import lru_cache

from pipeyard.errors import DockerfileError
from pipeyard.patterns import later

_unescaped = later(r"[*?\[\\]")
_may_be_wrong = later(r"[\[\\]")
_range_character = r"(?:\\(.)|([^\\\-\]]))"
_range = later(rf"{_range_character}(?:-{_range_character})?", re.DOTALL)


def has_wildcard(path: str) -> bool:
    """Whether a source is a pattern at all; BuildKit lists folders only for those."""
    return _unescaped.search(path) is not None


PATTERN_LIMIT = 16_384
"""Characters of a pattern; a path has no more than 4096."""


def matches(pattern: str, name: str) -> bool:
    """Whether all of `name` matches. Raises DockerfileError for a pattern that is none."""
    return compile_wildcard(pattern).fullmatch(name) is not None


@lru_cache(maxsize=256)
def compile_wildcard(pattern: str) -> re.Pattern[str]:
    """The pattern as a regular expression for `fullmatch`; any number of stars costs no backtracking.

    Raises DockerfileError for an open bracket, an empty set, a lone backslash at the end.
    """
    if len(pattern) > PATTERN_LIMIT:
        raise DockerfileError(f"a pattern longer than {PATTERN_LIMIT} characters, which no path is")
    pieces, star_at_end = _pieces(pattern)
    return re.compile(_assembled(pieces, star_at_end), re.DOTALL)


def check_wildcard(pattern: str) -> None:
    """Raises DockerfileError as `compile_wildcard` does, and costs a tenth."""
    if _may_be_wrong.search(pattern):
        _pieces(pattern)


def _pieces(pattern: str) -> tuple[list[str], bool]:
    """Expressions, each with a star in front where the pattern has one there; and whether one stands at the end."""
    out: list[str] = []
    star = False
    position = 0
    while position < len(pattern):
        character = pattern[position]
        if character == "*":
            star = True
            position += 1
            continue
        piece, position = _piece(pattern, position)
        out.append(("*" if star else "") + piece)
        star = False
    return out, star


def _assembled(pieces: list[str], star_at_end: bool) -> str:
    # A star followed by a fixed run is settled at the run's first occurrence: an atomic group forbids to look for
    # another one. Only the run before the end must be free to be found late.
    runs: list[str] = [""]
    for piece in pieces:
        if piece.startswith("*"):
            runs.append(piece[1:])
        else:
            runs[-1] += piece
    if star_at_end:
        runs.append("")
    first, *others = runs
    if not others:
        return first
    middle = "".join(f"(?>[^/]*?{run})" for run in others[:-1])
    return f"{first}{middle}[^/]*{others[-1]}"


def _piece(pattern: str, position: int) -> tuple[str, int]:
    character = pattern[position]
    if character == "?":
        return "[^/]", position + 1
    if character == "\\":
        if position + 1 == len(pattern):
            raise DockerfileError(f"syntax error in pattern {pattern!r}: nothing follows the backslash")
        return re.escape(pattern[position + 1]), position + 2
    if character == "[":
        return _set(pattern, position)
    return re.escape(character), position + 1


def _set(pattern: str, start: int) -> tuple[str, int]:
    position = start + 1
    negated = pattern.startswith("^", position)
    position += negated
    ranges: list[str] = []
    while not (ranges and pattern.startswith("]", position)):
        found = _range.match(pattern, position)
        if found is None:
            raise DockerfileError(f"syntax error in pattern {pattern!r}: a bracket that is not closed, or is empty")
        low = found[1] or found[2]
        high = found[3] or found[4] or low
        if low <= high:
            ranges.append(f"{re.escape(low)}-{re.escape(high)}")
        else:
            ranges.append("")
        position = found.end()
    inside = "".join(ranges)
    if not inside:
        return ("(?s:.)" if negated else "(?!)"), position + 1
    return f"[{'^' if negated else ''}{inside}]", position + 1
