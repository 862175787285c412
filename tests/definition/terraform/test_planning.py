"""What a plan shows of a configuration whose values only a deployment, or the user, can tell."""

import json
from pathlib import Path

import pytest

from pipeyard.cli.program import run_command_line
from pipeyard.definition.places import Inputs
from pipeyard.service.preflight import RunRequest, plan
from pipeyard.settings import load
from tests.definition.terraform.conftest import Read, Write
from tests.definition.terraform.samples import SMALL, SOURCE_AND_BUILD
from tests.definition.terraform.test_reader import configuration, messages, only_pipeline

PLANNING = Inputs(planning=True)

VARIABLES = """
variable "project" {}
variable "settings" {
  type = object({ branch = string })
}
data "aws_ami" "linux" { owners = ["amazon"] }
"""


@pytest.mark.parametrize(
    ("expression", "shown"),
    [
        ("var.project", "${var.project}"),
        ('"${var.project}-build"', "${var.project}-build"),
        ("var.settings.branch", "${var.settings.branch}"),
        ("data.aws_ami.linux.id", "${data.aws_ami.linux.id}"),
        ('"ami=${data.aws_ami.linux.id},${var.project}"', "ami=${data.aws_ami.linux.id},${var.project}"),
        ("local.name", "${var.project}-app"),
        ("upper(var.project)", "${upper(var.project)}"),
        ('"${upper(var.project)}!"', "${upper(var.project)}!"),
        ('jsonencode([{ name = "AMI", value = data.aws_ami.linux.id }])',
         '[{"name":"AMI","value":"${data.aws_ami.linux.id}"}]'),
        ('join("/", ["a", local.name])', "a/${var.project}-app"),
        ('format("%s:latest", var.project)', "${var.project}:latest"),
        ('join(",", data.aws_ami.linux.tags)', '${join(",", data.aws_ami.linux.tags)}'),
        ('join(",", ["a"], data.aws_ami.linux.tags)', '${join(",", ["a"], data.aws_ami.linux.tags)}'),
        ('format("%s", data.aws_ami.linux.tags)', "${data.aws_ami.linux.tags}"),
        ('jsonencode({ tags = data.aws_ami.linux.tags })', '{"tags":"${data.aws_ami.linux.tags}"}'),
        ("true ? var.project : null", "${var.project}"),
        ('var.project == "x" ? "a" : "b"', '${var.project == "x" ? "a" : "b"}'),
    ],
)  # fmt: skip
def test_a_plan_writes_a_reference_where_a_value_is_not_known(read: Read, expression: str, shown: str) -> None:
    local = 'locals {\n  name = "${var.project}-app"\n}\n'
    reading = read({"main.tf": VARIABLES + local + SMALL % f"{{ A = {expression} }}"}, PLANNING)
    assert configuration(reading) == {"A": shown}
    assert [problem.severity for problem in reading.problems] == ["warning"]


def test_the_same_configuration_is_refused_for_a_run(read: Read) -> None:
    reading = read({"main.tf": VARIABLES + SMALL % "{ A = var.project }"})
    assert reading.definition is None
    (problem,) = reading.problems
    assert problem.severity == "error"
    assert "variable project has no value and no default" in problem.message


def test_a_variable_without_value_is_told_with_its_declaration_and_how_to_give_it(read: Read) -> None:
    (problem,) = read({"v.tf": VARIABLES, "main.tf": SMALL % "{ A = var.project }"}).problems
    assert "root/v.tf:2:1 declares it" in problem.hint
    assert "--var project=VALUE" in problem.hint


def test_how_many_stages_there_are_must_be_known_for_a_plan_too(read: Read) -> None:
    stages = 'variable "stages" {}\n' + SMALL % '{ A = "x" }'
    dynamic = 'dynamic "stage" {\n for_each = var.stages\n content {\n name = stage.value\n }\n }\n'
    reading = read({"main.tf": stages.replace("stage {", dynamic + "stage {", 1)}, PLANNING)
    assert reading.definition is None
    (problem,) = (one for one in reading.problems if one.severity == "error")
    assert "how many stage blocks there are cannot be known" in problem.message
    assert problem.rule == "unknown-value"
    assert "--var stages=VALUE" in problem.hint


def test_a_number_or_a_list_that_is_not_known_is_left_out_of_a_plan(read: Read) -> None:
    main = 'variable "order" {}\nvariable "inputs" {}\nvariable "one" {}\n' + SMALL % '{ A = "x" }'
    action = next(line for line in main.splitlines() if "output_artifacts" in line)
    main = main.replace(action, "run_order = var.order\ninput_artifacts = var.inputs\noutput_artifacts = [var.one]")
    action_read = only_pipeline(read({"main.tf": main}, PLANNING)).stages[0].actions[0]
    assert action_read.run_order == 1
    assert action_read.input_artifacts == []
    assert [one.name for one in action_read.output_artifacts] == ["${var.one}"]


def test_rules_say_nothing_of_text_that_stands_in_for_a_value(read: Read, tmp_path: Path) -> None:
    main = 'variable "v" {}\n' + SOURCE_AND_BUILD.replace('name            = "Image"', "name = var.v")
    main = main.replace('"${var.owner}/${local.name}"', "var.v").replace("false", "var.v", 1)
    outcome, problems = plan(
        read({"main.tf": main}, PLANNING), RunRequest(), load({}, {"HOME": str(tmp_path)}, tmp_path)
    )
    assert outcome.stages[1].actions[0].name == "${var.v}"
    assert outcome.stages[0].actions[0].configuration["FullRepositoryId"] == "${var.v}"
    assert [one.message for one in problems if one.rule != "unknown-value"] == []


def test_a_role_and_a_store_that_are_not_known_are_still_declared(read: Read, tmp_path: Path) -> None:
    main = 'variable "name" {}\n' + SOURCE_AND_BUILD.replace("aws_iam_role.pipeline.arn", "aws_iam_role.other.arn")
    main = main.replace("aws_s3_bucket.artifacts.bucket", "aws_s3_bucket.other.bucket")
    main += 'resource "aws_iam_role" "other" { name = var.name }\nresource "aws_s3_bucket" "other" {}\n'
    reading = read({"main.tf": main}, PLANNING)
    assert only_pipeline(reading).role_arn == "${aws_iam_role.other.arn}"
    store = only_pipeline(reading).artifact_store
    assert store is not None
    assert store.location == "${aws_s3_bucket.other.bucket}"
    _, problems = plan(reading, RunRequest(), load({}, {"HOME": str(tmp_path)}, tmp_path))
    assert [one.message for one in problems] == []


def test_a_module_that_may_hold_the_pipeline_is_told_when_there_is_none(read: Read) -> None:
    reading = read({"main.tf": 'module "ci" {\n  source = "example/codepipeline/aws"\n}\n'})
    (warning,) = (one for one in reading.problems if one.severity == "warning")
    assert "module ci comes from example/codepipeline/aws" in warning.message
    assert "terraform init" in warning.hint
    assert "no pipeline" in messages(reading)[0]


def planned(folder: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, str]:
    assert run_command_line(["run", str(folder), "--plan", "--json", *arguments]) == 0
    configuration: dict[str, str] = json.loads(capsys.readouterr().out)["stages"][0]["actions"][0]["configuration"]
    return configuration


def test_plan_and_validate_end_with_0_where_a_run_ends_with_2(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PIPEYARD_HOME", str(tmp_path / "home"))
    main = 'variable "project" {}\n' + SOURCE_AND_BUILD.replace("local.name}", "var.project}")
    folder = write({"main.tf": main})
    assert planned(folder, capsys)["FullRepositoryId"] == "acme/${var.project}"
    assert planned(folder, capsys, "--var", "project=shop")["FullRepositoryId"] == "acme/shop"
    assert run_command_line(["run", str(folder)]) == 2
    assert run_command_line(["validate", str(folder)]) == 0


def test_the_workspace_is_the_environments_or_the_selected_one(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PIPEYARD_HOME", str(tmp_path / "home"))
    folder = write({"main.tf": SOURCE_AND_BUILD.replace("local.name}", "terraform.workspace}")})
    assert planned(folder, capsys)["FullRepositoryId"] == "acme/default"
    (folder / ".terraform").mkdir()
    (folder / ".terraform/environment").write_text("test")
    assert planned(folder, capsys)["FullRepositoryId"] == "acme/test"
    monkeypatch.setenv("TF_WORKSPACE", "staging")
    assert planned(folder, capsys)["FullRepositoryId"] == "acme/staging"


@pytest.mark.parametrize("how_many", ["count = module.label.enabled ? 1 : 0", "for_each = toset(module.label.names)"])
def test_a_plan_shows_once_what_there_is_an_unknown_number_of(read: Read, how_many: str) -> None:
    label = 'module "label" {\n  source = "example/label/null"\n}\n'
    main = label + (SMALL % "{ A = each.key }").replace('name     = "p"', f'name = "p"\n{how_many}', 1)
    main = main.replace("each.key", '"x"' if "count" in how_many else "each.key")
    reading = read({"main.tf": main}, PLANNING)
    assert configuration(reading) == {"A": "x" if "count" in how_many else "${each.key}"}
    assert any("planned as if there were one" in problem.message for problem in reading.problems)
    assert read({"main.tf": main}).definition is None


def test_a_plan_looks_into_a_module_whose_number_is_not_known(read: Read) -> None:
    main = 'variable "on" {}\nmodule "ci" {\n  count  = var.on ? 1 : 0\n  source = "./ci"\n}\n'
    files = {"main.tf": main, "ci/main.tf": SMALL % '{ A = "x" }'}
    assert configuration(read(files, PLANNING)) == {"A": "x"}
    (problem,) = read(files).problems
    assert problem.severity == "error"
    assert "how many module.ci there are is not known" in problem.message
    assert "--var on=VALUE" in problem.hint


def test_whether_a_store_is_encrypted_may_be_unknown(read: Read) -> None:
    content = 'content {\n id = var.key\n type = "KMS"\n }\n'
    key = f'dynamic "encryption_key" {{\n for_each = var.key == "" ? [] : [var.key]\n {content}}}\n'
    main = 'variable "key" {}\n' + (SMALL % '{ A = "x" }').replace('type     = "S3"', 'type = "S3"\n' + key, 1)
    for inputs in (PLANNING, Inputs()):
        store = only_pipeline(read({"main.tf": main}, inputs)).artifact_store
        assert store is not None
        assert store.encryption_key is None
