"""References to variables in configurations."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeyard.definition.expressions import Reference, UnresolvedReference, parse_expression, resolve, resolve_all
from pipeyard.errors import InputError

names = st.text("abcXYZ019@_-", min_size=1, max_size=8)
literals = st.text(st.characters(blacklist_characters="#{", blacklist_categories=["Cs"]), max_size=10)


@settings(deadline=None)
@given(st.lists(st.one_of(literals, st.tuples(names, names)), max_size=6))
def test_resolving_puts_each_value_in_its_place(parts: list[str | tuple[str, str]]) -> None:
    text = "".join(part if isinstance(part, str) else f"#{{{part[0]}.{part[1]}}}" for part in parts)
    values = {part[0]: {} for part in parts if isinstance(part, tuple)}  # type: dict[str, dict[str, str]]
    for number, part in enumerate(parts):
        if isinstance(part, tuple):
            values[part[0]].setdefault(part[1], f"<{number}>")
    expected = "".join(part if isinstance(part, str) else values[part[0]][part[1]] for part in parts)
    assert resolve(text, values) == expected


def test_pieces_come_in_order_with_their_offsets() -> None:
    assert parse_expression("#{Build.Tag},latest") == (Reference("Build", "Tag"), ",latest")
    assert parse_expression("a-#{variables.x}") == ("a-", Reference("variables", "x", 2))
    assert parse_expression("") == ()


@pytest.mark.parametrize("text", ["# {a.b}", "#a", "${a.b}", "{a.b}", "100%", "C# and {x}"])
def test_other_text_is_left_alone(text: str) -> None:
    assert resolve(text, {}) == text


@pytest.mark.parametrize("text", ["#{a}", "#{a.b", "#{}", "#{.b}", "#{a b.c}", "#{a.#{b.c}}"])
def test_what_begins_like_a_reference_and_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is not a variable reference"):
        parse_expression(text)


def test_a_value_that_looks_like_a_reference_is_not_resolved_again() -> None:
    assert resolve("#{a.b}", {"a": {"b": "#{c.d}"}}) == "#{c.d}"


def test_a_missing_value_says_which_there_are() -> None:
    with pytest.raises(UnresolvedReference) as missing:
        resolve("#{SourceVars.CommitID}", {"SourceVars": {"CommitId": "x"}})
    assert missing.value.hint == "namespace SourceVars has CommitId"
    with pytest.raises(UnresolvedReference, match="has no value"):
        resolve("#{Nothing.X}", {"SourceVars": {}})


def test_keys_to_keep_are_not_resolved() -> None:
    values = {"a": {"b": "1"}}
    assert resolve_all({"x": "#{a.b}", "y": "#{a.b}"}, values, {"y"}) == {"x": "1", "y": "#{a.b}"}
