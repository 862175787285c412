"""How the rest of an instruction's line falls into pieces: flags, words, quoted words, an exec form.

Offsets are into the line's text, so that each piece can be placed. Nothing is expanded, and quotes stay, except in
flags, where quotes and escapes mean what they say. Source: BuildKit, frontend/dockerfile/parser (split_command.go,
line_parsers.go).
"""

import re
from functools import lru_cache
from math import isinf

from msgspec import Struct

from pipeyard.errors import DockerfileError
from pipeyard.image.dockerfile.lines import SPACE, SPACES, repeated
from pipeyard.patterns import later

Piece = tuple[int, str]
"""Offset and text."""

_BLANK = r"[\t\v\f\r ]"
_ASCII_SPACES = "\t\n\v\f\r "
_keyword = re.compile(rf"([^\t\v\f\r ]+){_BLANK}*").match
_words = re.compile(r"[^\t\v\f\r ]+").finditer
_blanks = later(rf"{_BLANK}+")
_exec_string = later('"' + repeated(r'[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})') + '"')
_lone_surrogate = later(r"[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]")


def split_keyword(text: str, start: int, end: int) -> tuple[str, int]:
    """The word at `start`, and the offset of what follows its blanks."""
    found = _keyword(text, start, end)
    if found is None:
        return "", end
    return found[1], found.end()


def split_flags(text: str, start: int, end: int, escape: str) -> tuple[tuple[str, ...], int]:
    """The words from `start` that begin with `--`, unquoted, and where the arguments begin. A bare `--` ends them."""
    position = _skip_spaces(text, start, _ASCII_SPACES)
    if not text.startswith("--", position):
        return (), _skip_spaces(text, position)
    patterns = _flag_patterns(escape)
    flags = []
    while found := patterns.flag.match(text, position, end):
        position = _skip_spaces(text, found.end(), _ASCII_SPACES)
        flag = found[0]
        if "'" in flag or '"' in flag or escape in flag:
            # First the quotes go, whose contents may hold the other kind of quote, then the escapes.
            flag = patterns.escaped.sub(r"\1", patterns.quoted.sub(r"\1\2\3", flag))
        if flag == "--":
            break
        flags.append(flag)
    return tuple(flags), _skip_spaces(text, position)


def _skip_spaces(text: str, start: int, spaces: str = SPACES) -> int:
    while start < len(text) and text[start] in spaces:
        start += 1
    return start


class _FlagPatterns(Struct, frozen=True):
    flag: re.Pattern[str]
    quoted: re.Pattern[str]
    escaped: re.Pattern[str]


@lru_cache(maxsize=2)
def _flag_patterns(escape: str) -> _FlagPatterns:
    e = re.escape(escape)
    single, double = repeated(rf"[^'{e}]++|{e}."), repeated(rf"[^\"{e}]++|{e}.")
    piece = rf"[^\s'\"{e}]++|{e}.|'{single}{e}?(?:'|\Z)|\"{double}{e}?(?:\"|\Z)"
    return _FlagPatterns(
        re.compile(rf"--{repeated(piece)}{e}?", re.DOTALL | re.ASCII),
        re.compile(rf"({e}.)|'({single}){e}?(?:'|\Z)|\"({double}){e}?(?:\"|\Z)", re.DOTALL),
        re.compile(rf"{e}(.?)", re.DOTALL),
    )


def split_words(text: str, start: int, end: int) -> list[Piece]:
    """Words between blanks; quotes mean nothing here."""
    return [(found.start(), found[0]) for found in _words(text, start, end)]


def split_quoted_words(text: str, start: int, end: int, escape: str) -> list[Piece]:
    """Words between white space that is neither quoted nor escaped. A last lone escape character is dropped."""
    return [(found.start(), found[1]) for found in _quoted_word(escape).finditer(text, start, end) if found[1]]


@lru_cache(maxsize=2)
def _quoted_word(escape: str) -> re.Pattern[str]:
    e = re.escape(escape)
    in_quotes = repeated(rf"[^\"{e}]++|{e}.")
    piece = rf"[^{SPACE}'\"{e}]++|{e}.|'[^']*+(?:'|\Z)|\"{in_quotes}(?:\"|(?={e}?\Z))"
    return re.compile(rf"(?=[^{SPACE}])({repeated(piece)}){e}?", re.DOTALL)


def split_pairs(text: str, start: int, end: int, keyword: str, escape: str) -> list[tuple[Piece, Piece, bool]]:
    """Name, value and whether it is the old form `NAME value` of ENV and LABEL.

    Raises DockerfileError for a word without `=` among words that have one, and for a name without value.
    """
    words = split_quoted_words(text, start, end, escape)
    if not words:
        return []
    if "=" not in words[0][1]:
        gap = _blanks.search(text, start, end)
        if gap is None:
            raise DockerfileError(f"{keyword} must have two arguments", hint=f"write {keyword} name=value")
        return [((start, text[start : gap.start()]), (gap.end(), text[gap.end() : end]), True)]
    pairs = []
    for offset, word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise DockerfileError(
                f'Syntax error - can\'t find = in "{word[:80]}". Must be of the form: name=value',
                hint="put quotes around a value with spaces",
            )
        pairs.append(((offset, name), (offset + len(name) + 1, value), False))
    return pairs


def split_exec_form(text: str, start: int, end: int) -> list[Piece] | None:
    """The strings of a JSON array; None when this is not JSON, and therefore shell form.

    Raises DockerfileError for a JSON array that holds anything else.
    """
    if not text.startswith("[", start):
        return None
    pieces: list[Piece] = []
    position = _skip_json_space(text, start + 1, end)
    if text.startswith("]", position):
        return pieces if _skip_json_space(text, position + 1, end) == end else None
    while found := _exec_string.match(text, position, end):
        value = _unescaped(found[0]) if "\\" in found[0] else found[0][1:-1]
        pieces.append((position, _lone_surrogate.sub("\ufffd", value) if "\\u" in found[0] else value))
        position = _skip_json_space(text, found.end(), end)
        if text.startswith("]", position):
            return pieces if _skip_json_space(text, position + 1, end) == end else None
        if not text.startswith(",", position):
            return None
        position = _skip_json_space(text, position + 1, end)
    if _is_json(text[start:end]):
        raise DockerfileError(
            "when using JSON array syntax, arrays must be comprised of strings only",
            hint="put quotes around each argument",
        )
    return None


def _skip_json_space(text: str, start: int, end: int) -> int:
    while start < end and text[start] in " \t\r\n":
        start += 1
    return start


def _unescaped(text: str) -> str:
    import json

    value: str = json.loads(text)
    return value


def _is_json(text: str) -> bool:
    """What Go's decoder takes: no NaN, no number beyond a float, no bottomless nesting."""
    import json

    try:
        json.loads(text, parse_constant=_refuse, parse_int=_float, parse_float=_float)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _float(number: str) -> float:
    value = float(number)
    if isinf(value):
        raise ValueError(number)
    return value
