"""Shell patterns of `${name#pattern}`, `${name%pattern}` and `${name/pattern/text}`: `*`, `?`, and no brackets.

Neither `*` nor `?` matches a line break. A pattern is a row of fixed pieces with a star between each two, so finding
each piece at its first (for the longest match: the last one at its last) possible position is enough; nothing ever
backtracks over more than one star. Source: BuildKit, frontend/dockerfile/shell/lex.go, which asks RE2 instead.
"""

import re
from collections.abc import Iterator

from pipeyard.errors import DockerfileError

_NOT_MANY = r"[^\n]*?"
_MANY = r"[^\n]*"


def drop_prefix(pattern: str, value: str, *, greedy: bool) -> str:
    """The value without the shortest, or longest, prefix that matches. Raises DockerfileError for a bad escape."""
    end = _end(_pieces(pattern), value, 0, greedy=greedy)
    return value if end is None else value[end:]


def drop_suffix(pattern: str, value: str, *, greedy: bool) -> str:
    """The value without the shortest, or longest, suffix that matches."""
    return drop_prefix(_reversed_pattern(pattern), value[::-1], greedy=greedy)[::-1]


def replace(pattern: str, text: str, value: str, *, everywhere: bool, limit: int) -> str:
    """The value with the first match, or all, replaced. `text` is a template as in Go's regexp when all are.

    Raises DockerfileError for a bad escape and for a result of more than `limit` characters.
    """
    pieces = _pieces(pattern)
    if not everywhere:
        first = next(_matches(pieces, value), None)
        return value if first is None else value[: first[0]] + text + value[first[1] :]
    out: list[str] = []
    size = last = 0
    for start, end in _matches(pieces, value):
        out.append(value[last:start])
        # An empty match that touches the one before it would be a second replacement of the same place.
        if end > last or start == 0:
            out.append(_template(text, value[start:end]))
            size += len(out[-1])
            if size > limit:
                raise DockerfileError(f"a replacement gives more than {limit} characters")
        last = end
    out.append(value[last:])
    return "".join(out)


def _pieces(pattern: str) -> list[str]:
    """The pattern's fixed pieces as regular expressions; between each two of them stands a star."""
    pieces = [""]
    position = 0
    while position < len(pattern):
        character = pattern[position]
        position += 1
        if character == "*":
            pieces.append("")
            continue
        if character == "\\":
            following = pattern[position : position + 1]
            if following and following in "}/":
                continue  # the escape was needed for the substitution, not for the pattern
            if not following or following not in "*?\\":
                raise DockerfileError(f"invalid escape \\{following} in the pattern {pattern!r} of a substitution")
            character = following
            position += 1
            pieces[-1] += re.escape(character)
        elif character == "?":
            pieces[-1] += r"[^\n]"
        else:
            pieces[-1] += re.escape(character)
    return pieces


def _end(pieces: list[str], value: str, start: int, *, greedy: bool) -> int | None:
    """Where the match that begins at `start` ends."""
    first, *others = pieces
    found = re.compile(first).match(value, start)
    for index, piece in enumerate(others):
        if found is None:
            return None
        star = _MANY if greedy and index == len(others) - 1 else _NOT_MANY
        found = re.compile(star + piece).match(value, found.end())
    return found.end() if found else None


def _matches(pieces: list[str], value: str) -> Iterator[tuple[int, int]]:
    """The leftmost match, then the next behind it, and so on; each as long as can be."""
    position = 0
    while position <= len(value):
        found = _first(pieces, value, position)
        if found is None:
            return
        yield found
        position = found[1] if found[1] > position else position + 1


def _first(pieces: list[str], value: str, position: int) -> tuple[int, int] | None:
    head = re.compile(pieces[0])
    while (found := head.search(value, position)) is not None:
        end = _end(pieces, value, found.start(), greedy=True)
        if end is not None:
            return found.start(), end
        # A star ends with its line: what did not follow here does not follow later on the same line either.
        line_end = value.find("\n", found.end())
        if line_end < 0:
            return None
        position = max(found.start() + 1, line_end + 1 - (found.end() - found.start()))
    return None


def _template(text: str, match: str) -> str:
    """`$0` is the match, other names are empty, `$$` is a dollar sign."""
    if "$" not in text:
        return text
    return re.sub(
        r"\$(?:\$|(\w+)|\{(\w+)\})",
        lambda found: "$" if found[0] == "$$" else match if (found[1] or found[2]).strip("0") == "" else "",
        text,
    )


def _reversed_pattern(pattern: str) -> str:
    """Backwards, but an escape still stands before what it escapes."""
    return "".join(re.findall(r"\\.|.", pattern, re.DOTALL)[::-1])
