"""A file as statements: keyword, flags, arguments and heredocs of each instruction, before anyone asks what it means.

Source: BuildKit, frontend/dockerfile/parser/parser.go.
"""

from collections.abc import Iterator

from msgspec import Struct

from pipeyard.errors import DockerfileError, Place
from pipeyard.image.dockerfile.directives import find_directive, read_directives
from pipeyard.image.dockerfile.heredoc import openings
from pipeyard.image.dockerfile.instructions import Directive, Heredoc, Pair, Word
from pipeyard.image.dockerfile.lines import SPACES, Line, Source
from pipeyard.image.dockerfile.words import (
    Piece,
    split_exec_form,
    split_flags,
    split_keyword,
    split_pairs,
    split_quoted_words,
    split_words,
)

_LINES = frozenset(("MAINTAINER", "STOPSIGNAL", "USER", "WORKDIR"))  # one argument, whatever it is
_WORDS = frozenset(("EXPOSE", "FROM"))
_EXEC_OR_LINE = frozenset(("CMD", "ENTRYPOINT", "RUN", "SHELL"))
_EXEC_OR_WORDS = frozenset(("ADD", "COPY", "VOLUME"))
_UNSPLIT = _LINES | _EXEC_OR_LINE
_PAIRS = frozenset(("ENV", "LABEL"))
_WITH_HEREDOC = frozenset(("ADD", "COPY", "RUN"))
_LONG_LINE = 100_000  # characters; beyond this, parts are counted before they are made


class Statement(Struct, frozen=True, gc=False, kw_only=True):
    """One instruction in its parts. `pairs` are for ENV and LABEL, `trigger` is ONBUILD's, else it has `arguments`.

    `source` is the logical line; an instruction that does not exist has no arguments.
    """

    place: Place
    start_line: int  # above `place` when the statement begins with lines that hold nothing but the escape character
    end_line: int
    source: str
    keyword: str  # as written
    flags: tuple[str, ...] = ()
    arguments: tuple[Word, ...] = ()
    exec_form: bool = False
    pairs: tuple[Pair, ...] = ()
    trigger: "Statement | None" = None
    heredocs: tuple[Heredoc, ...] = ()
    comments: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.keyword.upper()


class Statements(Struct, frozen=True, gc=False, kw_only=True):
    statements: tuple[Statement, ...]
    escape: str
    syntax: Directive | None
    check: Directive | None
    empty_continuations: tuple[Place, ...]


def read_statements(text: bytes, file: str) -> Statements:
    """Raises DockerfileError, placed, for what has no instruction's form. What it means is for `parser.parse`."""
    source = Source(text, file)
    read_directives(source)
    empty: list[Place] = []
    statements = tuple(_statements(source, empty))
    if not statements:
        raise DockerfileError("file with no instructions: the Dockerfile is empty", place=Place(file))
    return Statements(
        statements=statements,
        escape=source.escape,
        syntax=find_directive(text, "syntax", file, any_comment=True),
        check=find_directive(text, "check", file),
        empty_continuations=tuple(empty),
    )


def _statements(source: Source, empty: list[Place]) -> Iterator[Statement]:
    while (line := source.next_line()) is not None:
        source.spend(6)  # what reading an instruction costs, compared with a word
        if line.has_empty_line:
            empty.append(Place(source.file, line.end_line))
        try:
            yield _statement(source, line, 0)
        except DockerfileError as error:
            error.place = error.place or line.place(0)
            raise


def _statement(source: Source, line: Line, start: int) -> Statement:
    """The instruction whose keyword stands at `start`; of an ONBUILD, with its trigger."""
    text = line.text
    end = len(text.rstrip(SPACES))
    keyword, position = split_keyword(text, start, end)
    name = keyword.upper()
    if len(text) > _LONG_LINE and not (
        name in _UNSPLIT and "<<" not in text and text[position : position + 1] not in "[-"
    ):
        source.spend(sum(map(text.count, " \t,=$\"'\\`")))
    flags, position = split_flags(text, position, end, source.escape)
    position = min(position, end)
    exec_form = False
    pieces: list[Piece] | None = []
    pairs: tuple[Pair, ...] = ()
    trigger = None
    if position == end:
        pass
    elif name in _PAIRS:
        found = split_pairs(text, position, end, name, source.escape)
        pairs = tuple(Pair(_word(line, key), _word(line, value), legacy) for key, value, legacy in found)
    elif name == "ARG":
        pieces = split_quoted_words(text, position, end, source.escape)
    elif name in _LINES:
        pieces = [(position, text[position:end])]
    elif name in _WORDS:
        pieces = split_words(text, position, end)
    elif name in _EXEC_OR_LINE or name in _EXEC_OR_WORDS:
        pieces = split_exec_form(text, position, end)
        exec_form = pieces is not None
        if pieces is None:
            words = name in _EXEC_OR_WORDS
            pieces = split_words(text, position, end) if words else [(position, text[position:end])]
    elif name == "HEALTHCHECK":
        kind, after = split_keyword(text, position, end)
        pieces = split_exec_form(text, after, end) if after < end else []
        exec_form = pieces is not None and after < end
        if pieces is None:
            pieces = [(after, text[after:end])]
        pieces.insert(0, (position, kind))
    elif name == "ONBUILD":
        if start:
            raise DockerfileError("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed", place=line.place(start))
        trigger = _statement(source, line, position)
    arguments = tuple([_word(line, piece) for piece in pieces or ()])
    source.spend(2 * len(flags) + len(arguments) + 3 * len(pairs))
    heredocs: tuple[Heredoc, ...] = ()
    if not start and "<<" in text:
        holder, holds_json = (trigger.name, trigger.exec_form) if trigger else (name, exec_form)
        if holder in _WITH_HEREDOC and not holds_json:
            source.spend(5)
            heredocs = _heredocs(source, line)
    return Statement(
        place=line.place(start),
        start_line=line.start_line,
        end_line=source.line_number - 1 if heredocs else line.end_line,
        source=text[start:] if start else text,
        keyword=keyword,
        flags=flags,
        arguments=arguments,
        exec_form=exec_form,
        pairs=pairs,
        trigger=trigger,
        heredocs=heredocs,
        comments=line.comments,
    )


def _word(line: Line, piece: Piece) -> Word:
    return Word(piece[1], line.place(piece[0]))


def _heredocs(source: Source, line: Line) -> tuple[Heredoc, ...]:
    heredocs = []
    for opening in openings(line.text):
        source.spend(5)
        place = line.place(opening.offset)
        content = source.heredoc(opening.name, opening.chomp)
        if content is None:
            raise DockerfileError(
                f"unterminated heredoc: no line consists of {opening.name} alone",
                place=place,
                hint="white space around the closing word counts" if not opening.chomp else "",
            )
        heredocs.append(
            Heredoc(
                name=opening.name,
                content=content,
                expand=opening.expand,
                chomp=opening.chomp,
                fd=opening.fd,
                place=place,
            )
        )
    return tuple(heredocs)
