"""Words and marks of Terraform's language, one at a time, with one of look-ahead.

The parser asks; so newlines can be seen or skipped as the construct demands, and templates can be read as text.
"""

import re

from msgspec import Struct

from pipeyard.definition.terraform.syntax import Source, Span
from pipeyard.errors import InputError

MAX_DEPTH = 80
"""Levels of nesting; deeper text is an attack or an accident, and would exhaust the stack."""

_COMMENT = r"(?:#|//)[^\n]*|/\*(?s:.*?)\*/"
# One piece at a time, so that no text makes the matcher remember all of it.
_SPACE = re.compile(rf"[ \t]+|\r(?=\n)|{_COMMENT}")
_SPACE_AND_LINES = re.compile(rf"[ \t\n]+|\r(?=\n)|{_COMMENT}")
_TOKEN = re.compile(
    r"(?P<newline>\n)"
    r"|(?P<name>[^\W\d][\w-]*)"
    r"|(?P<number>[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<heredoc><<-?[^\W\d][\w-]*[ \t]*\r?\n)"
    r"|(?P<mark>&&|\|\||==|!=|<=|>=|=>|\.\.\.|::|[{}\[\]()=<>+\-*/%!?:,.~\"])"
)


class Token(Struct, frozen=True):
    kind: str  # newline, name, number, heredoc, mark, end
    text: str
    start: int
    end: int


class Scanner:
    def __init__(self, source: Source, start: int = 0, end: int | None = None) -> None:
        self.source = source
        self.text = source.text
        self.limit = len(self.text) if end is None else end
        self.at = start  # everything before was consumed
        self.depth = 0
        self._lines_matter = [True]
        self._next: Token | None = None
        if start == 0 and self.text.startswith("\ufeff"):
            self.at = 1

    def peek(self) -> Token:
        if self._next is None:
            self._next = self._scan()
        return self._next

    def take(self) -> Token:
        token = self.peek()
        self.at = token.end
        self._next = None
        return token

    def sees(self, *texts: str) -> bool:
        token = self.peek()
        return token.kind == "mark" and token.text in texts

    def accept(self, text: str) -> Token | None:
        return self.take() if self.sees(text) else None

    def expect(self, text: str, message: str, hint: str = "") -> Token:
        if not self.sees(text):
            raise self.wrong(message, hint)
        return self.take()

    def jump(self, offset: int) -> None:
        """Goes on from an offset, after somebody has read the text before it in a way of their own."""
        self.at = offset
        self._next = None

    def lines_matter(self, matter: bool) -> None:
        """Enters a construct in which a newline is a token, or is space."""
        self._lines_matter.append(matter)
        self._next = None

    def leave(self) -> None:
        self._lines_matter.pop()
        self._next = None

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise InputError(f"nested more than {MAX_DEPTH} levels deep", place=self.source.place(self.at))

    def span(self, start: int) -> Span:
        return Span(self.source, start, self.at)

    def wrong(self, message: str, hint: str = "") -> InputError:
        token = self.peek()
        found = {"end": "the end", "newline": "the end of the line"}.get(token.kind, repr(token.text.strip()))
        return InputError(f"{message}, not {found}", place=self.source.place(token.start), hint=hint)

    def _scan(self) -> Token:
        match = (_SPACE if self._lines_matter[-1] else _SPACE_AND_LINES).match
        start = self.at
        while space := match(self.text, start, self.limit):
            start = space.end()
        if start >= self.limit:
            return Token("end", "", start, start)
        found = _TOKEN.match(self.text, start, self.limit)
        if found is None or found.lastgroup is None:
            raise InputError(
                f"{self.text[start]!r} is no character of this language",
                place=self.source.place(start),
                hint="text stands in double quotes" if self.text[start] == "'" else "",
            )
        if found[0] == "/" and self.text.startswith("/*", start):
            raise InputError("a comment that begins here has no end", place=self.source.place(start))
        return Token(found.lastgroup, found[0], start, found.end())
