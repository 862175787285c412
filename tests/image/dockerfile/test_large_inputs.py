"""Texts of many megabytes are read in steps that grow as they do, or refused before they cost seconds.

Counted are calls, not seconds: a machine is as fast as it is.
"""

import re
import sys
from collections.abc import Callable
from typing import Any

import pytest

from pipeyard.errors import DockerfileError
from pipeyard.image.dockerfile import ignore, lexer, shell_pattern
from pipeyard.image.dockerfile.expansion import expand
from pipeyard.image.dockerfile.ignore import compile_ignore
from pipeyard.image.dockerfile.lexer import Dialect, lex
from pipeyard.image.dockerfile.parser import parse
from pipeyard.image.dockerfile.wildcard import PATTERN_LIMIT, compile_wildcard, matches


def calls(work: Callable[[], Any]) -> int:
    """How many functions, of Python and of C, were called."""
    count = 0

    def note(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        try:
            work()
        except DockerfileError:
            pass
    finally:
        sys.setprofile(None)
    return count


SHAPES = {
    "instructions": lambda n: "RUN a\n" * n,
    "continuations": lambda n: "RUN " + "a \\\n" * n,
    "continued pairs": lambda n: "ENV " + "a=b \\\n" * n,
    "comments within": lambda n: "RUN a \\\n" + "# c\n" * n,
    "heredocs": lambda n: "RUN <<E\nx\nE\n" * n,
    "heredocs of one line": lambda n: "RUN " + "<<E " * n + "\n" + "E\n" * n,
    "a list": lambda n: 'RUN ["a"' + ', \\\n"b"' * n + "]",
    "nested lists": lambda n: "RUN " + "[" * n + "]" * n,
    "nested defaults": lambda n: "ENV a=" + "${b:-" * n + "}" * n,
    "patterns": lambda n: "ENV a=" + "${a//?a/b}" * n,
    "quotes": lambda n: "ENV a=" + "'x'" * n,
    "flags": lambda n: "RUN " + "--mount=type=tmpfs,target=/x \\\n" * n + "a",
    "triggers": lambda n: "ONBUILD RUN a\n" * n,
    "copied text": lambda n: "COPY <<E /x\n" + "<a>$a \\$ text\n" * n + "E\n",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_twice_the_text_takes_twice_the_steps(shape: str) -> None:
    def work(count: int) -> int:
        text = ("FROM x\n" + SHAPES[shape](count)).encode()

        def read() -> None:
            file = parse(text, "Dockerfile")
            for instruction in file.stages[0].instructions:
                expand(instruction, {"a": "b"}, escape=file.escape)

        return calls(read)

    work(10)  # what is compiled once
    assert work(2000) < 2.5 * work(1000)


@pytest.mark.parametrize("line", ["a/b{}", "**/a*{}", "!a{}", "[a-z]{}", "*/*/*/*/*{}", "\\a{}", "a{}/**"])
def test_twice_the_ignore_file_takes_twice_the_steps(line: str) -> None:
    def work(count: int) -> int:
        text = "\n".join(line.format(at) for at in range(count)).encode()

        def read() -> None:
            compile_ignore(text, "f").ignores("some/where")

        re.purge()  # expressions that were compiled before
        return calls(read)

    work(10)
    assert work(400) < 2.5 * work(200)


def test_patterns_without_end_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ignore, "PATTERNS_LIMIT", 100)
    monkeypatch.setattr(ignore, "WILDCARDS_LIMIT", 100)
    assert compile_ignore(b"a\n" * 100, "f").ignores("a")
    with pytest.raises(DockerfileError, match="more than 100 patterns"):
        compile_ignore(b"a\n" * 101, "f")
    assert compile_ignore(b"*a*\n" * 100, "f").ignores("bab")  # equal ones cost nothing
    with pytest.raises(DockerfileError, match="characters of patterns with wildcards"):
        compile_ignore("\n".join(f"*{at}" for at in range(60)).encode(), "f")


def test_an_ignore_file_compiles_nothing_before_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    compile_ignore(b"a*b\n", "f")  # with it, what reads any file
    compiled: list[str] = []
    real = re.compile

    def compile_(pattern: str, flags: int = 0) -> "re.Pattern[str]":
        compiled.append(pattern)
        return real(pattern, flags)

    monkeypatch.setattr(re, "compile", compile_)
    rules = compile_ignore(b"a*b*c1\n*.log1\n", "f")
    assert compiled == []
    assert rules.ignores("x.log1")
    assert compiled != []


def test_a_wildcard_longer_than_any_path_is_refused() -> None:
    assert matches("a" * 4000 + "*", "a" * 4001)
    with pytest.raises(DockerfileError, match="no path is"):
        compile_wildcard("a" * (PATTERN_LIMIT + 1))


def test_substitutions_without_end_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lexer, "SUBSTITUTIONS_LIMIT", 100)
    assert lex("$a" * 100, {"a": "b"}, Dialect()).text == "b" * 100
    assert lex("<" * 1000, {}, Dialect(quotes=False)).text == "<" * 1000
    with pytest.raises(DockerfileError, match="variables and escapes"):
        lex("$a" * 101, {"a": "b"}, Dialect())


def test_a_pattern_that_could_take_minutes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    long = "?" + "a" * 30_000 + "b"
    with pytest.raises(DockerfileError, match="too long for a value"):
        lex("${v//" + long + "/x}", {"v": "a" * 1_000_000}, Dialect())
    with pytest.raises(DockerfileError, match="too long for a value"):
        lex("${v##" + long + "}", {"v": "a" * 1_000_000}, Dialect())
    assert lex("${v//a/b}", {"v": "a" * 1_000_000}, Dialect()).text == "b" * 1_000_000


def test_a_replacement_is_read_once_however_often_it_is_made() -> None:
    def work(count: int) -> int:
        value = "a" * count
        return calls(lambda: shell_pattern.replace("a", "$x" * 3000, value, everywhere=True, limit=1 << 24))

    assert work(2000) - work(1000) < 20 * 1000  # a few steps for each match, not one for each of the names
