"""CodeBuild's control plane: projects are kept as declared, a build is what its runner says it is."""

from contextlib import ExitStack
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pipeyard.aws.parts import StartedBuild
from tests.aws.conftest import Yard, code_of, open_yard

PROJECT: dict[str, Any] = {
    "name": "app",
    "source": {"type": "GITHUB", "location": "https://example.com/team/app.git", "buildspec": "ci.yml"},
    "artifacts": {"type": "NO_ARTIFACTS"},
    "environment": {
        "type": "LINUX_CONTAINER",
        "image": "aws/codebuild/standard:7.0",
        "computeType": "BUILD_GENERAL1_SMALL",
        "environmentVariables": [{"name": "A", "value": "1"}, {"name": "B", "value": "1"}],
    },
    "serviceRole": "arn:aws:iam::123456789012:role/build",
}


def test_a_project_is_its_regions(yard: Yard) -> None:
    here, there = yard.client("codebuild"), yard.client("codebuild", "eu-west-1")
    here.create_project(**PROJECT, tags=[{"key": "team", "value": "größe 1"}])
    assert here.list_projects()["projects"] == ["app"]
    assert there.list_projects()["projects"] == []
    here.update_project(name="app", description="new")
    found = here.batch_get_projects(names=["app", "other"])
    assert (found["projects"][0]["description"], found["projects"][0]["source"]) == ("new", PROJECT["source"])
    assert found["projectsNotFound"] == ["other"]


@pytest.mark.parametrize(
    "change",
    [
        {"serviceRole": "arn:aws:iam::210987654321:role/build"},
        {"source": {"type": "GITHUB"}},
        {"source": {"type": "NO_SOURCE"}},
        {"artifacts": {"type": "S3"}},
        {"artifacts": {"type": "CODEPIPELINE"}},
        {"serviceRole": "arn:aws:iam::0000:role/build"},
    ],
)
def test_a_project_that_could_not_work_is_refused(yard: Yard, change: dict[str, Any]) -> None:
    with pytest.raises(ClientError) as error:
        yard.client("codebuild").create_project(**{**PROJECT, **change})
    assert code_of(error) == "InvalidInputException"


def test_a_build_without_a_runner_fails_and_says_why(yard: Yard) -> None:
    codebuild = yard.client("codebuild")
    codebuild.create_project(**PROJECT)
    started = codebuild.start_build(projectName="app")["build"]
    found = codebuild.batch_get_builds(ids=[started["id"], "app:none"])
    build = found["builds"][0]
    assert (build["buildStatus"], build["buildComplete"], build["currentPhase"]) == ("FAILED", True, "COMPLETED")
    assert "runs builds" in build["phases"][2]["contexts"][0]["message"]
    assert found["buildsNotFound"] == ["app:none"]


def test_a_runner_gets_project_and_overrides_merged_and_its_reports_are_told(tmp_path: Path) -> None:
    started: list[StartedBuild] = []
    stopped = Event()

    def run(build: StartedBuild) -> Any:
        started.append(build)
        return stopped.set

    with ExitStack() as lifetime:
        codebuild = open_yard(tmp_path, lifetime, run_build=run).client("codebuild")
        codebuild.create_project(**PROJECT)
        first = codebuild.start_build(
            projectName="app",
            sourceVersion="main",
            buildspecOverride="other.yml",
            imageOverride="example:1",
            environmentVariablesOverride=[{"name": "B", "value": "2"}],
        )["build"]
        build = started[0].build
        assert build["source"] == {**PROJECT["source"], "buildspec": "other.yml"}
        assert (build["environment"]["image"], build["sourceVersion"]) == ("example:1", "main")
        assert {each["name"]: each["value"] for each in build["environment"]["environmentVariables"]} == {
            "A": "1",
            "B": "2",
        }
        started[0].update({"currentPhase": "BUILD"})
        assert codebuild.batch_get_builds(ids=[first["id"]])["builds"][0]["currentPhase"] == "BUILD"
        started[0].update({"buildComplete": True, "buildStatus": "SUCCEEDED", "currentPhase": "COMPLETED"})
        assert codebuild.stop_build(id=first["id"])["build"]["buildStatus"] == "SUCCEEDED"
        assert not stopped.is_set()

        second = codebuild.retry_build(id=first["id"])["build"]
        assert (second["buildNumber"], second["source"]["buildspec"]) == (2, "other.yml")
        assert codebuild.stop_build(id=second["id"])["build"]["buildStatus"] == "STOPPED"
        assert stopped.is_set()
        started[1].update({"buildStatus": "SUCCEEDED", "buildComplete": True})
        assert codebuild.batch_get_builds(ids=[second["id"]])["builds"][0]["buildStatus"] == "STOPPED"
        assert codebuild.list_builds_for_project(projectName="app")["ids"] == [second["id"], first["id"]]


def test_a_repeated_request_begins_one_build(yard: Yard) -> None:
    codebuild = yard.client("codebuild")
    codebuild.create_project(**PROJECT)
    first = codebuild.start_build(projectName="app", idempotencyToken="once")["build"]["id"]
    assert codebuild.start_build(projectName="app", idempotencyToken="once")["build"]["id"] == first
    with pytest.raises(ClientError) as error:
        codebuild.start_build(projectName="app", idempotencyToken="once", sourceVersion="other")
    assert code_of(error) == "InvalidInputException"
    assert codebuild.list_builds_for_project(projectName="app")["ids"] == [first]
