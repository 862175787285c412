"""Parameters of a template: what is given, defaults, constraints, and conditions that depend on them."""

from pathlib import Path

import pytest

from pipeyard.definition.places import Inputs
from pipeyard.definition.reading import read

TEMPLATE = """\
Parameters:
  Repository:
    Type: String
    Default: web
    AllowedPattern: "[a-z]+"
    MinLength: 2
    MaxLength: 8
    ConstraintDescription: two to eight small letters
  Stage: {Type: String, Default: test, AllowedValues: [test, prod]}
  Order: {Type: Number, Default: 1, MinValue: 1, MaxValue: 9}
  Token: {Type: String, Default: none, NoEcho: true, MinLength: 4}
  Connection: {Type: String}
Rules:
  ProdHasItsRepository:
    RuleCondition: !Equals [!Ref Stage, prod]
    Assertions:
      - Assert: !Not [!Contains [[web], !Ref Repository]]
        AssertDescription: production has a repository of its own
Conditions:
  IsProd: !Equals [!Ref Stage, prod]
Resources:
  Pipeline:
    Type: AWS::CodePipeline::Pipeline
    Condition: IsWanted
    Properties:
      Name: !Sub "${Repository}-${Stage}"
      PipelineType: V2
      Stages:
        - Name: Source
          Actions:
            - Name: Checkout
              ActionTypeId: {Category: Source, Owner: AWS, Provider: CodeStarSourceConnection, Version: "1"}
              Configuration:
                ConnectionArn: !Ref Connection
                FullRepositoryId: !Sub "example/${Repository}"
                BranchName: !If [IsProd, main, develop]
              OutputArtifacts: [{Name: Src}]
        - Name: Build
          Actions:
            - Name: Image
              RunOrder: !Ref Order
              ActionTypeId: {Category: Build, Owner: AWS, Provider: ECRBuildAndPublish, Version: "1"}
              Configuration: {ECRRepositoryName: !Ref Repository, ImageTags: !Ref Token}
              InputArtifacts: [{Name: Src}]
"""


def write(folder: Path, *, wanted: str = '!Equals ["1", "1"]') -> Path:
    path = folder / "template.yaml"
    path.write_text(TEMPLATE.replace("Conditions:\n", f"Conditions:\n  IsWanted: {wanted}\n", 1))
    return path


def test_given_values_replace_defaults_and_decide_conditions(tmp_path: Path) -> None:
    given = {"Connection": "arn:aws:codeconnections:us-east-1:123456789012:connection/x", "Stage": "prod"}
    reading = read(write(tmp_path), Inputs(parameters={**given, "Repository": "api", "Order": "3"}))
    assert reading.definition is not None
    (pipeline,) = reading.definition.pipelines
    assert pipeline.name == "api-prod"
    assert pipeline.stages[0].actions[0].configuration["BranchName"] == "main"
    assert pipeline.stages[1].actions[0].run_order == 3


def test_a_parameter_that_nobody_declared_is_an_error_with_a_suggestion(tmp_path: Path) -> None:
    reading = read(write(tmp_path), Inputs(parameters={"Stagee": "prod", "Connection": "x"}))
    (problem,) = [found for found in reading.problems if found.severity == "error"]
    assert problem.rule == "unknown-parameter"
    assert problem.hint == "did you mean Stage?"
    assert reading.definition is None


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("Repository", "Web", "parameter Repository: 'Web' does not match [a-z]+"),
        ("Repository", "a", "parameter Repository: 'a' has fewer than 2 characters"),
        ("Repository", "abcdefghi", "parameter Repository: 'abcdefghi' has more than 8 characters"),
        ("Stage", "dev", "parameter Stage: 'dev' is not one of test, prod"),
        ("Order", "many", "parameter Order: 'many' is not a number"),
        ("Order", "0", "parameter Order: '0' is less than 1"),
        ("Order", "10", "parameter Order: '10' is more than 9"),
        ("Token", "abc", "parameter Token: its value has fewer than 4 characters"),
        ("Stage", "prod", "rule ProdHasItsRepository: production has a repository of its own"),
    ],
)
def test_a_value_against_its_constraints_is_refused(tmp_path: Path, name: str, value: str, said: str) -> None:
    reading = read(write(tmp_path), Inputs(parameters={"Connection": "x", name: value}))
    assert [found.message for found in reading.problems if found.severity == "error"] == [said]


def test_a_constraint_description_is_the_hint(tmp_path: Path) -> None:
    reading = read(write(tmp_path), Inputs(parameters={"Connection": "x", "Repository": "W"}))
    assert reading.problems[0].hint == "two to eight small letters"


def test_a_parameter_without_a_value_is_an_error_where_the_pipeline_needs_it(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_text(path.read_text().replace("    Default: web\n", ""))
    (problem,) = read(path, Inputs(parameters={"Connection": "x"})).problems
    assert problem.rule == "unknown-value"
    assert "parameter Repository has no default and no value was given (and 2 other values)" in problem.message
    assert problem.place.line == 26
    assert problem.hint == "give it with --parameter Repository=..."


def test_values_of_hidden_parameters_are_known_to_be_hidden(tmp_path: Path) -> None:
    reading = read(write(tmp_path), Inputs(parameters={"Connection": "x", "Token": "tokentoken"}))
    assert reading.definition is not None
    assert reading.definition.hidden == ("tokentoken",)


def test_a_pipeline_whose_condition_is_false_is_not_made(tmp_path: Path) -> None:
    reading = read(write(tmp_path, wanted='!Equals ["1", "2"]'), Inputs(parameters={"Connection": "x"}))
    (problem,) = reading.problems
    assert problem.rule == "no-pipeline"
    assert problem.message == "no pipeline is made: the condition of Pipeline is false"


def test_a_condition_that_cannot_be_known_is_an_error(tmp_path: Path) -> None:
    reading = read(write(tmp_path, wanted="!Equals [!Ref Connection, x]"), Inputs())
    assert "whether Pipeline is made cannot be known" in reading.problems[0].message


@pytest.mark.parametrize("pattern", ["(a+)+b", "((x*)*)*y", "(a|a)*c"])
def test_a_pattern_takes_no_time_that_grows_with_its_backtracking(tmp_path: Path, pattern: str) -> None:
    path = write(tmp_path)
    path.write_text(path.read_text().replace("[a-z]+", pattern).replace("    MaxLength: 8\n", ""))
    reading = read(path, Inputs(parameters={"Connection": "x", "Repository": "a" * 5000}))
    assert [problem.rule for problem in reading.problems] == ["parameter-value"]


def test_a_pattern_fits_the_whole_value(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_text(path.read_text().replace("[a-z]+", "^web$|api"))
    for value, rules in (("api", []), ("web", []), ("api2", ["parameter-value"]), ("web\n", ["parameter-value"])):
        reading = read(path, Inputs(parameters={"Connection": "x", "Repository": value}))
        assert [problem.rule for problem in reading.problems] == rules, value


@pytest.mark.parametrize("pattern", ["(?!prod)[a-z]+", "[a-z&&[^q]]+", r"([a-z])\\1", "[a-z]++"])
def test_a_pattern_of_java_alone_is_not_held_against_a_value_and_is_told(tmp_path: Path, pattern: str) -> None:
    path = write(tmp_path)
    path.write_text(path.read_text().replace("[a-z]+", pattern))
    reading = read(path, Inputs(parameters={"Connection": "x", "Repository": "12"}))
    assert reading.definition is not None
    (problem,) = reading.problems
    assert (problem.severity, problem.rule) == ("warning", "pattern-not-checked")
    assert read(path, Inputs(parameters={"Connection": "x"})).problems == ()
