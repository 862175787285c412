"""Shell patterns of `${name#pattern}`, `${name%pattern}` and `${name/pattern/text}`: `*`, `?`, and no brackets.

Neither `*` nor `?` matches a line break. A pattern is a row of fixed pieces with a star between each two, so finding
each piece at its first (for the longest match: the last one at its last) possible position is enough; nothing ever
backtracks over more than one star. Source: BuildKit, frontend/dockerfile/shell/lex.go, which asks RE2 instead.
"""

import re
from collections.abc import Iterator

from msgspec import Struct

from pipeyard.errors import DockerfileError
from pipeyard.patterns import later

_name_in_template = later(r"\$(?:\$|(\w+)|\{(\w+)\})")
_NOT_MANY = r"[^\n]*?"
_MANY = r"[^\n]*"

WORK_LIMIT = 200_000_000
"""Characters of a pattern times those of the value that it is looked for in, at most: what a second is enough for."""

_SHORT = 64  # a pattern that is worth no such question


class _Row(Struct, frozen=True):
    """A pattern: its first fixed piece, and each further one with the star before it; the last star is greedy or not.

    Of three things that one pattern stands for, each is compiled once: a value may have a million matches.
    """

    head: re.Pattern[str]
    others: tuple[re.Pattern[str], ...]
    last: re.Pattern[str] | None  # the last of `others` after a greedy star

    def end(self, value: str, start: int, *, greedy: bool) -> int | None:
        """Where the match that begins at `start` ends."""
        found = self.head.match(value, start)
        for index, other in enumerate(self.others):
            if found is None:
                return None
            if greedy and self.last is not None and index == len(self.others) - 1:
                other = self.last
            found = other.match(value, found.end())
        return found.end() if found else None


def drop_prefix(pattern: str, value: str, *, greedy: bool) -> str:
    """The value without the shortest, or longest, prefix that matches. Raises DockerfileError for a bad escape."""
    end = _row(pattern, value).end(value, 0, greedy=greedy)
    return value if end is None else value[end:]


def drop_suffix(pattern: str, value: str, *, greedy: bool) -> str:
    """The value without the shortest, or longest, suffix that matches."""
    return drop_prefix(_reversed_pattern(pattern), value[::-1], greedy=greedy)[::-1]


def replace(pattern: str, text: str, value: str, *, everywhere: bool, limit: int) -> str:
    """The value with the first match, or all, replaced. `text` is a template as in Go's regexp when all are.

    Raises DockerfileError for a bad escape, and for a result of more than `limit` characters.
    """
    row = _row(pattern, value)
    if not everywhere:
        first = next(_matches(row, value), None)
        return value if first is None else value[: first[0]] + text + value[first[1] :]
    template = _template(text)
    out: list[str] = []
    size = last = 0
    for start, end in _matches(row, value):
        out.append(value[last:start])
        # An empty match that touches the one before it would be a second replacement of the same place.
        if end > last or start == 0:
            out.append(value[start:end].join(template))
            size += len(out[-1])
            if size > limit:
                raise DockerfileError(f"a replacement gives more than {limit} characters")
        last = end
    out.append(value[last:])
    return "".join(out)


def _row(pattern: str, value: str) -> _Row:
    """Raises DockerfileError for a bad escape, and where finding the pattern could take minutes."""
    if len(pattern) > _SHORT and len(pattern) * len(value) > WORK_LIMIT:
        raise DockerfileError(
            f"a pattern of {len(pattern)} characters is too long for a value of {len(value)}",
            hint="change the value in a RUN, with sed",
        )
    first, *others = _pieces(pattern)
    return _Row(
        re.compile(first),
        tuple(re.compile(_NOT_MANY + piece) for piece in others),
        re.compile(_MANY + others[-1]) if others else None,
    )


def _pieces(pattern: str) -> list[str]:
    """The pattern's fixed pieces as regular expressions; between each two of them stands a star."""
    pieces: list[list[str]] = [[]]
    position = 0
    while position < len(pattern):
        character = pattern[position]
        position += 1
        if character == "*":
            pieces.append([])
            continue
        if character == "\\":
            following = pattern[position : position + 1]
            if following and following in "}/":
                continue  # the escape was needed for the substitution, not for the pattern
            if not following or following not in "*?\\":
                raise DockerfileError(f"invalid escape \\{following} in the pattern {pattern!r} of a substitution")
            character = following
            position += 1
            pieces[-1].append(re.escape(character))
        elif character == "?":
            pieces[-1].append(r"[^\n]")
        else:
            pieces[-1].append(re.escape(character))
    return ["".join(piece) for piece in pieces]


def _matches(row: _Row, value: str) -> Iterator[tuple[int, int]]:
    """The leftmost match, then the next behind it, and so on; each as long as can be."""
    position = 0
    while position <= len(value):
        found = _first(row, value, position)
        if found is None:
            return
        yield found
        position = found[1] if found[1] > position else position + 1


def _first(row: _Row, value: str, position: int) -> tuple[int, int] | None:
    while (found := row.head.search(value, position)) is not None:
        end = row.end(value, found.start(), greedy=True)
        if end is not None:
            return found.start(), end
        # A star ends with its line: what did not follow here does not follow later on the same line either.
        line_end = value.find("\n", found.end())
        if line_end < 0:
            return None
        position = max(found.start() + 1, line_end + 1 - (found.end() - found.start()))
    return None


def _template(text: str) -> list[str]:
    """The texts between which the match stands: `$0` is the match, other names are empty, `$$` is a dollar sign."""
    out: list[list[str]] = [[]]
    last = 0
    for found in _name_in_template.finditer(text):
        out[-1].append(text[last : found.start()])
        last = found.end()
        if found[0] == "$$":
            out[-1].append("$")
        elif (found[1] or found[2]).strip("0") == "":
            out.append([])
    out[-1].append(text[last:])
    return ["".join(part) for part in out]


def _reversed_pattern(pattern: str) -> str:
    """Backwards, but an escape still stands before what it escapes."""
    return "".join(re.findall(r"\\.|.", pattern, re.DOTALL)[::-1])
