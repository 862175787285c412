"""The shell-like language inside words: quotes, escapes, `$name` and `${name...}`.

It resembles a shell and is none: `${x/a/b}` takes shell patterns, `$(...)` means nothing, a default in `${x:-...}` is
always looked at. Accidents of BuildKit that decide results are kept. The lexer holds its own stack, so that depth of
nesting costs memory, not the interpreter's stack, and joins no text twice.
Source: BuildKit, frontend/dockerfile/shell/lex.go, and envVarTest and wordsTest beside it.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NoReturn

from msgspec import Struct

from pipeyard.errors import DockerfileError
from pipeyard.image.dockerfile.lines import SPACE
from pipeyard.image.dockerfile.shell_pattern import drop_prefix, drop_suffix, replace
from pipeyard.patterns import later

RESULT_LIMIT = 16 * 1024 * 1024
"""Characters that variables may contribute to one word; doubling a variable line by line ends here."""

SUBSTITUTIONS_LIMIT = 500_000
"""Variables and escapes in one word, or in the body of one heredoc."""

_SPECIAL_PARAMETERS = "@*#?-$!0"
_ascii_name = re.compile(r"[A-Za-z0-9_]*").match
_heredoc_mark = re.compile(r"<(?:<[\t\r ]*)?").match
_spaces = later(f"[{SPACE}]+")


class Dialect(Struct, frozen=True, kw_only=True):
    """How to read a word. The defaults are those for an instruction's arguments."""

    escape: str = "\\"
    quotes: bool = True  # False: quotes are ordinary characters, as in the body of a heredoc
    keep_quotes: bool = False  # quotes work and stay in the result
    keep_escapes: bool = False
    keep_unset: bool = False  # `$name` stays as it is when there is no such variable


class Lexed(Struct, frozen=True):
    """`words` only when splitting was asked for. `used` were set, `undefined` were not."""

    text: str
    words: tuple[str, ...]
    used: frozenset[str]
    undefined: frozenset[str]


class _Frame:
    """An open quote or substitution. `start` is where its output begins."""

    __slots__ = ("keep_escapes", "name", "operator", "pattern", "start", "stop", "word")

    def __init__(self, stop: str, start: int, keep_escapes: bool, name: str = "", operator: str = "") -> None:
        self.stop = stop  # the character that closes it; "" at the end of the word
        self.start = start
        self.keep_escapes = keep_escapes
        self.name = name
        self.operator = operator
        self.pattern = ""  # of a replacement, while its second part is read
        self.word = start  # where the output of what follows the operator begins


def lex(word: str, variables: Mapping[str, str], dialect: Dialect, *, split: bool = False) -> Lexed:
    """Expands one word, or splits it after expansion.

    Raises DockerfileError, without place, for an open quote or brace, an operator that does not exist, and `${x:?}`.
    """
    if len(word) > SUBSTITUTIONS_LIMIT and word.count("$") + word.count(dialect.escape) > SUBSTITUTIONS_LIMIT:
        raise DockerfileError(
            f"more than {SUBSTITUTIONS_LIMIT} variables and escapes in one text",
            hint="quote the heredoc's name, <<'EOF', when nothing in it is to be replaced",
        )
    return _Lexer(word.removeprefix("\ufeff"), variables, dialect, split).run()


class _Lexer:
    def __init__(self, source: str, variables: Mapping[str, str], dialect: Dialect, split: bool) -> None:
        self.source = source
        self.position = 0
        self.variables = variables
        self.dialect = dialect
        self.used: set[str] = set()
        self.undefined: set[str] = set()
        self.out: list[str] = []
        self.grown = 0
        self.frames = [_Frame("", 0, dialect.keep_escapes)]
        self.split = split
        self.words: list[str] = []
        self.partial: list[str] = []  # the word that splitting is in

    def run(self) -> Lexed:
        source, end = self.source, len(self.source)
        quoted = _ordinary(self.dialect.escape, '"', False, False)
        while True:
            frame = self.frames[-1]
            in_quote = frame.stop == '"'
            ordinary = quoted
            if not in_quote:
                ordinary = _ordinary(self.dialect.escape, frame.stop, self.dialect.quotes, self.split)
            found = ordinary(source, self.position)
            if found is not None:
                self.position = found.end()
                self.add(found[0])
            if self.position >= end:
                if not frame.stop:
                    break
                self.fail(f"unexpected end of statement while looking for the closing {frame.stop}")
            character = source[self.position]
            if character == frame.stop:
                self.position += 1
                self.close(self.frames.pop())
            elif character == "$":
                self.dollar()
            elif character == self.dialect.escape:
                self.escaped(in_quote, frame.keep_escapes)
            elif character == "<":
                mark = _heredoc_mark(source, self.position)
                assert mark is not None
                self.position = mark.end()
                self.add_whole(mark[0])
            elif character == "'":
                self.single_quote()
            else:
                self.position += 1
                self.frames.append(_Frame('"', len(self.out), frame.keep_escapes))
                if self.dialect.keep_quotes:
                    self.out.append('"')
        if self.partial:
            self.end_word()
        return Lexed("".join(self.out), tuple(self.words), frozenset(self.used), frozenset(self.undefined))

    def fail(self, message: str) -> NoReturn:
        """Raises. At the end of the word what is missing is the brace that was opened first."""
        if self.position >= len(self.source):
            for frame in self.frames:
                if frame.operator:
                    message = f"syntax error: missing '{frame.stop}' in substitution of {frame.name or '?'}"
                    break
        raise DockerfileError(f"{message}, in {_shortened(self.source)}")

    # Output. Only the outermost level splits: what lies in a quote or brace is split, or not, when that closes.

    def add(self, text: str) -> None:
        self.out.append(text)
        if self.split and len(self.frames) == 1:
            self.split_into_words(text)

    def add_whole(self, text: str) -> None:
        self.out.append(text)
        if self.split and len(self.frames) == 1 and text:
            self.partial.append(text)

    def split_into_words(self, text: str) -> None:
        first, *others = _spaces.split(text)
        if first:
            self.partial.append(first)
        for piece in others:
            if self.partial:
                self.end_word()
            if piece:
                self.partial.append(piece)

    def end_word(self) -> None:
        self.words.append("".join(self.partial))
        self.partial.clear()

    # What begins with a character that means something.

    def escaped(self, in_quote: bool, keep_escapes: bool) -> None:
        escape = self.dialect.escape
        following = self.source[self.position + 1 : self.position + 2]
        self.position += 2
        if in_quote:
            # Within quotes only a few characters can be escaped; before all others the escape character is itself.
            if following and following in f'"${escape}':
                self.out.append(escape + following if keep_escapes else following)
            elif following:
                self.position -= 1
                self.out.append(escape * 2 if keep_escapes else escape)
            elif keep_escapes:
                self.out.append(escape)
            return
        self.add_whole(escape + following if keep_escapes else following)

    def single_quote(self) -> None:
        end = self.source.find("'", self.position + 1)
        if end < 0:
            self.position = len(self.source)
            self.fail("unexpected end of statement while looking for the closing '")
        keep = self.dialect.keep_quotes
        self.add_whole(self.source[self.position : end + 1] if keep else self.source[self.position + 1 : end])
        self.position = end + 1

    def dollar(self) -> None:
        """`$name`, or the head of `${name...}` up to the word after its operator."""
        source = self.source
        self.position += 1
        if not source.startswith("{", self.position):
            name = self.name()
            if not name:
                self.add("$")
            elif (value := self.value(name)) is not None:
                self.add(value)
            else:
                self.add("$" + name if self.dialect.keep_unset else "")
            return
        self.position += 1
        if self.position >= len(source):
            self.fail("syntax error: missing '}' in substitution")
        if source[self.position] in "{}:":
            self.fail("syntax error: bad substitution")
        name = self.name()
        operator = source[self.position : self.position + 1]
        self.position += 1
        if operator == "}":
            value = self.value(name)
            if value is None:
                value = f"${{{name}}}" if self.dialect.keep_unset else ""
            self.add(value)
            return
        if operator == "/":
            if source.startswith("/", self.position):
                self.position += 1
                operator = "//"
            self.open("/", name, operator, keep_escapes=True)
            return
        if operator == ":":
            operator += source[self.position : self.position + 1]
            self.position += 1
        if operator in ("", ":"):
            self.fail("syntax error: missing '}' in substitution")
        if operator in (":#", ":%") or (operator[0] != ":" and operator not in "+-?#%"):
            self.fail(f"unsupported modifier ({operator}) in substitution of {name or '?'}")
        self.open("}", name, operator, keep_escapes=operator in "#%")

    def name(self) -> str:
        """The name at the position, and passes it: letters, digits, underscores; or digits; or one special."""
        source, start = self.source, self.position
        following = source[start : start + 1]
        if following.isdecimal():
            end = start + 1
            while end < len(source) and source[end].isdecimal():
                end += 1
        elif following and following in _SPECIAL_PARAMETERS:
            end = start + 1
        else:
            end = start
            while True:
                found = _ascii_name(source, end)
                end = found.end() if found else end
                if end >= len(source) or not (source[end].isalpha() or source[end].isdecimal()):
                    break
                end += 1
        self.position = end
        return source[start:end]

    def value(self, name: str) -> str | None:
        value = self.variables.get(name)
        if value is None:
            self.undefined.add(name)
            return None
        self.used.add(name)
        self.grown += len(value)
        if self.grown > RESULT_LIMIT:
            self.fail(f"variables expand to more than {RESULT_LIMIT} characters")
        return value

    def open(self, stop: str, name: str, operator: str, *, keep_escapes: bool) -> None:
        self.out.append("")  # room for the head, should the whole be kept as written
        self.frames.append(_Frame(stop, len(self.out), keep_escapes, name, operator))
        # BuildKit's splitter forgets the part of a word that stands before a substitution with an operator.
        self.partial.clear()

    # The other end of quotes and substitutions.

    def close(self, frame: _Frame) -> None:
        if frame.stop == '"':
            if self.dialect.keep_quotes:
                self.out.append('"')
            if self.split and len(self.frames) == 1 and (text := "".join(self.out[frame.start :])):
                self.partial.append(text)
        elif frame.stop == "/":
            second = _Frame("}", frame.start, True, frame.name, frame.operator)
            second.pattern = "".join(self.out[frame.start :])
            self.out.append("/")
            second.word = len(self.out)
            self.frames.append(second)
        else:
            self.substitute(frame)
            if self.split and len(self.frames) == 1:
                self.split_into_words("".join(self.out[frame.start - 1 :]))

    def substitute(self, frame: _Frame) -> None:
        """Keeps the word that was read after the operator, or puts something else in its place."""
        operator = frame.operator[-1]
        value = self.value(frame.name)
        if value is None and self.dialect.keep_unset:
            self.out[frame.start - 1] = "${" + frame.name + ("/" if frame.operator == "//" else frame.operator)
            self.out.append("}")
            return
        absent = value is None or (value == "" and frame.operator[0] == ":")
        if operator in "-+":
            if absent == (operator == "+"):
                self.instead(frame, "" if absent else value or "")
            return
        word = "".join(self.out[frame.word :])
        if operator == "?":
            if absent:
                reason = "is not allowed to be unset" if value is None else "is not allowed to be empty"
                self.fail(f"{frame.name}: {word or reason}")
            self.instead(frame, value or "")
        elif operator in "#%":
            greedy = word.startswith(operator)
            drop = drop_prefix if operator == "#" else drop_suffix
            self.instead(frame, drop(word[1:] if greedy else word, value or "", greedy=greedy))
        elif frame.operator in ("/", "//"):
            everywhere = frame.operator == "//"
            text = replace(frame.pattern, word, value or "", everywhere=everywhere, limit=RESULT_LIMIT)
            self.instead(frame, text)
        else:
            self.fail(f"unsupported modifier ({frame.operator}) in substitution of {frame.name}")

    def instead(self, frame: _Frame, text: str) -> None:
        del self.out[frame.start :]
        self.out.append(text)


def _shortened(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")


@lru_cache(maxsize=32)
def _ordinary(escape: str, stop: str, quotes: bool, split: bool) -> Callable[[str, int], re.Match[str] | None]:
    special = {"$", escape, stop}
    if stop != '"':
        special |= {"'", '"'} if quotes else set()
        special |= {"<"} if split else set()  # a heredoc's mark is whole, whatever white space follows it
    return re.compile(f"[^{re.escape(''.join(sorted(special)))}]+").match
