"""What the checks find, and who may silence them."""

import pytest

from pipeyard.errors import DockerfileError, Problem
from pipeyard.image.dockerfile.ignore import compile_ignore
from pipeyard.image.dockerfile.lint import BaseImage, Surroundings, check, refuse_violations
from pipeyard.image.dockerfile.parser import parse
from pipeyard.image.dockerfile.rules import RULES

KNOWING = Surroundings(
    predefined={"TARGETPLATFORM": "linux/amd64", "BUILDPLATFORM": "linux/amd64"},
    base_image=lambda name, platform: BaseImage(
        {"HOME": "/root"}, unlike=("linux/arm", platform) if platform == "linux/386" else None
    ),
    ignore=compile_ignore(b"secret\n", ".dockerignore"),
)


def problems(text: str) -> tuple[Problem, ...]:
    return check(parse(text.encode(), "Dockerfile"), KNOWING)


def found(text: str) -> list[tuple[str, int]]:
    return [(problem.rule, problem.place.line) for problem in problems(text)]


DESCRIBED = "# check=experimental=all\nFROM a\n"


@pytest.mark.parametrize(
    ("rule", "bad", "good", "line"),
    [
        ("StageNameCasing", "FROM a AS Base", "FROM a AS base", 1),
        ("FromAsCasing", "FROM a as b", "from a as b", 1),
        ("NoEmptyContinuation", "FROM a\nRUN b \\\n\n c", "FROM a\nRUN b \\\n # d\n c", 4),
        ("ConsistentInstructionCasing", "FROM a\nRUN b\nrun c", "from a\nrun b", 3),
        ("DuplicateStageName", "FROM a AS b\nFROM a AS b", "FROM a AS b\nFROM a AS c", 2),
        ("ReservedStageName", "FROM a AS scratch", "FROM scratch AS a", 1),
        ("JSONArgsRecommended", "FROM a\nCMD b", 'FROM a\nSHELL ["s"]\nCMD b', 2),
        ("MaintainerDeprecated", "FROM a\nMAINTAINER b", "FROM a\nLABEL b=c", 2),
        ("UndefinedArgInFrom", "FROM a:${T:-1}", "ARG T\nFROM a:${T:-1}", 1),
        ("WorkdirRelativePath", "FROM a\nWORKDIR b", "FROM a AS x\nWORKDIR /b\nFROM x\nWORKDIR c", 2),
        ("UndefinedVar", "FROM a\nCOPY $B /", "FROM a\nARG B\nENV C=1\nCOPY $B $C $HOME /", 2),
        ("MultipleInstructionsDisallowed", 'FROM a\nCMD ["b"]\nCMD ["c"]', 'FROM a\nCMD ["b"]\nFROM a\nCMD ["c"]', 2),
        ("LegacyKeyValueFormat", "FROM a\nENV b c", "FROM a\nENV b=c", 2),
        ("RedundantTargetPlatform", "FROM --platform=$TARGETPLATFORM a", "FROM --platform=$BUILDPLATFORM a", 1),
        ("SecretsUsedInArgOrEnv", "FROM a\nARG API_TOKEN", "FROM a\nARG TOKEN_FILE\nENV TOKENS=1", 2),
        ("InvalidDefaultArgInFrom", "ARG T\nFROM a:$T", "ARG T=1\nFROM a:$T", 2),
        (
            "FromPlatformFlagConstDisallowed",
            "FROM --platform=linux/arm64 a",
            "FROM --platform=linux/arm64 a AS arm64",
            1,
        ),
        ("InvalidBaseImagePlatform", "FROM --platform=linux/386 a AS a386", "FROM --platform=linux/arm a AS arm", 1),
        ("CopyIgnoredFile", "FROM a\nCOPY secret/x /", "FROM a\nCOPY other . /", 2),
        ("ExposeProtoCasing", "FROM a\nEXPOSE 80/TCP", "FROM a\nEXPOSE 80/tcp", 2),
        ("ExposeInvalidFormat", "FROM a\nEXPOSE 80:80", "FROM a\nEXPOSE 80-90", 2),
        ("InvalidDefinitionDescription", DESCRIBED + "# what\nARG b", DESCRIBED + "# b c\nARG b\n# d\n#\nARG e", 4),
    ],
)
def test_a_rule_speaks_when_it_should_and_only_then(rule: str, bad: str, good: str, line: int) -> None:
    assert (rule, line) in found(bad)
    assert rule not in dict(found(good))


def test_every_rule_that_has_a_page_links_it_and_all_have_a_sentence() -> None:
    for name, rule in RULES.items():
        assert name == rule.name
        assert rule.link.startswith("https://docs.docker.com/") == (name != "InvalidBaseImagePlatform")
        assert rule.sentence


def test_the_file_and_a_comment_can_silence_rules() -> None:
    text = "FROM a\nMAINTAINER b\n# check=skip=UndefinedVar\nCOPY $B /\nCOPY $C /"
    assert found(text) == [("MaintainerDeprecated", 2), ("UndefinedVar", 5)]
    assert found("# check=skip=MaintainerDeprecated,UndefinedVar\n" + text) == []
    assert found("# check=skip=all\n" + text) == []


def test_error_true_refuses_what_is_else_a_warning() -> None:
    refuse_violations(problems("FROM a\nMAINTAINER b"))
    with pytest.raises(DockerfileError, match="lint violation found for rules: MaintainerDeprecated") as caught:
        refuse_violations(problems("# check=error=true\nFROM a\nMAINTAINER b"))
    assert caught.value.place is not None
    assert caught.value.place.line == 3


def test_a_check_directive_that_means_nothing_is_an_error_at_its_line() -> None:
    with pytest.raises(DockerfileError) as caught:
        problems("# check=silence=all\nFROM a")
    assert str(caught.value) == "Dockerfile:1: invalid check option 'silence=all'"


def test_triggers_of_a_base_are_checked_where_they_fire() -> None:
    assert found("FROM a AS b\nONBUILD ENV c d\nONBUILD WORKDIR $E\nFROM b\n") == [
        ("LegacyKeyValueFormat", 4),
        ("UndefinedVar", 4),
        ("WorkdirRelativePath", 4),
    ]


def test_nothing_is_said_of_undefined_ports() -> None:
    assert found("FROM a\nEXPOSE $PORT\n") == []


def test_without_knowledge_of_the_base_no_variable_counts_as_undefined() -> None:
    assert check(parse(b"FROM a\nCOPY $B /", "Dockerfile")) == ()


def test_what_cannot_be_expanded_is_a_problem_and_no_exception() -> None:
    (problem,) = problems("FROM a\nENV a=${b!}")
    assert (problem.severity, problem.place.line) == ("error", 2)
    assert "unsupported modifier" in problem.message


def test_a_variable_with_a_typo_comes_with_the_right_one() -> None:
    (problem,) = problems("FROM a\nCOPY $HOM /x")
    assert problem.hint == "did you mean $HOME?"
