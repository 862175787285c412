"""Regular expressions of RE2, searched in time proportional to the text.

Terraform's are Go's `regexp`, which reads RE2's syntax; the library here is RE2 itself. CloudFormation's are Java's,
most of which RE2 reads as well. Two differences are Go's: no `\\C`, and an empty match that touches the match before
it is none. Source: RE2, "Syntax"; Go, package regexp.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from msgspec import Struct

_ONE_BYTE = re.compile(r"(?<!\\)(?:\\\\)*\\C")  # would cut a letter in two; Go has it not
_TEMPLATE = re.compile(r"\$(?:(\$)|([A-Za-z0-9_]+)|\{([A-Za-z0-9_]+)\})")


class PatternError(ValueError):
    """The pattern is none of RE2's."""


class Match(Struct, frozen=True):
    """Where a pattern fits (characters, end exclusive), and the text of each group; group 0 is all of it."""

    start: int
    end: int
    groups: tuple[str | None, ...]


class Pattern(Struct, frozen=True):
    """`groups` counts them without group 0; `names` gives the index of each that has a name."""

    groups: int
    names: dict[str, int]
    program: Any  # re2's compiled pattern; the library has no types

    def search(self, text: str) -> Match | None:
        return next(self.matches(text), None)

    def matches(self, text: str) -> Iterator[Match]:
        """All matches in order, none inside another."""
        last_end = -1
        for found in self.program.finditer(_encodable(text)):
            start, end = found.span()
            if end > start or start != last_end:
                last_end = end
                yield Match(start, end, (found[0], *found.groups()))


@cache
def compile_pattern(pattern: str) -> Pattern:
    """Raises PatternError with RE2's reason."""
    import re2

    if _ONE_BYTE.search(pattern):
        raise PatternError(f"{pattern!r} is no regular expression: invalid escape sequence: \\C")
    options = re2.Options()
    options.log_errors = False
    try:
        program = re2.compile(_encodable(pattern), options=options)
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error)
        raise PatternError(f"{pattern!r} is no regular expression: {reason}") from error
    return Pattern(program.groups, program.groupindex, program)


def replace_all(pattern: Pattern, text: str, replacement: str) -> str:
    """Every match replaced; `$1`, `${1}` and `${name}` stand for groups, `$$` for a dollar sign."""
    out: list[str] = []
    at = 0
    for match in pattern.matches(text):
        out.append(text[at : match.start])
        out.append(_TEMPLATE.sub(lambda found, match=match: _group(pattern, match, found), replacement))  # type: ignore[misc]
        at = match.end
    return "".join([*out, text[at:]])


def _group(pattern: Pattern, match: Match, found: re.Match[str]) -> str:
    if found[1]:
        return "$"
    name = found[2] or found[3]
    index = int(name) if name.isdigit() and len(name) < 9 else pattern.names.get(name, -1)
    return (match.groups[index] or "") if 0 <= index <= pattern.groups else ""


def _encodable(text: str) -> str:
    """A half of a surrogate pair, which JSON's escapes can spell, is no character: Go reads U+FFFD."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
