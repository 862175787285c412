"""Both readings of a command line, the plain one and click's, give the same options or the same refusal."""

from typing import Any

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeyard.cli import image_build, image_build_click, program
from pipeyard.cli.build_options import BUILD_OPTIONS
from pipeyard.cli.option_table import plainly

NAMES = [name for option in BUILD_OPTIONS for name in option.names.split()]
CHOICES = [choice for option in BUILD_OPTIONS for choice in option.choices]
ODD = ["", "-", "--", "a", "a=b", "-a", "--push", "true", "\u00e9", "\udcff", *CHOICES]
VALUES = st.sampled_from(ODD) | st.text(max_size=4)
ANY_OPTION = st.tuples(st.sampled_from(BUILD_OPTIONS), st.sampled_from(["a", "x=y", "1"]), st.booleans())


def words() -> st.SearchStrategy[list[str]]:
    """Command lines near to those that people type, right and wrong: a context and one to four other things."""
    name = st.sampled_from(NAMES) | st.sampled_from(["--nonsense", "-x", "--ta", "--help"])
    forms: list[st.SearchStrategy[tuple[str, ...]]] = [
        st.tuples(name, VALUES),
        st.tuples(st.builds("{}={}".format, name, VALUES)),
        st.tuples(st.builds("{}{}".format, name, VALUES)),
        st.tuples(name),
        st.tuples(VALUES),
    ]
    some = st.lists(st.one_of(forms), min_size=1, max_size=4)
    flat = some.map(lambda parts: [word for part in parts for word in part])
    return st.tuples(flat, st.booleans()).map(lambda both: ["here", *both[0]] if both[1] else [*both[0], "here"])


def by_click(given_words: list[str]) -> dict[str, Any] | None:
    """None where click refuses the words, or answers them itself."""
    try:
        with image_build_click.command.make_context("build", list(given_words)) as context:
            return dict(context.params)
    except (click.ClickException, click.exceptions.Exit):
        return None


@settings(max_examples=1000)
@given(words())
def test_what_is_read_plainly_is_what_click_reads(given_words: list[str]) -> None:
    plain = plainly(given_words, "context", BUILD_OPTIONS)
    if plain is not None:
        assert plain == by_click(given_words)


@given(st.lists(ANY_OPTION, max_size=6))
def test_ordinary_command_lines_are_read_plainly(chosen: list[tuple[Any, str, bool]]) -> None:
    given_words = ["here"]
    for option, value, joined in chosen:
        name, wanted = option.names.split()[-1], option.choices[0] if option.choices else value
        if option.is_flag or (option.bare and not joined):
            given_words.append(name)
        else:
            given_words += [f"{name}={wanted}"] if joined else [name, wanted]
    plain = plainly(given_words, "context", BUILD_OPTIONS)
    assert plain is not None
    assert plain == by_click(given_words)


@pytest.mark.parametrize(
    ("given_words", "told"),
    [
        (["image", "build"], "Missing argument 'CONTEXT'"),
        (["image", "build", ".", "--tga", "a"], "No such option '--tga'"),
        (["image", "build", ".", "--compression", "lzma"], "'lzma' is not one of 'gzip', 'zstd'"),
        (["image", "build", ".", "elsewhere"], "unexpected extra argument"),
    ],
)
def test_a_wrong_command_line_is_explained(
    given_words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.run_command_line(given_words) == 2
    assert told in capsys.readouterr().err


def test_completion_is_left_to_click(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    built: list[dict[str, Any]] = []

    def record(options: dict[str, Any]) -> int:
        built.append(options)
        return 0

    monkeypatch.setattr(image_build, "build", record)
    monkeypatch.setenv("_PIPEYARD_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "pipeyard image build --pro")
    monkeypatch.setenv("COMP_CWORD", "3")
    with pytest.raises(SystemExit):
        program.run_command_line(["image", "build", "."])
    assert built == []
    assert "--progress" in capsys.readouterr().out
