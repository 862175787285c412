"""YAML and JSON become trees whose values know their places."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeyard.definition.documents import Items, Leaf, Node, Table, parse_document, parse_json, parse_yaml, plain
from pipeyard.errors import InputError, Place

# PyYAML writes some of the characters that YAML 1.1 takes for line breaks without quotes.
_text = st.text(st.characters(exclude_characters="\x85\u2028\u2029", exclude_categories=["Cs"]), max_size=20)
scalars = st.none() | st.booleans() | st.integers(-(10**12), 10**12) | _text
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_text, inner, max_size=4),
    max_leaves=20,
)


def at(node: Node, *keys: str | int) -> Node:
    for key in keys:
        if isinstance(key, int):
            assert isinstance(node, Items)
            node = node.nodes[key]
        else:
            assert isinstance(node, Table)
            node = node.entries[key]
    return node


@settings(deadline=None)
@given(trees, st.sampled_from([None, 1, "\t"]))
def test_json_reads_as_the_standard_library_reads_it(tree: Any, indent: int | str | None) -> None:
    assert plain(parse_json(json.dumps(tree, indent=indent), "x.json")) == tree


@settings(deadline=None)
@given(trees)
def test_yaml_written_by_a_yaml_library_reads_back(tree: Any) -> None:
    import yaml

    assert plain(parse_yaml(yaml.safe_dump(tree, allow_unicode=True), "x.yaml")) == tree


@settings(deadline=None)
@given(st.text(max_size=60))
def test_what_json_refuses_is_refused_with_a_place(text: str) -> None:
    try:
        expected = json.loads(text)
    except ValueError:
        with pytest.raises(InputError) as refused:
            parse_json(text, "x.json")
        assert refused.value.place is not None
        return
    if expected == expected and not isinstance(expected, float):
        assert plain(parse_json(text, "x.json")) == expected


def test_a_value_in_yaml_knows_its_line_and_column() -> None:
    document = parse_document("a:\n  b:\n    - x\n    - key: value\n", "t.yaml")
    assert at(document, "a", "b", 1, "key").place == Place("t.yaml", 4, 12)
    assert at(document, "a").place == Place("t.yaml", 2, 3)


def test_a_value_in_json_knows_its_line_and_column() -> None:
    document = parse_document('{\n  "a": [\n    1, {"key": "value"}]\n}', "t.json")
    assert at(document, "a", 1, "key").place == Place("t.json", 3, 16)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ('{"a": 1,\n "a": 2}', 2, "second time"),
        ("a: 1\nb: 2\na: 3\n", 3, "second time"),
        ('{"a": 1,}', 1, "key in double quotes"),
        ('{"a": [1 2]}', 1, "',' or ']'"),
        ('{"a": "line\nbreak"}', 1, "without its end"),
        ("a: [1, 2\nb: 3\n", 2, "not valid YAML"),
        ("a: *nowhere\n", 1, "undefined alias"),
        ("a: !Custom x\n", 1, "unknown tag !Custom"),
        ("? [a, b]\n: c\n", 1, "plain text"),
    ],
)
def test_wrong_syntax_is_told_with_its_line(text: str, line: int, said: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_document(text, "t.json" if text.startswith("{") else "t.yaml")
    assert refused.value.place is not None
    if "alias" not in said:
        assert said in refused.value.message
    assert refused.value.place.line == line


def test_merge_keys_fill_in_what_is_absent() -> None:
    document = parse_yaml("base: &base {a: 1, b: 2}\nown:\n  <<: *base\n  b: 3\n", "t.yaml")
    assert plain(at(document, "own")) == {"b": 3, "a": 1}


@pytest.mark.parametrize(
    ("text", "value", "shown"),
    [
        ("0123", 123, "0123"),
        ("1.10", 1.1, "1.10"),
        ("2010-09-09", "2010-09-09", "2010-09-09"),
        ("22:22", "22:22", "22:22"),
        ("yes", True, "true"),
        ("True", True, "true"),
        ("'yes'", "yes", "yes"),
        ("~", None, ""),
        ("1e3x", "1e3x", "1e3x"),
        ("!!str 5", "5", "5"),
    ],
)
def test_a_scalar_has_a_value_and_the_text_that_a_string_property_takes(text: str, value: object, shown: str) -> None:
    leaf = parse_yaml(text, "t.yaml")
    assert isinstance(leaf, Leaf)
    assert (leaf.value, leaf.text) == (value, shown)


def test_a_billion_laughs_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with pytest.raises(InputError, match="expands to more than"):
        parse_yaml("\n".join(lines), "t.yaml")


@pytest.mark.parametrize("text", ["[" * 5000, '{"a":' * 5000, "- " * 5000 + "x", "{a: " * 3000])
def test_a_tower_of_brackets_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_document(text, "t.yaml")


def test_half_of_a_surrogate_pair_becomes_the_replacement_character() -> None:
    assert plain(parse_json('["\\ud83d\\ude00", "\\ud800"]', "t.json")) == ["\U0001f600", "\ufffd"]
