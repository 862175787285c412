"""Words to values."""

import pytest

from pipeyard.errors import DockerfileError, Place
from pipeyard.image.dockerfile.expansion import expand, expand_word, undefined_variables
from pipeyard.image.dockerfile.instructions import (
    BindMount,
    CacheMount,
    Copy,
    Env,
    Expose,
    Instruction,
    Mount,
    Run,
    SecretMount,
    SshMount,
    TmpfsMount,
    Word,
)
from pipeyard.image.dockerfile.lexer import Dialect, lex
from pipeyard.image.dockerfile.parser import parse

HERE = Place("Dockerfile", 3, 5)
VALUES = {"A": "a", "EMPTY": "", "PATH": "/x/y.tar.gz", "LINES": "ab\nab\ncb", "STAR": "a*b"}


def value(word: str) -> str:
    return expand_word(Word(word, HERE), VALUES).value


def only(text: str) -> Instruction:
    return parse(b"FROM a\n" + text.encode(), "Dockerfile").stages[0].instructions[0]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("$A${A}'$A'\"$A\"\\$A", "aa$Aa$A"),
        ("${NO:-${EMPTY:-x}}${NO-}${EMPTY-y}", "x"),
        ("${A:+${A}b}${EMPTY:+x}${EMPTY+z}", "abz"),
        ("${PATH#*/}|${PATH##*/}|${PATH%.*}|${PATH%%.*}", "x/y.tar.gz|y.tar.gz|/x/y.tar|/x/y"),
        ("${PATH/\\//_}|${PATH//?/-}", "_x/y.tar.gz|-----------"),
        ("${LINES//a*/X}", "X\nX\ncb"),
        ("${LINES%b*}", "ab\nab\nc"),
        ("${STAR#a\\*}", "b"),
        ("${A///-}", "-a-"),
        ("$1x$?y$ü.", "xy."),
        ('"a\\nb\\""', 'a\\nb"'),
    ],
)
def test_substitutions_are_those_of_buildkit(word: str, expected: str) -> None:
    assert value(word) == expected


@pytest.mark.parametrize(
    "word", ["${", "${A", "${}", "${A!}", "${A:0:1}", "'x", '"x', "${A:-'x}", "${A#\\x}", "${A/b", "${A:/a/b}"]
)
def test_what_is_no_substitution_is_an_error_at_its_word(word: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        value(word)
    assert caught.value.place == HERE


def test_a_demanded_variable_gives_its_own_message() -> None:
    with pytest.raises(DockerfileError, match="NO: give a"):
        value("${NO:?give $A}")


def test_a_word_tells_which_variables_it_used_and_missed() -> None:
    expansion = expand_word(Word("$A${NO:-$OTHER}", HERE), VALUES)
    assert sorted(expansion.used) == ["A"]
    assert sorted(expansion.undefined) == ["NO", "OTHER"]


def test_expansion_answers_a_new_node_and_leaves_the_old_one() -> None:
    env = only('ENV $A=$A B="x $A"\n')
    assert isinstance(env, Env)
    expanded = expand(env, VALUES)
    assert [(pair.name.text, pair.value.text) for pair in expanded.pairs] == [("a", "a"), ("B", "x a")]
    assert [pair.value.value for pair in env.pairs] == [None, None]


def test_expose_is_sorted_as_written_and_split_after_expansion() -> None:
    expose = expand(only('EXPOSE 80 $P "$Q" 443\n'), {"P": " 1  2 ", "Q": ""})
    assert isinstance(expose, Expose)
    assert [port.text for port in expose.ports] == ["1", "2", "443", "80"]


def test_heredoc_files_expand_without_quotes_and_with_a_backslash_whatever_the_escape() -> None:
    text = b"# escape=`\nFROM a\nCOPY <<E <<'F' $A`$A\n'$A' \"\\$A\" `n\nE\n$A\nF\n"
    file = parse(text, "Dockerfile")
    copy = expand(file.stages[0].instructions[0], VALUES, escape=file.escape)
    assert isinstance(copy, Copy)
    assert [one.content for one in copy.files] == ["'a' \"$A\" `n\n", "$A\n"]
    assert copy.destination.text == "a$A"


def test_commands_are_left_to_their_shell() -> None:
    run = only("RUN echo $A\n")
    assert expand(run, VALUES) == run
    assert undefined_variables(only("COPY $NO ${A:-$B} /\n"), VALUES) == {"NO", "B"}


def mount(options: str) -> Mount:
    run = expand(only(f"RUN --mount={options} x\n"), {"T": "/t", "KIND": "cache"})
    assert isinstance(run, Run)
    return run.mounts[0]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("from=b,src=/s,dst=$T", BindMount(from_="b", source="/s", target="/t")),
        ("target=/a,rw", BindMount(target="/a", read_only=False)),
        ("target=/a,ro=0", BindMount(target="/a", read_only=False)),
        (
            "type=$KIND,target=/c/,sharing=LOCKED,mode=0700,uid=5",
            CacheMount(id="/c", target="/c/", sharing="locked", mode=0o700, uid=5),
        ),
        ("type=tmpfs,target=/a,size=1.5k", TmpfsMount(target="/a", size=1536)),
        ("type=secret,target=/a/b,required", SecretMount(id="b", target="/a/b", required=True)),
        ("type=secret,id=x/y", SecretMount(id="x/y", target="/run/secrets/y")),
        ("type=secret,id=x,env=X", SecretMount(id="x", target="", env="X")),
        ("type=ssh,mode=600", SshMount(mode=0o600)),
        ('\\"target=/a,b\\"', BindMount(target="/a,b")),  # a quote must be escaped to pass the flag
    ],
)
def test_mount_options_are_read_when_their_variables_are_known(options: str, expected: Mount) -> None:
    assert mount(options) == expected


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("type=magic,target=/a", "unsupported mount type"),
        ("type=cache,target=/a,sharing=often", "unsupported sharing value"),
        ("targett=/a", "unexpected key"),
        ("target", "must be a key=value pair"),
        ("size=1k,type=tmpfs,target=/a", "unexpected key 'size' for mount type 'bind'"),
        ("target=/a,required", "unexpected key 'required'"),
        ("target=/a,mode=0700", 'mode not allowed for "bind" type mounts'),
        ("type=cache,target=/a,mode=9", "invalid value"),
        ("type=secret", "one of source, target required"),
        ("type=secret,src=a,id=b", "both source and id can't be set"),
        ("type=ssh,src=a", "does not support source"),
        ("type=tmpfs,target=/a,sharing=locked", "invalid cache sharing set for tmpfs mount"),
        ("target=/a,ro=maybe", "invalid value for ro"),
    ],
)
def test_a_mount_option_that_does_not_fit_is_an_error_at_its_instruction(options: str, words: str) -> None:
    with pytest.raises(DockerfileError, match=words) as caught:
        mount(options)
    assert caught.value.place == Place("Dockerfile", 2, 1)


def test_nesting_costs_no_stack_and_growth_is_bounded() -> None:
    depth = 50_000
    assert lex("${x:-" * depth + "y" + "}" * depth, {}, Dialect()).text == "y"
    with pytest.raises(DockerfileError, match="missing '}'"):
        lex("${x:-" * depth, {}, Dialect())
    with pytest.raises(DockerfileError, match="more than"):
        lex("$x" * 1000, {"x": "y" * 100_000}, Dialect())


def test_many_stars_do_not_backtrack() -> None:
    assert lex("${x##" + "*a" * 30 + "b}", {"x": "a" * 5000}, Dialect()).text == "a" * 5000


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ('"a', 'unexpected end of statement while looking for the closing "'),
        ("'a", "unexpected end of statement while looking for the closing '"),
        ("${a", "syntax error: missing '}'"),
        ("${}", "syntax error: bad substitution"),
        ("${a=b}", "unsupported modifier (=) in substitution"),
    ],
)
def test_an_open_quote_or_brace_is_told_in_the_words_that_people_search_for(word: str, words: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        lex(word, {}, Dialect())
    assert words in caught.value.message
