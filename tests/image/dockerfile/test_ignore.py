"""Which paths stay out of a context, and what a source's wildcard means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeyard.errors import DockerfileError, Place
from pipeyard.image.dockerfile.ignore import IgnoreMatcher, compile_ignore, compile_patterns
from pipeyard.image.dockerfile.wildcard import has_wildcard, matches


def matcher(*lines: str) -> IgnoreMatcher:
    return compile_ignore("\n".join(lines).encode(), ".dockerignore")


@pytest.mark.parametrize(
    ("lines", "ignored", "kept"),
    [
        (["a"], ["a", "a/b"], ["b/a", "ab"]),
        (["/a/", "./b//c"], ["a", "b/c/d"], ["b"]),
        (["*.txt"], ["a.txt", "a.txt/b"], ["d/a.txt"]),
        (["**/*.txt"], ["a.txt", "d/e/a.txt"], ["a.txtx"]),
        (["**/x"], ["x", "a/x/b"], ["ax"]),
        (["d/**"], ["d/a", "d/a/b"], ["d"]),
        (["a/**/b"], ["a/b", "a/x/y/b"], ["a/xb"]),
        (["a**b"], ["ab", "ax/b"], ["axb"]),
        (["*", "!a", "a/b"], ["x", "a/b"], ["a", "a/c"]),
        (["[^a]c", "d[!a]"], ["bc", "d!"], ["ac", "db"]),
        (["\\*", "#a", " # b"], ["*", "# b"], ["x", "#a"]),
        (["a.b+(c)|{d}$"], ["a.b+(c)|{d}$"], ["axb"]),
        (["**/a/**/b/**/c/*/d*"], ["x/a/b/y/c/z/d1", "a/b/c/d/d"], ["a/b/c/d", "a/b/x/z/d"]),
    ],
)
def test_patterns_match_as_in_buildkit(lines: list[str], ignored: list[str], kept: list[str]) -> None:
    rules = matcher(*lines)
    assert [path for path in (*ignored, *kept) if rules.ignores(path)] == ignored


def test_a_walk_hands_down_what_matched_above() -> None:
    rules = matcher("*", "!keep", "keep/no", "!other/deep/x")
    ignored, within = rules.decide("keep", rules.top)
    assert not ignored
    assert rules.decide("keep/yes", within)[0] is False
    assert rules.decide("keep/no", within)[0] is True
    assert rules.decide("away", rules.top)[0] is True


_part = st.sampled_from(["a", "b", "ab", "*", "**", "*a", "**/*b", "a*", "?", "[ab]", ".a", "a.b", "*.b"])
_name = st.sampled_from(["a", "b", "ab", ".a", "a.b", "ba"])


@given(
    st.lists(st.tuples(st.booleans(), st.lists(_part, min_size=1, max_size=4)), min_size=1, max_size=6),
    st.lists(_name, max_size=3),
    _name,
)
def test_files_of_a_folder_are_ignored_as_one_by_one(
    lines: list[tuple[bool, list[str]]], folders: list[str], name: str
) -> None:
    rules = matcher(*("!" * exception + "/".join(parts) for exception, parts in lines))
    within, folder = rules.top, ""
    for each in folders:
        folder = f"{folder}/{each}" if folder else each
        within = rules.decide(folder, within)[1]
    path = f"{folder}/{name}" if folder else name
    assert rules.files_of(folder, within)(name) == rules.decide(path, within)[0]


def test_a_folder_can_be_skipped_when_no_exception_lies_below() -> None:
    rules = matcher("*", "!other/deep/x")
    assert rules.can_skip("away")
    assert not rules.can_skip("other")
    assert not rules.can_skip("other/deep")
    assert matcher("a").can_skip("a")
    assert not matcher("*", "!**/x").can_skip("away")


@pytest.mark.parametrize("line", ["!", "[a", "[]", "a\\", "[z-a]", "\\y"])
def test_a_wrong_pattern_is_an_error_at_its_line(line: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        matcher("ok", line)
    assert caught.value.place == Place(".dockerignore", 2)


def test_patterns_can_be_given_as_a_list() -> None:
    rules = compile_patterns(("*.o", "!a.o"), Place("Dockerfile", 1))
    assert (rules.ignores("b.o"), rules.ignores("a.o"), rules.has_exceptions) == (True, False, True)


def test_a_pattern_of_many_stars_answers_at_once() -> None:
    rules = matcher("*a" * 40 + "b", "**/a/" * 40 + "b")
    assert not rules.ignores("a" * 250)
    assert not rules.ignores("a/" * 50 + "c")
    assert rules.ignores("a/" * 50 + "b")


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("*", "a/b", False),
        ("a*b*c", "axbybzc", True),
        ("a*b*c", "axbybz", False),
        ("*/x", "a/x", True),
        ("?", "/", False),
        ("[a-c]x", "bx", True),
        ("[^a-c]x", "bx", False),
        ("[a\\-z]", "-", True),
        ("\\*", "*", True),
        ("a*", "a\nb", True),
        ("[z-a]", "b", False),
    ],
)
def test_wildcards_of_sources_are_those_of_go(pattern: str, name: str, expected: bool) -> None:
    assert matches(pattern, name) is expected


def test_a_wildcard_without_end_is_an_error() -> None:
    for pattern in ("[", "[]a]", "[a-]", "a\\"):
        with pytest.raises(DockerfileError, match="syntax error in pattern"):
            matches(pattern, "x")
    assert has_wildcard("a?")
    assert not has_wildcard("a/b")


def test_many_stars_of_a_source_do_not_backtrack() -> None:
    assert not matches("*a" * 50 + "b", "a" * 5000)
