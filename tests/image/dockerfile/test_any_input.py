"""No input crashes or hangs the language: the only exception is DockerfileError."""

import re
from contextlib import suppress

from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeyard.errors import DockerfileError
from pipeyard.image.dockerfile import heredoc
from pipeyard.image.dockerfile.expansion import expand
from pipeyard.image.dockerfile.ignore import compile_ignore
from pipeyard.image.dockerfile.instructions import Onbuild
from pipeyard.image.dockerfile.lexer import Dialect, lex
from pipeyard.image.dockerfile.lines import Source
from pipeyard.image.dockerfile.lint import check
from pipeyard.image.dockerfile.parser import parse, parse_trigger
from pipeyard.image.dockerfile.path_pattern import compile_automaton, translate
from pipeyard.image.dockerfile.statements import read_statements
from pipeyard.image.dockerfile.wildcard import matches

_KEYWORDS = (
    *("FROM a", "FROM a AS b", "RUN", "COPY", "ADD", "ENV", "ARG", "LABEL", "WORKDIR", "USER", "EXPOSE", "VOLUME"),
    *("CMD", "ENTRYPOINT", "HEALTHCHECK CMD", "STOPSIGNAL", "SHELL", "ONBUILD", "MAINTAINER"),
)
_BITS = st.sampled_from(
    (
        *(" ", "\t", "\n", "\r\n", "\\\n", "\\", "`", "'", '"', "$", "${", "}", "${a:-", "${a#", "${a/b/", "<<E"),
        *("<<-'E'", "\nE\n", "--mount=type=cache,target=/x", "--from=a", "=", ",", "[", "]", '["a", "b"]', "a", "#"),
        *("# escape=`\n", "# check=skip=all\n", "\u00a0", "\u2028", "\x00", "é", "!", "0", "--", ":", "*", "?"),
    )
)
_INSTRUCTIONS = st.builds(
    lambda keyword, rest: f"{keyword} {''.join(rest)}\n", st.sampled_from(_KEYWORDS), st.lists(_BITS, max_size=12)
)
_FILES = st.lists(_INSTRUCTIONS | _BITS, max_size=8).map(lambda parts: ("FROM x\n" + "".join(parts)).encode())
_WORDS = st.lists(_BITS, max_size=25).map("".join)


@settings(max_examples=400, deadline=None)
@given(_FILES | st.binary(max_size=200))
def test_any_file_is_read_or_refused_with_its_place(text: bytes) -> None:
    try:
        file = parse(text, "Dockerfile")
    except DockerfileError as error:
        refused = error
        file = None
    if file is None:
        assert refused.place is not None
        return
    lines = text.count(b"\n") + 1
    for stage in file.stages:
        for instruction in stage.instructions:
            assert 1 <= instruction.place.line <= instruction.end_line <= lines
            assert instruction.place.column >= 1
            with suppress(DockerfileError):
                expand(instruction, {"a": "b"}, escape=file.escape)
            if isinstance(instruction, Onbuild):
                with suppress(DockerfileError):
                    parse_trigger(instruction.trigger, instruction.place)
    with suppress(DockerfileError):
        check(file)


@settings(max_examples=300, deadline=None)
@given(_FILES)
def test_every_word_stands_where_its_place_says(text: bytes) -> None:
    with suppress(DockerfileError):
        lines = text.decode().split("\n")
        for statement in read_statements(text, "Dockerfile").statements:
            place = statement.place
            assert lines[place.line - 1][place.column - 1 :].startswith(statement.keyword[:1])
            for word in () if statement.exec_form else statement.arguments:
                place = word.place
                assert lines[place.line - 1][place.column - 1 :].startswith(word.raw[:1])


@settings(max_examples=400, deadline=None)
@given(_WORDS, st.sampled_from(["\\", "`"]), st.booleans(), st.booleans())
def test_any_word_expands_or_is_refused(word: str, escape: str, quotes: bool, split: bool) -> None:
    with suppress(DockerfileError):
        lexed = lex(word, {"a": "x y", "b": "*"}, Dialect(escape=escape, quotes=quotes), split=split)
        assert split or not lexed.words


@settings(max_examples=400, deadline=None)
@given(_WORDS)
def test_the_pattern_for_heredocs_finds_what_the_lexer_finds(line: str) -> None:
    try:
        quick = [(one.name, one.expand) for one in heredoc.openings(line)]
        thorough = [(one.name, one.expand) for one in heredoc._lexed_openings(line)] if "<<" in line else []
    except DockerfileError:
        return
    assert quick == thorough


@settings(max_examples=300, deadline=None)
@given(st.text("ab*?[]^!-\\/.#\n\r \t", max_size=20), st.text("ab-*/.", min_size=1, max_size=15))
def test_any_ignore_file_and_wildcard_answers_or_is_refused(text: str, path: str) -> None:
    with suppress(DockerfileError):
        rules = compile_ignore(text.encode(), ".dockerignore")
        ignored, within = rules.decide(path, rules.top)
        if "/" not in path:
            assert ignored == rules.ignores(path)
        rules.decide(path + "/x", within)
        rules.can_skip(path)
    with suppress(DockerfileError):
        matches(text, path)


@settings(max_examples=300, deadline=None)
@given(st.text("ab*?/", min_size=1, max_size=9), st.text("ab/", min_size=1, max_size=10))
@example(pattern="**a*", path="ba")
def test_the_automaton_and_the_expression_agree(pattern: str, path: str) -> None:
    translated = translate(pattern)
    if translated.kind == "expression":
        assert compile_automaton(translated)(path) == (re.match(translated.expression, path) is not None)


def test_a_place_looks_no_further_than_it_must() -> None:
    source = Source(b"ENV a=b \\\n" + b"c=d \\\n" * 10_000 + b"e=f\n", "Dockerfile")
    line = source.next_line()
    assert line is not None
    assert line.place(9).line == 2
    assert len(line._joints) <= 3
