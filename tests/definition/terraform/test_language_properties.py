"""The reader never crashes and never hangs, whatever the text; and numbers and patterns keep their rules."""

import json
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipeyard.definition.patterns import PatternError, compile_pattern
from pipeyard.definition.terraform.bodies import parse_body
from pipeyard.definition.terraform.evaluation import evaluate
from pipeyard.definition.terraform.expressions import parse_expression
from pipeyard.definition.terraform.json_syntax import parse_json_body
from pipeyard.definition.terraform.json_text import encode_json
from pipeyard.definition.terraform.names import NO_LOCALS, NoScope
from pipeyard.definition.terraform.numbers import number_text, parse_number, rounded
from pipeyard.definition.terraform.plain import from_plain, to_plain
from pipeyard.definition.terraform.syntax import Source
from pipeyard.definition.terraform.yaml_text import decode_yaml, encode_yaml
from pipeyard.errors import InputError
from tests.definition.terraform.samples import SOURCE_AND_BUILD

PIECES = [
    "a", "var.x", "1", "1.5e3", '"', "${", "}", "%{ if true }", "%{ endif }", "%{ for x in y ~}", "~}", "[", "]", "{",
    "(", ")", ",", ":", "?", "=", "=>", "for k, v in ", " if ", "...", "<<E\n", "<<-E\n", "\nE\n", "\n", "# c\n", "/*",
    "*/", ".", ".*", "[*]", "-", "!", "+", "&&", "==", "$${", "\\n", "\\", "é", "\u200d", "f(", "null", "resource ",
]  # fmt: skip

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.text(st.characters(codec="ascii"), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abcXYZ _", max_size=4), inner, max_size=3),
    max_leaves=12,
)


def refused(parse: Callable[[], object]) -> InputError | None:
    try:
        parse()
    except InputError as error:
        return error
    return None


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join) | st.text(max_size=80))
@settings(max_examples=400, deadline=2000)
def test_any_text_is_read_or_refused_with_its_place(text: str) -> None:
    for parse in (lambda: parse_body(text, "x.tf"), lambda: parse_expression(Source("x", text))):
        refusal = refused(parse)
        assert refusal is None or (refusal.place is not None and refusal.place.line >= 1)


@given(st.integers(0, len(SOURCE_AND_BUILD)), st.integers(0, 30), st.sampled_from(PIECES))
@settings(max_examples=200, deadline=2000, suppress_health_check=[HealthCheck.too_slow])
def test_a_damaged_configuration_is_read_or_refused(at: int, size: int, piece: str) -> None:
    refusal = refused(lambda: parse_body(SOURCE_AND_BUILD[:at] + piece + SOURCE_AND_BUILD[at + size :], "x.tf"))
    assert refusal is None or refusal.place is not None


@given(st.recursive(st.text(max_size=5), lambda inner: st.dictionaries(st.text(max_size=8), inner, max_size=3)))
@settings(max_examples=100, deadline=2000)
def test_any_json_is_read_or_refused(document: object) -> None:
    refusal = refused(lambda: parse_json_body(json.dumps(document), "x.tf.json", "configuration"))
    assert refusal is None or refusal.place is not None


@pytest.mark.parametrize("opening", ["[", "{a=", "(", "!", "-", "f(", '"${', "x[", "true ? 1 : ", "{for a in ", "a[*]"])
def test_nesting_without_end_is_refused(opening: str) -> None:
    with pytest.raises(InputError):
        parse_expression(Source("x", opening * 20_000))


@pytest.mark.timeout(20)
def test_reading_takes_time_in_proportion_to_the_text() -> None:
    lines = "".join(f'  key{index} = "${{var.x}} %%{{ $$ text" # {{\n' for index in range(20_000))
    assert len(parse_body(f"locals {{\n{lines}}}\n", "x.tf").blocks[0].body.attributes) == 20_000


@given(st.fractions(max_denominator=10**9) | st.integers().map(Fraction))
def test_a_number_survives_being_written_and_read(value: Fraction) -> None:
    exact = rounded(value)
    assert parse_number(number_text(exact)) == exact


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20, places=8))
def test_a_decimal_is_written_as_people_write_it(value: object) -> None:
    text = f"{value:f}"
    shortest = text.rstrip("0").rstrip(".") if "." in text else text
    assert number_text(parse_number(text)) == ("0" if shortest in ("-0", "") else shortest)


@example("\\u0026")
@given(PLAIN)
def test_json_and_yaml_are_read_back_as_they_were_written(plain: object) -> None:
    value = from_plain(plain)
    assert json.loads(encode_json(value)) == to_plain(value)
    if not (isinstance(plain, str) and "\r" in plain):
        assert to_plain(decode_yaml(encode_yaml(value))) == to_plain(value)


@given(PLAIN)
def test_an_expression_written_from_a_value_has_that_value(plain: object) -> None:
    text = json.dumps(plain).replace("${", "$${").replace("%{", "%%{")
    if re.search(r"\\[bf/]|\\u00[01]|\x7f", text):
        return  # JSON has escapes that this language does not
    value = evaluate(parse_expression(Source("x", text)), NoScope(), NO_LOCALS)
    assert to_plain(value) == to_plain(from_plain(plain))


@given(
    st.lists(
        st.sampled_from(
            ["a", "(", ")", "[", "]", "*", "+?", "|", "\\d", "\\b", "(?i)", "{2,3}", "^", "$", "-", "(?P<n>"]
        ),
        max_size=8,
    ).map("".join)
)
@settings(max_examples=300, deadline=2000)
def test_any_pattern_is_compiled_or_refused(pattern: str) -> None:
    try:
        compiled = compile_pattern(pattern)
    except PatternError:
        return
    found = list(compiled.matches("aab1-a"))
    assert [one.start for one in found] == sorted(one.start for one in found)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(a|a)*b", "(.*)*x", "(a?){500}a{500}b", "([a-z]+)*[0-9]"])
def test_no_pattern_takes_longer_than_its_text_deserves(pattern: str) -> None:
    assert compile_pattern(pattern).search("a" * 5_000 + "!") is None


def test_nothing_is_written_beside_what_is_read(tmp_path: Path) -> None:
    from pipeyard.definition.terraform import TerraformReader

    (tmp_path / "main.tf").write_text(SOURCE_AND_BUILD)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert TerraformReader().read(tmp_path).definition is not None
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
