"""Which here-documents a line opens. Source: BuildKit, frontend/dockerfile/parser/parser.go."""

import re

from msgspec import Struct

from pipeyard.errors import DockerfileError
from pipeyard.image.dockerfile.lexer import Dialect, lex
from pipeyard.image.dockerfile.lines import SPACE, repeated
from pipeyard.patterns import later

_opening = later(r"([0-9]*)<<(-?)[\t\n\f\r ]*([^<]*)")
_simple_name = later(r"(['\"]?)([A-Za-z0-9_.+-]+)\1")
_WITHOUT_QUOTES = Dialect(keep_unset=True)
_WITH_QUOTES = Dialect(keep_unset=True, keep_quotes=True)
_AS_WRITTEN = Dialect(keep_unset=True, keep_quotes=True, keep_escapes=True)

# A word of the line as the lexer would split it, as long as it holds no substitution with an operator.
_ESCAPED_OR_VARIABLE = r"\\.|\$[$@*#?\-!0-9]|\$\{[A-Za-z_][A-Za-z0-9_]*+\}|\$(?!\{)"
_IN_QUOTES = repeated(rf"[^\"\\$]++|{_ESCAPED_OR_VARIABLE}")
_PLAIN = rf"[^{SPACE}\\$<'\"]++|{_ESCAPED_OR_VARIABLE}|'[^']*+'|\"{_IN_QUOTES}\""
_OPENS_NOTHING = repeated(rf"{_PLAIN}|<(?!<)")
_words_before = later(repeated(rf"{_OPENS_NOTHING}[{SPACE}]++"), re.DOTALL)
_word = later(repeated(rf"{_PLAIN}|<<[\t\r ]*+|<"), re.DOTALL)


class Opening(Struct, frozen=True):
    """`<<name`, what it means, and its offset in the line."""

    name: str
    expand: bool
    chomp: bool
    fd: int
    offset: int


def openings(line: str) -> list[Opening]:
    """The here-documents that a line opens, in order. A line that the lexer cannot read opens none."""
    if "<<" not in line:
        return []
    found = []
    position = 0
    while position < len(line):
        before = _words_before.match(line, position)
        position = before.end() if before else position
        word = _word.match(line, position)
        end = word.end() if word else position
        if end == position and position < len(line):
            return _lexed_openings(line)
        opening = read_opening(line[position:end], position)
        if opening is not None:
            found.append(opening)
        position = end
    return found


def _lexed_openings(line: str) -> list[Opening]:
    try:
        words = lex(line, {}, _AS_WRITTEN, split=True).words
    except DockerfileError:
        return []
    found = []
    position = 0
    for word in words:
        offset = line.find(word, position)
        position = offset + len(word) if offset >= 0 else position
        opening = read_opening(word, max(offset, 0))
        if opening is not None:
            found.append(opening)
    return found


def read_opening(word: str, offset: int = 0) -> Opening | None:
    """The here-document that a word opens, if it does. Raises DockerfileError for a name that cannot be read."""
    match = _opening.fullmatch(word)
    if match is None or not match[3]:
        return None
    fd = int(match[1][-9:] or "0")
    if simple := _simple_name.fullmatch(match[3]):
        return Opening(simple[2], not simple[1], match[2] == "-", fd, offset)
    names = lex(match[3], {}, _WITHOUT_QUOTES, split=True).words
    if len(names) != 1:
        return None
    quoted = lex(match[3], {}, _WITH_QUOTES, split=True).words
    expand = len(quoted) == 1 and _quotes(names[0]) == _quotes(quoted[0])
    return Opening(names[0], expand, match[2] == "-", fd, offset)


def _quotes(text: str) -> int:
    return text.count("'") + text.count('"')
