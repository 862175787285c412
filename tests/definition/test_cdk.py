"""Cloud assemblies of real CDK apps: several stacks, stages, exports, environments, CDK Pipelines."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeyard.definition.model import ActionDeclaration, Definition
from pipeyard.definition.places import Inputs
from pipeyard.definition.reading import read
from pipeyard.definition.validate import validate
from pipeyard.errors import InputError

HERE = Path(__file__).parent / "cdk"
"""app.js and the cdk.out that it makes; delivery.js and its delivery.out."""


def test_an_assembly_gives_the_pipelines_of_all_its_stacks_and_stages() -> None:
    check(HERE / "cdk.out")


def test_the_folder_of_the_app_is_read_by_its_cdk_out(tmp_path: Path) -> None:
    shutil.copytree(HERE / "cdk.out", tmp_path / "cdk.out")
    assert read(tmp_path).definition == read(HERE / "cdk.out").definition


def test_a_synthesized_template_alone_is_read_as_well() -> None:
    reading = read(HERE / "cdk.out/WebPipeline.template.json", Inputs(imports=EXPORTS))
    assert reading.definition is not None
    assert [pipeline.name for pipeline in reading.definition.pipelines] == ["web"]


def test_without_its_neighbour_a_stack_tells_what_it_imports() -> None:
    reading = read(HERE / "cdk.out/WebPipeline.template.json")
    assert reading.definition is None
    assert "Fn::ImportValue WebBase:" in reading.problems[0].message
    assert "settings' table imports" in reading.problems[0].hint


def test_pipelines_that_update_themselves_and_those_of_nested_stacks_are_planned(tmp_path: Path) -> None:
    check_delivery(HERE / "delivery.out", tmp_path)


def test_freshly_synthesized_apps_read_the_same(tmp_path: Path) -> None:
    # npm and node come with the development requirements, from PyPI.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    node, npm = shutil.which("node", path=path), shutil.which("npm", path=path)
    assert node, "the development requirements bring node"
    assert npm, "the development requirements bring npm"
    (tmp_path / "package.json").write_text('{"private": true}')
    install = [npm, "install", "--no-audit", "--no-fund", "--fetch-retries=0", "--fetch-timeout=20000"]
    environment = {**os.environ, "PATH": path}
    try:
        done = subprocess.run(
            [*install, "aws-cdk-lib@2", "constructs@10"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
        )
    except subprocess.TimeoutExpired:
        pytest.skip("aws-cdk-lib could not be installed from npm in four minutes")
    if done.returncode:
        pytest.skip(f"aws-cdk-lib could not be installed from npm: {done.stderr.strip().splitlines()[-1:]}")
    shutil.copytree(HERE, tmp_path, ignore=shutil.ignore_patterns("*.out"), dirs_exist_ok=True)
    for app in ("app", "delivery"):
        out = {"CDK_OUTDIR": str(tmp_path / f"{app}.out"), "PATH": "/usr/bin:/bin"}
        subprocess.run([node, f"{app}.js"], cwd=tmp_path, env=out, check=True)
    shutil.rmtree(tmp_path / "node_modules")  # pytest keeps its folders, and this one has 180 MB
    check(tmp_path / "app.out")
    check_delivery(tmp_path / "delivery.out", tmp_path)


def test_a_broken_manifest_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"artifacts": ')
    with pytest.raises(InputError, match="holds no pipeline definition"):
        read(tmp_path)


def test_an_assembly_without_a_pipeline_is_an_error(tmp_path: Path) -> None:
    stack = {"type": "aws:cloudformation:stack", "properties": {"templateFile": "t.json"}}
    (tmp_path / "manifest.json").write_text(json.dumps({"version": "40.0.0", "artifacts": {"Web": stack}}))
    (tmp_path / "t.json").write_text('{"Resources": {"B": {"Type": "AWS::S3::Bucket"}}}')
    reading = read(tmp_path)
    assert reading.definition is None
    assert [problem.message for problem in reading.problems] == ["no stack of the assembly declares a pipeline"]


def test_an_error_in_the_second_pipeline_points_into_its_own_template(tmp_path: Path) -> None:
    shutil.copytree(HERE / "cdk.out", tmp_path / "cdk.out")
    template = tmp_path / "cdk.out/WebPipeline.template.json"
    template.write_text(
        template.read_text().replace('"#{SourceVars.CommitId},latest"', '"#{SourceVars.Commit},latest"')
    )
    reading = read(tmp_path)
    assert reading.definition is not None
    (problem,) = [found for found in validate(reading.definition, reading.places) if found.severity == "error"]
    assert problem.place.file == str(template)
    assert "#{SourceVars.Commit}" in template.read_text().splitlines()[problem.place.line - 1]


EXPORTS = {"WebBase:ExportsOutputRefRepository22E53BBD9A9E013B": "web"}


def check(assembly: Path) -> None:
    reading = read(assembly)
    assert [problem for problem in reading.problems if problem.severity == "error"] == []
    definition = reading.definition
    assert definition is not None
    assert [problem for problem in validate(definition, reading.places) if problem.severity == "error"] == []
    assert sorted(pipeline.name for pipeline in definition.pipelines) == ["NightlyC44EE0A7", "web"]
    web = next(pipeline for pipeline in definition.pipelines if pipeline.name == "web")
    assert [stage.name for stage in web.stages] == ["Source", "Build", "Check", "Approve"]
    assert (web.pipeline_type, web.execution_mode) == ("V2", "QUEUED")
    assert web.triggers[0].git_configuration.push[0].branches is not None
    assert action(definition, "Image").configuration == {
        "ECRRepositoryName": "web",
        "DockerFilePath": "./service",
        "ImageTags": "#{SourceVars.CommitId},latest",
        "RegistryType": "private",
    }
    assert action(definition, "Scan").configuration["InspectorRunMode"] == "ECRImageScan"
    assert action(definition, "Smoke").commands == ["echo #{variables.environment}", "export RESULT=ok"]
    assert action(definition, "Smoke").output_variables == ["RESULT"]
    assert action(definition, "Release").timeout_in_minutes == 480
    (project,) = definition.projects
    assert project.name == action(definition, "Test").configuration["ProjectName"]
    variables = {variable.name: variable.value for variable in project.environment_variables}
    assert variables["STAGE"] == "test"
    assert variables["REPOSITORY"] == "111122223333.dkr.ecr.eu-west-1.amazonaws.com/web"
    assert json.loads(project.buildspec or "")["env"] == {"exported-variables": ["VERSION"]}
    assert {repository.name: repository.scan_on_push for repository in definition.repositories}["web"] is True
    assert [(entry.stage, entry.reason) for entry in definition.transitions] == [("Approve", "not yet")]


def action(definition: Definition, name: str) -> ActionDeclaration:
    web = next(pipeline for pipeline in definition.pipelines if pipeline.name == "web")
    return next(found for _, found in web.actions() if found.name == name)


def check_delivery(assembly: Path, home: Path) -> None:
    delivery = planned(assembly, home, "shop-delivery")
    stages = ["Source", "Build", "UpdatePipeline", "Assets", "Beta", "Production"]
    assert [stage["name"] for stage in delivery["stages"]] == stages
    actions = {action["name"]: action for stage in delivery["stages"] for action in stage["actions"]}
    (checkout, *_) = delivery["stages"][0]["actions"]
    assert checkout["configuration"]["FullRepositoryId"] == "example/shop"
    assert actions["SelfMutate"]["configuration"]["ProjectName"] == "shop-delivery-selfupdate"
    assert (actions["SelfMutate"]["provider"], actions["SelfMutate"]["input_artifacts"]) == (
        "CodeBuild",
        ["Synth_Output"],
    )
    ohio = actions["Ohio.Service.Prepare"]
    assert ohio["region"] == "us-east-2"
    assert ohio["role_arn"] == "arn:aws:iam::444455556666:role/cdk-hnb659fds-deploy-role-444455556666-us-east-2"
    assert ohio["configuration"]["StackName"] == "Ohio-Service"
    assert ohio["configuration"]["ActionMode"] == "CHANGE_SET_REPLACE"
    assert ohio["configuration"]["TemplatePath"].startswith("Synth_Output::assembly-Ohio/OhioService")
    assert (ohio["run_order"], actions["Ohio.Service.Deploy"]["run_order"], actions["Release"]["run_order"]) == (
        2,
        3,
        1,
    )
    (variable,) = json.loads(actions["Smoke"]["configuration"]["EnvironmentVariables"])
    assert variable["value"] == f"#{{{actions['Service.Deploy']['namespace']}.Url}}"
    outer, inner = planned(assembly, home, "shop-outer"), planned(assembly, home, "shop-inner")
    assert [stage["name"] for stage in inner["stages"]] == ["Source", "Build", "Scan"]
    for pipeline in (outer, inner):
        archive, image, scan, approval = (action for stage in pipeline["stages"] for action in stage["actions"])
        assert archive["configuration"]["S3ObjectKey"] == "develop/source.zip"
        assert archive["configuration"]["S3Bucket"] == outer["stages"][0]["actions"][0]["configuration"]["S3Bucket"]
        assert image["configuration"]["ECRRepositoryName"].startswith("base-repository")
        assert scan["configuration"] == {"InspectorRunMode": "SourceCodeScan", "CriticalThreshold": "0"}
        assert approval["configuration"]["NotificationArn"].startswith(
            "arn:aws:sns:eu-west-1:111122223333:Base-Approvals"
        )
        assert (image["provider"], approval["provider"]) == ("ECRBuildAndPublish", "Manual")


def planned(assembly: Path, home: Path, pipeline: str) -> dict[str, Any]:
    """What `run --plan --json` prints of one pipeline."""
    command = [sys.executable, "-m", "pipeyard", "run", str(assembly), "--pipeline", pipeline, "--plan", "--json"]
    environment = {"HOME": str(home), "PIPEYARD_HOME": str(home / "home"), "PATH": os.defpath}
    done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found
