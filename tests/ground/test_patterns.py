"""A pattern that is compiled late is the same pattern."""

import re

import pytest

from pipeyard.patterns import later


def test_a_late_pattern_does_what_a_compiled_one_does() -> None:
    late, compiled = later("(a+)B", re.IGNORECASE), re.compile("(a+)B", re.IGNORECASE)
    for text in ("aab", "xAB", "b", ""):
        assert late.findall(text) == compiled.findall(text)
        assert bool(late.fullmatch(text)) == bool(compiled.fullmatch(text))
    assert late.pattern == "(a+)B"


def test_a_late_pattern_costs_nothing_until_it_is_used() -> None:
    wrong = later("(")
    with pytest.raises(re.error):
        wrong.match("")
