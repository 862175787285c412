"""What only a deployment knows: refused by a run, shown as `${Name}` by plan and validate, judged by no rule."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeyard.definition.model import ActionDeclaration
from pipeyard.definition.places import Inputs, Reading
from pipeyard.definition.reading import read
from pipeyard.definition.validate import validate
from pipeyard.errors import Problem

TEMPLATE = """\
Parameters:
  App: {Type: String}
  Repository: {Type: "AWS::SSM::Parameter::Value<String>", Default: /app/repository}
  Connection: {Type: String}
  Token: {Type: String, NoEcho: true}
  Minutes: {Type: Number}
  Branches: {Type: CommaDelimitedList}
  Stage: {Type: String}
Mappings:
  Accounts:
    "999988887777": {Cluster: prod}
Conditions:
  IsProd: !Equals [!Ref Stage, prod]
Resources:
  Cluster: {Type: "AWS::ECS::Cluster", Properties: {ClusterName: !Sub "${App}-cluster"}}
  Network:
    Type: AWS::CloudFormation::Stack
    Properties: {TemplateURL: https://example.s3.amazonaws.com/network.yaml}
  Pipeline:
    Type: AWS::CodePipeline::Pipeline
    Properties:
      Name: !Sub "${App}-pipeline"
      PipelineType: V2
      Triggers:
        - ProviderType: CodeStarSourceConnection
          GitConfiguration:
            SourceActionName: Checkout
            Push: [{Branches: {Includes: !Ref Branches}}]
      Stages:
        - Name: Source
          Actions:
            - Name: Checkout
              ActionTypeId: {Category: Source, Owner: AWS, Provider: CodeStarSourceConnection, Version: "1"}
              Configuration:
                ConnectionArn: !Ref Connection
                FullRepositoryId: !Join [/, [example, !Ref Repository]]
                BranchName: !If [IsProd, main, develop]
              OutputArtifacts: [{Name: !Sub "${App}Source"}]
        - Name: Deploy
          Actions:
            - Name: Approve
              ActionTypeId: {Category: Approval, Owner: AWS, Provider: Manual, Version: "1"}
              TimeoutInMinutes: !Ref Minutes
            - Name: Service
              RunOrder: 2
              RoleArn: !Sub "arn:aws:iam::${App}:role/deploy"
              ActionTypeId: {Category: Deploy, Owner: AWS, Provider: ECS, Version: "1"}
              Configuration:
                ClusterName: !Ref Cluster
                ServiceName: !GetAtt Network.Outputs.Service
                FileName: !FindInMap [Accounts, !Ref "AWS::AccountId", Cluster]
                DeploymentTimeout: !Select [0, !Split ["-", !Ref App]]
              InputArtifacts: [{Name: !Sub "${App}Source"}]
"""

SHOWN = Inputs(planning=True)


@pytest.fixture
def template(tmp_path: Path) -> Path:
    path = tmp_path / "template.yaml"
    path.write_text(TEMPLATE)
    return path


def actions(reading: Reading) -> dict[str, ActionDeclaration]:
    assert reading.definition is not None
    return {action.name: action for _, action in reading.definition.pipelines[0].actions()}


def judged(reading: Reading) -> list[Problem]:
    assert reading.definition is not None
    return [problem for problem in validate(reading.definition, reading.places) if problem.place not in reading.open]


def test_a_plan_shows_what_is_known_of_each_text(template: Path) -> None:
    reading = read(template, SHOWN)
    assert reading.definition is not None
    assert reading.definition.pipelines[0].name == "${App}-pipeline"
    found = actions(reading)
    assert found["Checkout"].configuration == {
        "ConnectionArn": "${Connection}",
        "FullRepositoryId": "example/${Repository}",
        "BranchName": "${Fn::If ${Stage}}",
    }
    assert found["Service"].configuration == {
        "ClusterName": "${App}-cluster",
        "ServiceName": "${Network.Outputs.Service}",
        "FileName": "${Fn::FindInMap Accounts}",
        "DeploymentTimeout": "${Fn::Select ${Fn::Split ${App}}}",
    }
    assert found["Service"].role_arn == "arn:aws:iam::${App}:role/deploy"
    assert found["Approve"].timeout_in_minutes is None
    (push,) = reading.definition.pipelines[0].triggers[0].git_configuration.push
    assert push.branches is not None
    assert push.branches.includes == ["${Branches}"]


def test_no_rule_judges_a_text_that_stands_for_an_unknown_value(template: Path) -> None:
    reading = read(template, SHOWN)
    assert reading.definition is not None
    assert [problem.message for problem in judged(reading) if problem.severity == "error"] == []


def test_a_rule_still_judges_what_stands_beside_an_unknown_value(template: Path) -> None:
    template.write_text(TEMPLATE.replace("ServiceName:", "Servicename:"))
    reading = read(template, SHOWN)
    assert reading.definition is not None
    errors = [problem.message for problem in judged(reading) if problem.severity == "error"]
    assert errors == ["action Service needs ServiceName in its configuration (ECS)"]


def test_each_cause_is_told_once_with_the_way_out(template: Path) -> None:
    reading = read(template, SHOWN)
    assert {problem.severity for problem in reading.problems} == {"warning"}
    told = {problem.message.split("; ", 1)[-1]: problem for problem in reading.problems}
    app = next(problem for message, problem in told.items() if "parameter App has no default" in message)
    assert app.hint == "give it with --parameter App=..."
    assert app.message.endswith("(and 4 other values)")
    assert "4" not in "".join(problem.message for problem in reading.problems if "parameter Stage" in problem.message)
    hints = {problem.hint for problem in reading.problems}
    assert "account_id in the settings tells where it is deployed; there are 999988887777" in hints


def test_a_run_refuses_what_it_needs_and_not_what_only_the_service_needs(template: Path) -> None:
    reading = read(template, Inputs())
    assert reading.definition is None
    told = " ".join(problem.message for problem in reading.problems if problem.severity == "error")
    for name in ("App", "Minutes", "Branches", "Stage"):
        assert f"parameter {name} has no default" in told
    assert "parameter Connection" not in told


def test_a_stage_that_a_condition_may_leave_out_is_left_out_with_a_warning(template: Path) -> None:
    template.write_text(TEMPLATE + "        - !If [IsProd, {Name: Extra}, !Ref AWS::NoValue]\n")
    reading = read(template, SHOWN)
    assert reading.definition is not None
    assert [stage.name for stage in reading.definition.pipelines[0].stages] == ["Source", "Deploy"]
    problem = next(found for found in reading.problems if found.place.line == len(TEMPLATE.splitlines()) + 1)
    assert "is not known before a deployment: Fn::If; condition IsProd" in problem.message
    assert problem.hint == "give it with --parameter Stage=..."


def test_a_pipeline_that_a_condition_may_leave_out_is_planned(template: Path) -> None:
    template.write_text(TEMPLATE.replace("Pipeline\n    Properties", "Pipeline\n    Condition: IsProd\n    Properties"))
    reading = read(template, SHOWN)
    assert "Service" in actions(reading)
    assert any("whether Pipeline is made cannot be known" in problem.message for problem in reading.problems)


def test_a_default_that_its_own_constraint_refuses_asks_for_a_value(template: Path) -> None:
    template.write_text(TEMPLATE.replace("App: {Type: String}", 'App: {Type: String, Default: "", MinLength: 1}'))
    reading = read(template, SHOWN)
    assert reading.definition is not None
    assert reading.definition.pipelines[0].name == "${App}-pipeline"
    told = next(problem for problem in reading.problems if "parameter App" in problem.message)
    assert "parameter App: its default '' has fewer than 1 characters" in told.message
    assert (told.severity, told.hint) == ("warning", "give it with --parameter App=...")
    assert next(problem.rule for problem in read(template).problems if problem.severity == "error") == "parameter-value"


def test_a_rule_that_the_defaults_alone_break_is_a_warning_of_a_plan(template: Path) -> None:
    rule = "Rules: {Named: {Assertions: [{Assert: !Equals [!Ref Repository, x], AssertDescription: name it x}]}}\n"
    template.write_text(rule + TEMPLATE.replace('"AWS::SSM::Parameter::Value<String>"', "String"))
    told = [problem for problem in read(template, SHOWN).problems if problem.rule == "template-rule"]
    assert [problem.severity for problem in told] == ["warning"]
    given = Inputs(planning=True, parameters={"Repository": "y"})
    told = [problem for problem in read(template, given).problems if problem.rule == "template-rule"]
    assert [problem.severity for problem in told] == ["error"]


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"HOME": str(folder), "PIPEYARD_HOME": str(folder / "home"), "PATH": os.defpath}
    command = [sys.executable, "-m", "pipeyard", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)


def test_the_command_line_plans_and_validates_without_parameters_and_does_not_run(template: Path) -> None:
    planned = run(template.parent, "run", "template.yaml", "--plan", "--json")
    assert planned.returncode == 0, planned.stderr
    document = json.loads(planned.stdout)
    assert [stage["name"] for stage in document["stages"]] == ["Source", "Deploy"]
    assert "hint: give it with --parameter App=..." in planned.stderr
    validated = run(template.parent, "validate", "template.yaml")
    assert validated.returncode == 0, validated.stderr
    refused = run(template.parent, "run", "template.yaml")
    assert refused.returncode == 2
    assert "error[unknown-value]" in refused.stderr


@pytest.mark.parametrize("unknown", ["role", "store"])
def test_what_is_written_and_not_known_is_not_said_to_be_missing(tmp_path: Path, unknown: str) -> None:
    value = "!ImportValue shared"
    role, bucket = (value, "artifacts") if unknown == "role" else ("arn:aws:iam::123456789012:role/p", value)
    path = tmp_path / "template.yaml"
    written = f"      RoleArn: {role}\n      ArtifactStore: {{Type: S3, Location: {bucket}}}\n      Stages:\n"
    text = TEMPLATE.replace("      Stages:\n", written).replace("!GetAtt Network.Outputs.Service", "service")
    path.write_text(text.replace('!FindInMap [Accounts, !Ref "AWS::AccountId", Cluster]', "definitions.json"))
    known = {"App": "a", "Connection": "c", "Token": "t", "Minutes": "5", "Branches": "main", "Stage": "prod"}
    reading = read(path, Inputs(parameters=known, ssm={"/app/repository": "r"}))
    assert reading.definition is not None, reading.problems
    assert reading.definition.pipelines[0].role_arn == (None if unknown == "role" else role)
    rules = {problem.rule for problem in validate(reading.definition, reading.places)}
    assert rules.isdisjoint({"role-missing", "artifact-store-missing"})
