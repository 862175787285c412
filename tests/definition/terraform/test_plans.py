import json
from pathlib import Path
from typing import Any

from pipeyard.definition.places import Inputs
from pipeyard.definition.terraform import TerraformReader

ACTION: dict[str, Any] = {
    "name": "Checkout",
    "category": "Source",
    "owner": "AWS",
    "provider": "CodeStarSourceConnection",
    "version": "1",
    "run_order": 1,
    "role_arn": None,
    "region": "",
    "namespace": "SourceVars",
    "timeout_in_minutes": None,
    "input_artifacts": [],
    "output_artifacts": ["source"],
    "configuration": {"FullRepositoryId": "acme/shop", "BranchName": "main"},
}
PIPELINE = {
    "address": "module.delivery.aws_codepipeline.this",
    "mode": "managed",
    "type": "aws_codepipeline",
    "name": "this",
    "values": {
        "name": "shop",
        "pipeline_type": "V2",
        "artifact_store": [{"encryption_key": [], "location": "artifacts", "region": "", "type": "S3"}],
        "stage": [{"name": "Source", "action": [ACTION], "before_entry": [], "on_failure": [], "on_success": []}],
        "trigger": [],
        "variable": [{"name": "Tag", "default_value": "latest", "description": None}],
        "tags": None,
    },
}
CONNECTION = {
    "address": "aws_codestarconnections_connection.git",
    "mode": "managed",
    "type": "aws_codestarconnections_connection",
    "name": "git",
    "values": {"name": "git", "provider_type": "GitHub"},
}


def plan(resources: list[Any], unknown: Any) -> dict[str, Any]:
    return {
        "format_version": "1.2",
        "planned_values": {"root_module": {"resources": resources, "child_modules": [{"resources": [PIPELINE]}]}},
        "resource_changes": [{"address": PIPELINE["address"], "change": {"after_unknown": unknown}}],
    }


OPEN_ARN = {"arn": True, "stage": [{"action": [{"configuration": {"ConnectionArn": True}}]}]}


def write(folder: Path, document: object) -> Path:
    path = folder / "plan.json"
    path.write_text(json.dumps(document, indent=1))
    return path


def test_a_plan_is_read_with_what_its_modules_declare(tmp_path: Path) -> None:
    path = write(tmp_path, plan([CONNECTION], OPEN_ARN))
    assert TerraformReader().recognises(path)
    reading = TerraformReader().read(path, Inputs(region="eu-west-1"))
    assert reading.definition is not None
    (pipeline,) = reading.definition.pipelines
    action = pipeline.stages[0].actions[0]
    assert (pipeline.name, pipeline.variables[0].default_value, action.region) == ("shop", "latest", None)
    assert action.configuration["FullRepositoryId"] == "acme/shop"
    assert action.configuration["ConnectionArn"] == reading.definition.connections[0].arn
    assert ":eu-west-1:" in action.configuration["ConnectionArn"]
    assert reading.places[("pipelines", 0, "stages", 0, "actions", 0, "configuration", "BranchName")].line > 1


def test_what_a_plan_leaves_open_is_an_error_where_the_pipeline_needs_it(tmp_path: Path) -> None:
    reading = TerraformReader().read(write(tmp_path, plan([], OPEN_ARN)))
    assert reading.definition is None
    assert "ConnectionArn" in reading.problems[0].message
    assert "known after apply" in reading.problems[0].message


def test_the_json_of_a_state_is_read_as_well(tmp_path: Path) -> None:
    state = {"format_version": "1.0", "values": {"root_module": {"resources": [PIPELINE, CONNECTION]}}}
    reading = TerraformReader().read(write(tmp_path, state))
    assert reading.definition is not None
    assert reading.definition.pipelines[0].name == "shop"


def test_other_json_is_no_plan(tmp_path: Path) -> None:
    assert not TerraformReader().recognises(write(tmp_path, {"format_version": "1.2"}))
    assert not TerraformReader().recognises(write(tmp_path, {"Resources": {}}))


def test_a_plan_has_every_instance_in_modules_of_modules_and_nothing_of_the_state_before(tmp_path: Path) -> None:
    def named(address: str, name: str) -> dict[str, Any]:
        return {**PIPELINE, "address": address, "values": {**PIPELINE["values"], "name": name}}  # type: ignore[dict-item]

    deep = {"address": "module.a", "child_modules": [{"resources": [named('module.a["x.y"].module.b.p', "deep")]}]}
    planned = [named("aws_codepipeline.p[0]", "first"), named('aws_codepipeline.p["a.b"]', "keyed")]
    document = {
        "format_version": "1.2",
        "planned_values": {"root_module": {"resources": planned, "child_modules": [deep]}},
        "prior_state": {"values": {"root_module": {"resources": [named("aws_codepipeline.old", "old")]}}},
        "resource_changes": [{"address": "aws_codepipeline.old", "change": {"after_unknown": {"name": True}}}],
    }
    reading = TerraformReader().read(write(tmp_path, document))
    assert reading.definition is not None
    assert [pipeline.name for pipeline in reading.definition.pipelines] == ["first", "keyed", "deep"]
