"""Every rule finds what it is about, at its place, and lets a good pipeline pass."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeyard.definition.model import ActionTypeId, Definition
from pipeyard.definition.places import Keys, Places, Reading
from pipeyard.definition.reading import read
from pipeyard.definition.rules.findings import RULES
from pipeyard.definition.validate import validate
from pipeyard.errors import Place, Problem
from tests.definition.pipelines import commands, declaration, pipeline, source, type_id

Bend = Callable[[dict[str, Any]], object]

BUILD: Keys = ("stages", 1, "actions", 0)


class KeyPlaces(Places):
    """Answers with the keys themselves, so that a test sees which value a rule pointed at."""

    def __init__(self) -> None:
        super().__init__("")

    def __getitem__(self, keys: Keys) -> Place:
        return Place("/".join(str(key) for key in keys[2:]))


def problems(bend: Bend) -> tuple[Problem, ...]:
    document = pipeline()
    bend(document)
    return validate(Definition(pipelines=(declaration(document),)), KeyPlaces())


def build(document: dict[str, Any]) -> dict[str, Any]:
    action: dict[str, Any] = document["stages"][1]["actions"][0]
    return action


def add_stage(document: dict[str, Any], *actions: dict[str, Any]) -> object:
    return document["stages"].append({"name": "More", "actions": list(actions)})


def rule(provider: str, **configuration: str) -> dict[str, Any]:
    return {
        "name": "Check",
        "ruleTypeId": {"category": "Rule", "owner": "AWS", "provider": provider, "version": "1"},
        "configuration": configuration,
    }


def condition(result: str, *rules: dict[str, Any]) -> dict[str, Any]:
    return {"conditions": [{"result": result, "rules": list(rules)}]}


def trigger(**filters: Any) -> dict[str, Any]:
    return {
        "providerType": "CodeStarSourceConnection",
        "gitConfiguration": {"sourceActionName": "Checkout", **filters},
    }


def codebuild(name: str = "Test", *inputs: str, **configuration: str) -> dict[str, Any]:
    return {
        "name": name,
        "actionTypeId": type_id("Build", "CodeBuild"),
        "configuration": {"ProjectName": "tests", **configuration},
        "inputArtifacts": [{"name": artifact} for artifact in inputs or ("Src",)],
    }


def deploy(provider: str, **configuration: str) -> dict[str, Any]:
    return {
        "name": "Deploy",
        "actionTypeId": type_id("Deploy", provider),
        "configuration": configuration,
        "inputArtifacts": [{"name": "Src"}],
    }


def stack(mode: str, **configuration: str) -> dict[str, Any]:
    return deploy("CloudFormation", ActionMode=mode, StackName="web", **configuration)


def approval(name: str = "Ok") -> dict[str, Any]:
    return {"name": name, "actionTypeId": type_id("Approval", "Manual")}


def v1(document: dict[str, Any]) -> object:
    document["stages"][1]["actions"] = [codebuild()]
    return document.update(pipelineType="V1")


def test_a_good_pipeline_has_no_problem() -> None:
    assert problems(lambda document: None) == ()


FAULTS: list[tuple[str, str, Bend]] = [
    ("name", "name", lambda p: p.update(name="my pipeline")),
    ("name", "stages/1/name", lambda p: p["stages"][1].update(name="Bild!")),
    ("name", "stages/1/actions/0/name", lambda p: build(p).update(name="a" * 101)),
    ("pipeline-type", "pipelineType", lambda p: p.update(pipelineType="V3")),
    ("execution-mode", "executionMode", lambda p: p.update(executionMode="SERIAL")),
    ("stage-count", "stages", lambda p: p["stages"].pop()),
    ("action-count", "stages/1/actions", lambda p: p["stages"][1].update(actions=[])),
    ("duplicate-name", "stages/1/name", lambda p: p["stages"][1].update(name="Source")),
    ("duplicate-name", "stages/1/actions/1/name", lambda p: p["stages"][1]["actions"].append(codebuild("Image"))),
    (
        "source-stage",
        "stages/0/actions/1/actionTypeId/category",
        lambda p: p["stages"][0]["actions"].append(approval()),
    ),
    ("source-stage", "stages/2/actions/0/actionTypeId/category", lambda p: add_stage(p, source("Two", "Other", "Two"))),
    ("run-order", "stages/1/actions/0/runOrder", lambda p: build(p).update(runOrder=1000)),
    ("timeout", "stages/1/actions/0/timeoutInMinutes", lambda p: build(p).update(timeoutInMinutes=1)),
    ("region", "stages/1/actions/0/region", lambda p: build(p).update(region="Ireland!")),
    (
        "region",
        "stages/1/actions/0/region",
        lambda p: (
            p.pop("artifactStore"),
            p.update(artifactStores={"us-east-1": {"type": "S3", "location": "bbb"}}),
            build(p).update(region="eu-west-1"),
        ),
    ),
    (
        "artifact-store-choice",
        "artifactStores",
        lambda p: p.update(artifactStores={"us-east-1": {"type": "S3", "location": "bbb"}}),
    ),
    (
        "unknown-provider",
        "stages/1/actions/0/actionTypeId/provider",
        lambda p: build(p)["actionTypeId"].update(provider="Kaniko"),
    ),
    (
        "unknown-provider",
        "stages/1/actions/0/actionTypeId/provider",
        lambda p: build(p)["actionTypeId"].update(category="Deploy"),
    ),
    (
        "unknown-provider",
        "stages/1/actions/0/actionTypeId/version",
        lambda p: build(p)["actionTypeId"].update(version="2"),
    ),
    (
        "configuration-key",
        "stages/1/actions/0/configuration/ImageTag",
        lambda p: build(p)["configuration"].update(ImageTag="x"),
    ),
    (
        "configuration-missing",
        "stages/1/actions/0/configuration",
        lambda p: build(p)["configuration"].pop("ECRRepositoryName"),
    ),
    (
        "configuration-value",
        "stages/1/actions/0/configuration/RegistryType",
        lambda p: build(p)["configuration"].update(RegistryType="Private"),
    ),
    (
        "configuration-size",
        "stages/1/actions/0/configuration/DockerFilePath",
        lambda p: build(p)["configuration"].update(DockerFilePath=""),
    ),
    (
        "configuration-size",
        "stages/1/actions/0/configuration/DockerFilePath",
        lambda p: build(p)["configuration"].update(DockerFilePath="x" * 1001),
    ),
    (
        "artifact-not-produced",
        "stages/1/actions/0/inputArtifacts/0/name",
        lambda p: build(p)["inputArtifacts"][0].update(name="Srx"),
    ),
    (
        "artifact-not-produced",
        "stages/1/actions/0/inputArtifacts/0/name",
        lambda p: (
            p["stages"][1]["actions"].append({**codebuild(), "outputArtifacts": [{"name": "Built"}]}),
            build(p)["inputArtifacts"][0].update(name="Built"),
        ),
    ),
    (
        "artifact-not-produced",
        "stages/2/actions/0/configuration/TemplatePath",
        lambda p: add_stage(
            p,
            {
                "name": "Deploy",
                "actionTypeId": type_id("Deploy", "CloudFormation"),
                "configuration": {
                    "ActionMode": "CREATE_UPDATE",
                    "StackName": "web",
                    "RoleArn": "arn:aws:iam::123456789012:role/x",
                    "TemplatePath": "Built::template.yaml",
                },
                "inputArtifacts": [{"name": "Src"}],
            },
        ),
    ),
    ("artifact-count", "stages/1/actions/0/inputArtifacts", lambda p: build(p).update(inputArtifacts=[])),
    (
        "artifact-count",
        "stages/1/actions/0/outputArtifacts",
        lambda p: build(p).update(outputArtifacts=[{"name": "Out"}]),
    ),
    (
        "artifact-name",
        "stages/0/actions/0/outputArtifacts/0/name",
        lambda p: (
            p["stages"][0]["actions"][0].update(outputArtifacts=[{"name": "a b"}]),
            build(p)["inputArtifacts"][0].update(name="a b"),
        ),
    ),
    (
        "duplicate-artifact",
        "stages/0/actions/1/outputArtifacts/0",
        lambda p: p["stages"][0]["actions"].append(source("Two", "Src", "Two")),
    ),
    (
        "configuration-missing",
        "stages/2/actions/0/configuration",
        lambda p: (
            p["stages"][0]["actions"].append(source("Two", "Other", "Two")),
            add_stage(p, codebuild("T", "Src", "Other")),
        ),
    ),
    (
        "undefined-variable",
        "stages/1/actions/0/configuration/ImageTags",
        lambda p: build(p)["configuration"].update(ImageTags="#{SourceVars.CommitID}"),
    ),
    (
        "undefined-variable",
        "stages/1/actions/0/configuration/ImageTags",
        lambda p: build(p)["configuration"].update(ImageTags="#{Src.CommitId}"),
    ),
    (
        "undefined-variable",
        "stages/1/actions/0/configuration/ImageTags",
        lambda p: build(p)["configuration"].update(ImageTags="#{BuildVars.ECRImageDigestId}"),
    ),
    (
        "undefined-variable",
        "stages/1/actions/0/configuration/ImageTags",
        lambda p: build(p)["configuration"].update(ImageTags="#{variables.tag}"),
    ),
    (
        "undefined-variable",
        "stages/1/actions/0/configuration/ImageTags",
        lambda p: build(p)["configuration"].update(ImageTags="#{codepipeline.Id}"),
    ),
    (
        "undefined-variable",
        "stages/2/actions/0/commands/1",
        lambda p: add_stage(p, commands("C", "Src", "ls", "echo #{Nope.X}")),
    ),
    (
        "invalid-reference",
        "stages/1/actions/0/configuration/ImageTags",
        lambda p: build(p)["configuration"].update(ImageTags="#{CommitId}"),
    ),
    ("variable-not-allowed", "stages/1/actions/0/roleArn", lambda p: build(p).update(roleArn="#{SourceVars.CommitId}")),
    ("namespace", "stages/1/actions/0/namespace", lambda p: build(p).update(namespace="codepipeline")),
    ("namespace", "stages/1/actions/0/namespace", lambda p: build(p).update(namespace="a.b")),
    ("duplicate-namespace", "stages/1/actions/0/namespace", lambda p: build(p).update(namespace="SourceVars")),
    ("commands", "stages/1/actions/0/commands", lambda p: build(p).update(commands=["ls"])),
    ("commands", "stages/2/actions/0/commands", lambda p: add_stage(p, {**commands(), "commands": []})),
    ("commands", "stages/2/actions/0/commands/0", lambda p: add_stage(p, commands("C", "Src", "x" * 1001))),
    ("output-variables", "stages/1/actions/0/outputVariables", lambda p: build(p).update(outputVariables=["X"])),
    (
        "output-variables",
        "stages/2/actions/0/outputVariables",
        lambda p: add_stage(p, {**commands(), "outputVariables": [f"V{n}" for n in range(16)]}),
    ),
    (
        "environment-variables",
        "stages/2/actions/0/environmentVariables/0/name",
        lambda p: add_stage(p, {**commands(), "environmentVariables": [{"name": "A-B", "value": "x"}]}),
    ),
    (
        "environment-variables",
        "stages/2/actions/0/environmentVariables/0/type",
        lambda p: add_stage(
            p, {**commands(), "environmentVariables": [{"name": "AB", "value": "x", "type": "SECRET"}]}
        ),
    ),
    ("variable", "variables/0/name", lambda p: p.update(variables=[{"name": "a b", "defaultValue": "x"}])),
    ("variable", "variables/0/defaultValue", lambda p: p.update(variables=[{"name": "ab", "defaultValue": ""}])),
    ("variable", "variables", lambda p: p.update(variables=[{"name": f"v{n}"} for n in range(51)])),
    ("duplicate-name", "variables/1/name", lambda p: p.update(variables=[{"name": "a"}, {"name": "a"}])),
    ("v2-only", "variables", lambda p: (v1(p), p.update(variables=[{"name": "a"}]))),
    (
        "v2-only",
        "triggers",
        lambda p: (v1(p), p.update(triggers=[trigger(push=[{"branches": {"includes": ["main"]}}])])),
    ),
    ("v2-only", "executionMode", lambda p: (v1(p), p.update(executionMode="QUEUED"))),
    ("v2-only", "stages/1/actions/0/actionTypeId/provider", lambda p: p.update(pipelineType="V1")),
    ("v2-only", "stages/1/onFailure", lambda p: (v1(p), p["stages"][1].update(onFailure={"result": "ROLLBACK"}))),
    (
        "configuration-value",
        "stages/2/actions/0/configuration/ComputeType",
        lambda p: add_stage(p, {**commands(), "configuration": {"ComputeType": "BUILD_LAMBDA_1GB"}}),
    ),
    (
        "configuration-missing",
        "stages/2/actions/0/configuration",
        lambda p: add_stage(
            p,
            deploy(
                "ServiceCatalog", ProductId="prod-1", ProductVersionName="2", ProductType="CLOUD_FORMATION_TEMPLATE"
            ),
        ),
    ),
    (
        "configuration-value",
        "stages/2/actions/0/configuration/AppType",
        lambda p: add_stage(
            p,
            {
                **deploy("DeviceFarm", AppType="Windows", ProjectId="p", DevicePoolArn="d", TestType="XCTEST"),
                "actionTypeId": type_id("Test", "DeviceFarm"),
            },
        ),
    ),
    (
        "v2-only",
        "stages/2/actions/0/actionTypeId/provider",
        lambda p: (v1(p), add_stage(p, deploy("Lambda", FunctionName="web"))),
    ),
    (
        "configuration-missing",
        "stages/2/actions/0/configuration",
        lambda p: add_stage(p, stack("CHANGE_SET_REPLACE", ChangeSetName="c", RoleArn="r")),
    ),
    (
        "configuration-missing",
        "stages/2/actions/0/configuration",
        lambda p: add_stage(p, deploy("EC2", InstanceTagKey="Name", InstanceType="EC2", TargetDirectory="/srv")),
    ),
    (
        "configuration-value",
        "stages/2/actions/0/configuration/InstanceType",
        lambda p: add_stage(p, deploy("EC2", InstanceTagKey="Name", InstanceType="ECS", DeploySpec="deploy.yml")),
    ),
    (
        "configuration-missing",
        "stages/2/actions/0/configuration",
        lambda p: add_stage(p, deploy("EKS", ClusterName="web", HelmReleaseName="web")),
    ),
    (
        "configuration-key",
        "stages/2/actions/0/configuration/Alias",
        lambda p: add_stage(p, deploy("Lambda", FunctionName="web", Alias="live")),
    ),
    (
        "configuration-missing",
        "stages/2/actions/0/configuration",
        lambda p: add_stage(p, {**deploy("Lambda", FunctionName="web", FunctionAlias="live"), "inputArtifacts": []}),
    ),
    (
        "condition-rule",
        "stages/1/beforeEntry/conditions/0/rules/0/configuration/AlarmStates",
        lambda p: p["stages"][1].update(
            beforeEntry=condition("FAIL", rule("CloudWatchAlarm", AlarmName="cpu", AlarmStates="OK, BROKEN"))
        ),
    ),
    (
        "condition-rule",
        "stages/1/beforeEntry/conditions/0/rules/0/ruleTypeId",
        lambda p: p["stages"][1].update(
            beforeEntry=condition(
                "FAIL",
                {
                    **rule("DeploymentWindow", Cron="* * ? * MON-FRI *"),
                    "ruleTypeId": {
                        "category": "Rule",
                        "owner": "Custom",
                        "provider": "DeploymentWindow",
                        "version": "1",
                    },
                },
            )
        ),
    ),
    (
        "configuration-size",
        "stages/1/beforeEntry/conditions/0/rules/0/configuration/Value",
        lambda p: p["stages"][1].update(
            beforeEntry=condition("FAIL", rule("VariableCheck", Operator="EQ", Variable="x", Value="v" * 10_001))
        ),
    ),
    ("blocker", "stages/1/blockers/0", lambda p: p["stages"][1].update(blockers=[{"name": "b", "type": "Manual"}])),
    ("condition", "stages/0/onFailure", lambda p: p["stages"][0].update(onFailure={"result": "ROLLBACK"})),
    (
        "condition",
        "stages/1/onFailure",
        lambda p: (p.update(executionMode="PARALLEL"), p["stages"][1].update(onFailure={"result": "ROLLBACK"})),
    ),
    (
        "condition",
        "stages/1/onFailure/retryConfiguration",
        lambda p: p["stages"][1].update(
            onFailure={"result": "FAIL", "retryConfiguration": {"retryMode": "ALL_ACTIONS"}}
        ),
    ),
    (
        "condition",
        "stages/1/onFailure/retryConfiguration/retryMode",
        lambda p: p["stages"][1].update(onFailure={"result": "RETRY", "retryConfiguration": {"retryMode": "SOME"}}),
    ),
    (
        "condition",
        "stages/1/beforeEntry/conditions/0/result",
        lambda p: p["stages"][1].update(
            beforeEntry=condition("ROLLBACK", rule("DeploymentWindow", Cron="0 0 9-17 ? * MON-FRI *"))
        ),
    ),
    ("condition", "stages/1/onSuccess", lambda p: p["stages"][1].update(onSuccess={"conditions": []})),
    (
        "condition",
        "stages/1/beforeEntry/conditions/0/rules",
        lambda p: p["stages"][1].update(beforeEntry=condition("FAIL")),
    ),
    (
        "condition-rule",
        "stages/1/beforeEntry/conditions/0/rules/0/ruleTypeId/provider",
        lambda p: p["stages"][1].update(beforeEntry=condition("FAIL", rule("Clock"))),
    ),
    (
        "condition-rule",
        "stages/1/beforeEntry/conditions/0/rules/0",
        lambda p: p["stages"][1].update(beforeEntry=condition("FAIL", rule("DeploymentWindow"))),
    ),
    (
        "condition-rule",
        "stages/1/beforeEntry/conditions/0/rules/0/configuration/Operator",
        lambda p: p["stages"][1].update(
            beforeEntry=condition(
                "FAIL", rule("VariableCheck", Operator="LIKE", Variable="#{SourceVars.BranchName}", Value="main")
            )
        ),
    ),
    (
        "undefined-variable",
        "stages/1/beforeEntry/conditions/0/rules/0/configuration/Variable",
        lambda p: p["stages"][1].update(
            beforeEntry=condition(
                "FAIL", rule("VariableCheck", Operator="EQ", Variable="#{BuildVars.ECRRepositoryName}", Value="web")
            )
        ),
    ),
    (
        "trigger",
        "triggers/0/gitConfiguration/sourceActionName",
        lambda p: p.update(
            triggers=[{"providerType": "CodeStarSourceConnection", "gitConfiguration": {"sourceActionName": "Checkot"}}]
        ),
    ),
    ("trigger", "triggers/0/gitConfiguration/push/0", lambda p: p.update(triggers=[trigger(push=[{}])])),
    (
        "trigger",
        "triggers/0/gitConfiguration/push/0/branches",
        lambda p: p.update(triggers=[trigger(push=[{"branches": {}}])]),
    ),
    (
        "trigger",
        "triggers/0/gitConfiguration/push/0/branches/includes",
        lambda p: p.update(triggers=[trigger(push=[{"branches": {"includes": [str(n) for n in range(9)]}}])]),
    ),
    (
        "trigger",
        "triggers/0/gitConfiguration/pullRequest/0",
        lambda p: p.update(triggers=[trigger(pullRequest=[{"events": ["OPEN"]}])]),
    ),
    (
        "trigger",
        "triggers/0/gitConfiguration/pullRequest/0/events/0",
        lambda p: p.update(
            triggers=[trigger(pullRequest=[{"events": ["MERGED"], "branches": {"includes": ["main"]}}])]
        ),
    ),
    ("trigger", "triggers/1/gitConfiguration/sourceActionName", lambda p: p.update(triggers=[trigger(), trigger()])),
]


@pytest.mark.parametrize(("name", "place", "bend"), FAULTS, ids=[f"{n}-{f[0]}" for n, f in enumerate(FAULTS)])
def test_what_the_service_refuses_is_an_error_at_its_place(name: str, place: str, bend: Bend) -> None:
    found = [problem for problem in problems(bend) if problem.severity == "error"]
    assert (name, place) in [(problem.rule, problem.place.file) for problem in found]
    assert len(found) == 1, found


WARNINGS: list[tuple[str, str, Bend]] = [
    (
        "trigger",
        "triggers/0/gitConfiguration/push/0",
        lambda p: p.update(
            triggers=[trigger(push=[{"tags": {"includes": ["v*"]}, "branches": {"includes": ["main"]}}])]
        ),
    ),
    ("namespace", "stages/1/actions/0/namespace", lambda p: build(p).update(namespace="Src")),
    (
        "commands",
        "stages/2/actions/0/commands/0",
        lambda p: add_stage(p, commands("C", "Src", "echo a\necho b\n")),
    ),
    (
        "variable-not-allowed",
        "stages/0/actions/0/configuration/BranchName",
        lambda p: (
            p.update(variables=[{"name": "branch", "defaultValue": "main"}]),
            p["stages"][0]["actions"][0]["configuration"].update(BranchName="#{variables.branch}"),
        ),
    ),
    (
        "configuration-missing",
        "stages/2/actions/0/configuration",
        lambda p: add_stage(p, stack("CREATE_UPDATE", TemplatePath="Src::t.yaml")),
    ),
    (
        "artifact-not-produced",
        "stages/2/actions/0/configuration/PrimarySource",
        lambda p: add_stage(p, codebuild("T", "Src", PrimarySource="Other")),
    ),
    ("role-missing", "", lambda p: p.pop("roleArn")),
    ("artifact-store-missing", "", lambda p: p.pop("artifactStore")),
    (
        "artifact-unread",
        "stages/1/actions/1/outputArtifacts/0",
        lambda p: p["stages"][1]["actions"].append({**codebuild(), "outputArtifacts": [{"name": "Built"}]}),
    ),
    (
        "latest-only",
        "stages/1/actions/0/configuration/ImageTags",
        lambda p: build(p)["configuration"].update(ImageTags="latest"),
    ),
    ("latest-only", "stages/1/actions/0/configuration/ImageTags", lambda p: build(p)["configuration"].pop("ImageTags")),
    (
        "invalid-tag",
        "stages/1/actions/0/configuration/ImageTags",
        lambda p: build(p)["configuration"].update(ImageTags="release/1,x"),
    ),
    (
        "invalid-tag",
        "stages/1/actions/0/configuration/ImageTags",
        lambda p: build(p)["configuration"].update(ImageTags="v:#{SourceVars.CommitId}"),
    ),
    (
        "tag-may-be-invalid",
        "stages/1/actions/0/configuration/ImageTags",
        lambda p: build(p)["configuration"].update(ImageTags="#{SourceVars.BranchName}"),
    ),
    (
        "secret-in-plain-text",
        "stages/2/actions/0/environmentVariables/0",
        lambda p: add_stage(p, {**commands(), "environmentVariables": [{"name": "DB_PASSWORD", "value": "hunter2"}]}),
    ),
    (
        "secret-in-plain-text",
        "stages/2/actions/0/configuration/EnvironmentVariables",
        lambda p: add_stage(p, codebuild("T", EnvironmentVariables=json.dumps([{"name": "API_KEY", "value": "x1"}]))),
    ),
    (
        "secret-in-plain-text",
        "stages/2/actions/0/commands/0",
        lambda p: add_stage(p, commands("C", "Src", "export A=AKIAABCDEFGHIJKLMNOP")),
    ),
    (
        "condition-rule",
        "stages/1/beforeEntry/conditions/0/rules/0/configuration/Zone",
        lambda p: p["stages"][1].update(beforeEntry=condition("FAIL", rule("DeploymentWindow", Cron="x", Zone="UTC"))),
    ),
]


@pytest.mark.parametrize(("name", "place", "bend"), WARNINGS, ids=[f"{n}-{f[0]}" for n, f in enumerate(WARNINGS)])
def test_what_is_legal_and_wrong_is_a_warning(name: str, place: str, bend: Bend) -> None:
    assert [(found.severity, found.rule, found.place.file) for found in problems(bend)] == [("warning", name, place)]


@pytest.mark.parametrize(
    "bend",
    [
        lambda p: p.update(
            triggers=[trigger(push=[{"branches": {"includes": ["main"]}, "filePaths": {"excludes": ["d"]}}])]
        ),
        lambda p: p.update(
            triggers=[trigger(pullRequest=[{"events": ["OPEN", "UPDATED"], "branches": {"includes": ["main"]}}])]
        ),
        lambda p: (
            p.update(variables=[{"name": "tag"}]) or build(p)["configuration"].update(ImageTags="#{variables.tag},x")
        ),
        lambda p: build(p)["configuration"].update(ImageTags="#{codepipeline.PipelineExecutionId}"),
        lambda p: p["stages"][1].update(
            onFailure={"result": "RETRY", "retryConfiguration": {"retryMode": "ALL_ACTIONS"}}
        ),
        lambda p: p["stages"][1].update(
            onSuccess=condition(
                "FAIL", rule("VariableCheck", Operator="EQ", Variable="#{BuildVars.ECRRepositoryName}", Value="web")
            )
        ),
        lambda p: add_stage(
            p,
            {**commands(), "namespace": "C", "outputVariables": ["A"]},
            {**commands("D", "Src", "echo #{C.A}"), "runOrder": 2},
        ),
        lambda p: add_stage(
            p,
            codebuild(
                "T", EnvironmentVariables=json.dumps([{"name": "API_KEY", "value": "x", "type": "SECRETS_MANAGER"}])
            ),
        ),
        lambda p: add_stage(
            p,
            {
                "name": "Ok",
                "actionTypeId": type_id("Approval", "Manual"),
                "timeoutInMinutes": 60,
                "configuration": {"CustomData": "#{SourceVars.CommitMessage}"},
            },
        ),
        lambda p: add_stage(p, deploy("Lambda", FunctionName="web")),
        lambda p: add_stage(
            p, {**commands(), "configuration": {"EnvironmentType": "LINUX_CONTAINER", "Subnets": "subnet-1,subnet-2"}}
        ),
        lambda p: add_stage(p, commands("C", "Src", "echo a\n")),
        lambda p: add_stage(p, deploy("ServiceCatalog", ProductId="prod-1", ConfigurationFilePath="c.json")),
        lambda p: (
            v1(p),
            add_stage(
                p,
                {
                    "name": "Scan",
                    "actionTypeId": type_id("Invoke", "InspectorScan"),
                    "configuration": {"InspectorRunMode": "SourceCodeScan"},
                    "inputArtifacts": [{"name": "Src"}],
                },
            ),
        ),
        lambda p: add_stage(
            p,
            {
                **deploy("Lambda", FunctionName="web", FunctionAlias="live", PublishedTargetVersion="7", Alarms="cpu"),
                "inputArtifacts": [],
            },
        ),
        lambda p: add_stage(
            p,
            deploy(
                "EC2",
                InstanceTagKey="Name",
                InstanceTagValue="web",
                InstanceType="SSM_MANAGED_NODE",
                TargetDirectory="/srv",
                PostScript="after.sh",
                MaxBatch="50%",
            ),
        ),
        lambda p: add_stage(p, deploy("EC2", InstanceTagKey="Name", InstanceType="EC2", DeploySpec="deploy.yml")),
        lambda p: add_stage(p, deploy("EKS", ClusterName="web", ManifestFiles="web.yaml", Namespace="web")),
        lambda p: add_stage(p, deploy("EKS", ClusterName="web", HelmReleaseName="web", HelmChartLocation="chart")),
        lambda p: add_stage(p, stack("CHANGE_SET_EXECUTE", ChangeSetName="c")),
        lambda p: p["stages"][1].update(
            beforeEntry=condition(
                "SKIP",
                rule("CloudWatchAlarm", AlarmName="cpu", AlarmStates="OK,INSUFFICIENT_DATA", WaitTime="5"),
            )
        ),
        lambda p: add_stage(
            p,
            {
                "name": "Scan",
                "actionTypeId": type_id("Invoke", "InspectorScan"),
                "configuration": {
                    "InspectorRunMode": "ECRImageScan",
                    "ECRRepositoryName": "web",
                    "ImageTag": "#{SourceVars.CommitId}",
                    "CriticalThreshold": "0",
                },
            },
        ),
    ],
)
def test_what_the_service_takes_passes_without_a_word(bend: Bend) -> None:
    assert problems(bend) == ()


def test_a_misspelt_variable_is_told_with_what_there_is() -> None:
    (problem,) = problems(lambda p: build(p)["configuration"].update(ImageTags="#{SourceVars.CommitID},x"))
    assert problem.message == "ImageTags uses #{SourceVars.CommitID}, which no action puts out"
    assert problem.hint.startswith(
        "names are case-sensitive: CommitId; action Checkout (namespace SourceVars) puts out"
    )


def test_an_unknown_provider_is_told_with_those_that_exist() -> None:
    (problem,) = problems(lambda p: build(p)["actionTypeId"].update(provider="ECRBuildPublish"))
    assert problem.message == "action Image has the unknown provider ECRBuildPublish"
    assert problem.hint == "did you mean ECRBuildAndPublish? There are CodeBuild, ECRBuildAndPublish"


def test_a_provider_that_only_the_cloud_has_is_a_warning_where_others_can_be_carried_out() -> None:
    document = pipeline()
    add_stage(document, codebuild())
    known = [ActionTypeId(category="Source", owner="AWS", provider="CodeStarSourceConnection")]
    known.append(ActionTypeId(category="Build", owner="AWS", provider="ECRBuildAndPublish"))
    definition = Definition(pipelines=(declaration(document),))
    (problem,) = validate(definition, KeyPlaces(), implemented=known)
    assert (problem.severity, problem.rule) == ("warning", "provider-not-implemented")
    assert problem.hint == "Build providers that can be: ECRBuildAndPublish"


def test_an_action_type_of_an_installed_package_is_no_error() -> None:
    document = pipeline()
    add_stage(
        document, {"name": "Own", "actionTypeId": type_id("Test", "Bench", "Custom"), "configuration": {"A": "b"}}
    )
    custom = ActionTypeId(category="Test", owner="Custom", provider="Bench")
    known = [custom, *(declaration(pipeline()).stages[n].actions[0].action_type_id for n in (0, 1))]
    assert validate(Definition(pipelines=(declaration(document),)), KeyPlaces(), implemented=known) == ()


def test_a_secret_that_a_hidden_parameter_brings_stands_in_no_text() -> None:
    document = pipeline()
    document["stages"][0]["actions"].append(
        {
            "name": "Fork",
            "actionTypeId": type_id("Source", "GitHub", "ThirdParty"),
            "configuration": {"Owner": "a", "Repo": "b", "Branch": "main", "OAuthToken": "hunter2"},
            "outputArtifacts": [{"name": "Fork"}],
        }
    )
    found = validate(Definition(pipelines=(declaration(document),)), KeyPlaces())
    assert [problem.rule for problem in found] == ["secret-in-plain-text"]
    assert validate(Definition(pipelines=(declaration(document),), hidden=("hunter2",)), KeyPlaces()) == ()


def test_two_pipelines_of_one_name_are_an_error() -> None:
    same = declaration(pipeline())
    (problem,) = validate(Definition(pipelines=(same, same)), KeyPlaces())
    assert problem.rule == "duplicate-name"


def test_errors_come_first_and_then_the_order_of_the_text(tmp_path: Path) -> None:
    document = pipeline()
    document.pop("roleArn")
    document["name"] = "a b"
    build(document)["configuration"]["Nothing"] = "x"
    path = tmp_path / "p.json"
    path.write_text(json.dumps(document, indent=1))
    reading: Reading = read(path)
    assert reading.definition is not None
    found = validate(reading.definition, reading.places)
    assert [problem.rule for problem in found] == ["name", "configuration-key", "role-missing"]
    assert all(problem.place.line > 0 for problem in found)


def test_every_rule_that_is_found_is_in_the_table_and_the_other_way_round() -> None:
    folder = Path(__file__).parents[2] / "src/pipeyard/definition"
    sources = "".join(path.read_text() for path in (*folder.glob("rules/*.py"), folder / "validate.py"))
    listed = (folder / "rules/findings.py").read_text()
    used = sources.replace(listed, "")
    assert [name for name in RULES if f'"{name}"' not in used] == []
    found = {problem.rule for _, _, bend in (*FAULTS, *WARNINGS) for problem in problems(bend)}
    assert found <= set(RULES)
