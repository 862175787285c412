"""Templates: quoted strings, heredocs and whole files with `${...}` and `%{...}` in them.

Source: HCL Native Syntax Specification, "Templates". White space that `~` strips is that of the neighbouring piece of
text, which in heredocs and files ends with its line.
"""

import re
import unicodedata
from collections.abc import Callable
from itertools import pairwise

from msgspec import Struct, structs

from pipeyard.definition.terraform.scanner import Scanner
from pipeyard.definition.terraform.syntax import (
    Expression,
    Literal,
    Span,
    Template,
    TemplateFor,
    TemplateIf,
    Wrap,
)
from pipeyard.errors import InputError

ParseExpression = Callable[[Scanner], Expression]

_QUOTED_TEXT = re.compile(r'[^"\\$%\n]+')
_LINE_TEXT = re.compile(r"[^$%\n]+")
_ESCAPE = re.compile(r'\\(?:([nrt"\\])|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))')
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}


class _Text(Struct):
    text: str
    span: Span


class _Sequence(Struct):
    """`${...}`, or a directive with its word (if, else, endif, for, endfor)."""

    word: str
    span: Span
    value: Expression | None = None
    names: tuple[str, ...] = ()
    strips_before: bool = False
    strips_after: bool = False


_Piece = _Text | _Sequence


def parse_quoted(scanner: Scanner, parse: ParseExpression) -> Expression:
    """From an opening quotation mark, which is the next token, to the closing one."""
    start = scanner.take().start
    pieces: list[_Piece] = []
    at = scanner.at
    text = scanner.text
    parts: list[str] = []
    part_start = at

    def flush(end: int) -> None:
        if parts:
            pieces.append(_Text("".join(parts), Span(scanner.source, part_start, end)))
            parts.clear()

    while True:
        if not parts:
            part_start = at
        if at >= scanner.limit or text[at] == "\n":
            raise InputError("this string has no closing quotation mark on its line", place=scanner.source.place(start))
        if found := _QUOTED_TEXT.match(text, at, scanner.limit):
            parts.append(found[0])
            at = found.end()
        elif text[at] == '"':
            flush(at)
            scanner.jump(at + 1)
            break
        elif text[at] == "\\":
            escape = _ESCAPE.match(text, at, scanner.limit)
            if escape is None:
                raise InputError(
                    f"{text[at : at + 2]!r} is no escape sequence",
                    place=scanner.source.place(at),
                    hint="a backslash itself is written \\\\",
                )
            parts.append(_ESCAPED[escape[1]] if escape[1] else _character(escape[2] or escape[3], scanner, at))
            at = escape.end()
        elif text.startswith(("$${", "%%{"), at):
            parts.append(text[at + 1 : at + 3])
            at += 3
        elif text.startswith(("${", "%{"), at):
            flush(at)
            scanner.jump(at)
            pieces.append(_sequence(scanner, parse))
            at = scanner.at
        else:
            parts.append(text[at])
            at += 1
    return _finished(pieces, Span(scanner.source, start, scanner.at), wraps=True)


def parse_heredoc(scanner: Scanner, parse: ParseExpression) -> Expression:
    """From `<<EOF` or `<<-EOF`, which is the next token, to the line that consists of the same word."""
    opening = scanner.take()
    indented = opening.text.startswith("<<-")
    word = opening.text.lstrip("<").removeprefix("-").strip()
    closing = re.compile(rf"[ \t]*{re.escape(word)}[ \t]*(?=\r?\n|\Z)")
    pieces: list[_Piece] = []
    scanner.jump(opening.end)
    while True:
        found = closing.match(scanner.text, scanner.at, scanner.limit)
        if found:
            scanner.jump(found.end())
            break
        if scanner.at >= scanner.limit:
            place = scanner.source.place(opening.start)
            raise InputError(f"this heredoc has no closing line {word}", place=place)
        _line(scanner, parse, pieces)
    _strip(pieces)
    if indented:
        _unindent(pieces)
    return _finished(pieces, Span(scanner.source, opening.start, scanner.at), wraps=False)


def parse_text(scanner: Scanner, parse: ParseExpression) -> Expression:
    """The whole of a source as a template, as `templatefile` takes it."""
    pieces: list[_Piece] = []
    while scanner.at < scanner.limit:
        _line(scanner, parse, pieces)
    return _finished(pieces, Span(scanner.source, 0, scanner.at), wraps=True)


def _character(digits: str, scanner: Scanner, at: int) -> str:
    code = int(digits, 16)
    if code > 0x10FFFF:
        raise InputError(f"{digits} is no character of Unicode", place=scanner.source.place(at))
    return "\ufffd" if 0xD800 <= code < 0xE000 else chr(code)


def _line(scanner: Scanner, parse: ParseExpression, pieces: list[_Piece]) -> None:
    """The rest of a line with its newline; sequences in it may span more lines."""
    text = scanner.text
    at = part_start = scanner.at
    parts: list[str] = []

    def flush() -> None:
        if parts:
            pieces.append(_Text("".join(parts), Span(scanner.source, part_start, at)))
            parts.clear()

    while at < scanner.limit:
        if not parts:
            part_start = at
        if found := _LINE_TEXT.match(text, at, scanner.limit):
            parts.append(found[0])
            at = found.end()
        elif text[at] == "\n":
            parts.append("\n")
            at += 1
            break
        elif text.startswith(("$${", "%%{"), at):
            parts.append(text[at + 1 : at + 3])
            at += 3
        elif text.startswith(("${", "%{"), at):
            flush()
            scanner.jump(at)
            pieces.append(_sequence(scanner, parse))
            at = scanner.at
        else:
            parts.append(text[at])
            at += 1
    flush()
    scanner.jump(at)


def _sequence(scanner: Scanner, parse: ParseExpression) -> _Sequence:
    start = scanner.at
    directive = scanner.text[start] == "%"
    scanner.jump(start + 2)
    scanner.lines_matter(False)
    scanner.deeper()
    strips_before = scanner.accept("~") is not None
    sequence = _directive(scanner, parse, start) if directive else _Sequence("", scanner.span(start), parse(scanner))
    strips_after = scanner.accept("~") is not None
    if not scanner.sees("}"):
        raise scanner.wrong("'}' must end the template sequence")
    end = scanner.peek().end
    scanner.leave()
    scanner.depth -= 1
    scanner.jump(end)
    return structs.replace(sequence, span=scanner.span(start), strips_before=strips_before, strips_after=strips_after)


def _directive(scanner: Scanner, parse: ParseExpression, start: int) -> _Sequence:
    token = scanner.peek()
    word = token.text if token.kind == "name" else ""
    if word not in ("if", "else", "endif", "for", "endfor"):
        raise scanner.wrong("a template directive is if, else, endif, for or endfor")
    scanner.take()
    if word == "if":
        return _Sequence(word, scanner.span(start), parse(scanner))
    if word != "for":
        return _Sequence(word, scanner.span(start))
    names = for_names(scanner)
    return _Sequence(word, scanner.span(start), parse(scanner), names)


def for_names(scanner: Scanner) -> tuple[str, str]:
    """`k, v in` of a for; the key's name is empty when only the value is named."""
    names = []
    while True:
        if scanner.peek().kind != "name":
            raise scanner.wrong("for needs the name of a variable")
        names.append(scanner.take().text)
        if len(names) == 2 or not scanner.accept(","):
            break
    token = scanner.peek()
    if token.kind != "name" or token.text != "in":
        raise scanner.wrong("for needs 'in' after its variables")
    scanner.take()
    return (names[0], names[1]) if len(names) == 2 else ("", names[0])


def _strip(pieces: list[_Piece]) -> None:
    """What `~` asks for; doing it twice is harmless. In heredocs it comes before the indentation is taken off."""
    for before, after in pairwise(pieces):
        if isinstance(before, _Text) and isinstance(after, _Sequence) and after.strips_before:
            before.text = before.text.rstrip()
        if isinstance(before, _Sequence) and isinstance(after, _Text) and before.strips_after:
            after.text = after.text.lstrip()


def _unindent(pieces: list[_Piece]) -> None:
    """Takes the indentation that all lines have in common from the text that begins a line."""
    smallest: int | None = None
    openers: list[_Text] = []
    begins_line = True
    for piece in pieces:
        if isinstance(piece, _Text):
            if begins_line:
                spaces = len(piece.text) - len(piece.text.lstrip(" \t"))
                if piece.text[spaces:] != "\n":  # an empty line says nothing about the indentation, and keeps its own
                    openers.append(piece)
                    smallest = spaces if smallest is None else min(smallest, spaces)
            begins_line = piece.text.endswith("\n")
        else:
            if begins_line:
                smallest = 0
            begins_line = False
    for piece in openers:
        piece.text = piece.text[smallest or 0 :]


def _finished(pieces: list[_Piece], span: Span, *, wraps: bool) -> Expression:
    _strip(pieces)
    if wraps and len(pieces) == 1:
        only = pieces[0]
        if isinstance(only, _Sequence) and only.word == "" and only.value is not None:
            return Wrap(only.value, span)
    if all(isinstance(piece, _Text) for piece in pieces):
        return Literal(
            unicodedata.normalize("NFC", "".join(piece.text for piece in pieces if isinstance(piece, _Text))), span
        )
    return _Tree(pieces).all(span)


class _Tree:
    """From pieces in a row to nested directives."""

    def __init__(self, pieces: list[_Piece]) -> None:
        self.pieces = pieces
        self.at = 0

    def all(self, span: Span) -> Template:
        template, ending = self.until((), span, 0)
        if ending is not None:
            raise InputError(f"%{{{ending.word}}} without its beginning", place=ending.span.place)
        return template

    def until(self, words: tuple[str, ...], span: Span, depth: int) -> tuple[Template, _Sequence | None]:
        """The parts up to a directive that is none of a beginning; gives that directive too."""
        parts: list[Expression] = []
        if depth > 40:
            raise InputError("template directives are nested too deeply", place=span.place)
        while self.at < len(self.pieces):
            piece = self.pieces[self.at]
            self.at += 1
            if isinstance(piece, _Text):
                parts.append(Literal(piece.text, piece.span))
            elif piece.word == "" and piece.value is not None:
                parts.append(piece.value)
            elif piece.word == "if" and piece.value is not None:
                parts.append(self.condition(piece, piece.value, depth))
            elif piece.word == "for" and piece.value is not None:
                body, ending = self.until(("endfor",), piece.span, depth + 1)
                self.closes(piece, ending, ("endfor",))
                parts.append(TemplateFor(piece.names[0], piece.names[1], piece.value, body, piece.span))
            else:
                return Template(tuple(parts), span), piece
        return Template(tuple(parts), span), None

    def condition(self, piece: _Sequence, condition: Expression, depth: int) -> TemplateIf:
        then, ending = self.until(("else", "endif"), piece.span, depth + 1)
        word = self.closes(piece, ending, ("else", "endif"))
        otherwise = Template((), piece.span)
        if word == "else":
            otherwise, ending = self.until(("endif",), piece.span, depth + 1)
            self.closes(piece, ending, ("endif",))
        return TemplateIf(condition, then, otherwise, piece.span)

    def closes(self, opening: _Sequence, ending: _Sequence | None, words: tuple[str, ...]) -> str:
        if ending is None:
            raise InputError(f"%{{{opening.word}}} has no %{{{words[-1]}}}", place=opening.span.place)
        if ending.word not in words:
            raise InputError(
                f"%{{{ending.word}}} cannot stand here; %{{{words[-1]}}} is expected", place=ending.span.place
            )
        return ending.word
