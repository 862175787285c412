"""CodeBuild on `pipeyard serve`: builds that clients start run, tell of their phases and leave logs and artifacts."""

import json
import os
import shutil
import signal
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.journeys.projects import DECLARATION
from tests.journeys.serving import KEY, SECRET, Server, serving, until
from tests.journeys.yard import Yard
from tests.source.git_repositories import commit, make_repository

ROLE = "arn:aws:iam::123456789012:role/build"
ENVIRONMENT = {
    "type": "LINUX_CONTAINER",
    "image": "aws/codebuild/standard:7.0",
    "computeType": "BUILD_GENERAL1_SMALL",
    "environmentVariables": [{"name": "GREETING", "value": "hello"}],
}
HOST = {"PIPEYARD_BUILD_IMAGES": "*=host"}
SPEC = """\
version: 0.2
env:
  exported-variables: [COMMIT]
phases:
  install:
    commands:
      - cd data && export COMMIT=$(echo $CODEBUILD_RESOLVED_SOURCE_VERSION | cut -c 1-7)
  build:
    commands:
      - echo "$GREETING $(cat name) $CODEBUILD_SOURCE_VERSION" | tee ../greeting
      - echo number $CODEBUILD_BUILD_NUMBER of $CODEBUILD_BUILD_ID in $AWS_REGION by $CODEBUILD_INITIATOR
artifacts:
  files: [greeting]
"""


def project(server: Server, source: dict[str, Any], **more: Any) -> Any:
    codebuild = server.client("codebuild")
    codebuild.create_project(
        **{
            "name": "app",
            "source": source,
            "artifacts": {"type": "NO_ARTIFACTS"},
            "environment": ENVIRONMENT,
            "serviceRole": ROLE,
            **more,
        }
    )
    return codebuild


def ended(codebuild: Any, build_id: str) -> dict[str, Any]:
    found: dict[str, Any] = until(
        lambda: next((b for b in codebuild.batch_get_builds(ids=[build_id])["builds"] if b["buildComplete"]), None),
        "the end of the build",
    )
    return found


def phases(build: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["phaseType"], each.get("phaseStatus", "")) for each in build["phases"]]


def lines(server: Server, build: dict[str, Any]) -> list[str]:
    asked = {"logGroupName": build["logs"]["groupName"], "logStreamName": build["logs"]["streamName"]}
    return [each["message"] for each in server.client("logs").get_log_events(**asked, startFromHead=True)["events"]]


def test_a_repository_is_built_with_the_phases_variables_and_artifacts_of_the_service(yard: Yard) -> None:
    repository, bucket = yard.folder / "app", yard.folder / "bucket"
    bucket.mkdir()
    older = make_repository(repository, {"buildspec.yml": SPEC, "data/name": "Ann\n"})
    commit(repository, {"data/name": "Bo\n"}, "Another")
    connections = f"team/app={repository},artifacts={bucket}"
    with serving(yard, **HOST, PIPEYARD_CONNECTIONS=connections) as server:
        codebuild = project(
            server,
            {"type": "GITHUB", "location": "https://github.com/team/app.git"},
            artifacts={"type": "S3", "location": "artifacts", "path": "out", "name": "app.zip", "packaging": "ZIP"},
        )
        started = codebuild.start_build(
            projectName="app",
            sourceVersion=older,
            environmentVariablesOverride=[{"name": "GREETING", "value": "hi"}],
        )["build"]
        build = ended(codebuild, started["id"])
        said = lines(server, build)
    assert (build["buildStatus"], build["currentPhase"]) == ("SUCCEEDED", "COMPLETED"), said
    assert phases(build) == [
        *((name, "SUCCEEDED") for name in ("SUBMITTED", "QUEUED", "PROVISIONING", "DOWNLOAD_SOURCE", "INSTALL")),
        *((name, "SUCCEEDED") for name in ("PRE_BUILD", "BUILD", "POST_BUILD", "UPLOAD_ARTIFACTS", "FINALIZING")),
        ("COMPLETED", ""),
    ]
    assert f"hi Ann {older}" in said
    assert f"number 1 of {started['id']} in us-east-1 by root" in said
    assert build["resolvedSourceVersion"] == older
    assert build["exportedEnvironmentVariables"] == [{"name": "COMMIT", "value": older[:7]}]
    assert build["artifacts"]["location"] == "arn:aws:s3:::artifacts/out/app.zip"
    with zipfile.ZipFile(bucket / "out/app.zip") as made:
        assert {name: made.read(name) for name in made.namelist()} == {"greeting": f"hi Ann {older}\n".encode()}


def test_a_failed_command_fails_its_phase_and_the_build_with_the_services_words(yard: Yard) -> None:
    spec = {
        "version": "0.2",
        "phases": {"build": {"commands": ["echo before", "exit 3"]}, "post_build": {"commands": ["echo after"]}},
    }
    with serving(yard, **HOST) as server:
        codebuild = project(server, {"type": "NO_SOURCE", "buildspec": "version: 0.2\nphases: {}\n"})
        started = codebuild.start_build(projectName="app", buildspecOverride=json.dumps(spec))["build"]
        build = ended(codebuild, started["id"])
        again = codebuild.retry_build(id=started["id"])["build"]
        assert ended(codebuild, again["id"])["buildNumber"] == 2
        assert codebuild.list_builds()["ids"] == sorted([started["id"], again["id"]])
        said = lines(server, build)
    assert build["buildStatus"] == "FAILED"
    found = dict(phases(build))
    assert (found["BUILD"], found["POST_BUILD"], found["FINALIZING"]) == ("FAILED", "SUCCEEDED", "SUCCEEDED")
    failed = next(each for each in build["phases"] if each["phaseType"] == "BUILD")
    assert failed["contexts"] == [
        {
            "statusCode": "COMMAND_EXECUTION_ERROR",
            "message": "Error while executing command: exit 3. Reason: exit status 3",
        }
    ]
    assert said.index("before") < said.index("after")


@pytest.mark.parametrize(
    ("change", "phase", "code", "told"),
    [
        ({"imageOverride": "127.0.0.1:1/none:1"}, "PROVISIONING", "BUILD_CONTAINER_UNABLE_TO_PULL_IMAGE", "connect"),
        (
            {"sourceTypeOverride": "CODECOMMIT", "sourceLocationOverride": "https://git-codecommit/v1/repos/app"},
            "DOWNLOAD_SOURCE", "CLIENT_ERROR", 'connections."app"',
        ),
        ({"buildspecOverride": "version: 0.2\nphases: [1]\n"}, "DOWNLOAD_SOURCE", "YAML_FILE_ERROR", "buildspec:2"),
    ],
)  # fmt: skip
def test_what_cannot_begin_fails_in_the_phase_that_it_belongs_to(
    yard: Yard, change: dict[str, str], phase: str, code: str, told: str
) -> None:
    images = "aws/codebuild/=host"
    with serving(yard, PIPEYARD_BUILD_IMAGES=images) as server:
        codebuild = project(
            server, {"type": "NO_SOURCE", "buildspec": "version: 0.2\nphases: {build: {commands: [a]}}"}
        )
        build = ended(codebuild, codebuild.start_build(projectName="app", **change)["build"]["id"])
    failed = next(each for each in build["phases"] if each.get("phaseStatus") == "FAILED")
    assert (failed["phaseType"], failed["contexts"][0]["statusCode"]) == (phase, code)
    assert told in failed["contexts"][0]["message"]
    assert str(yard.folder) not in failed["contexts"][0]["message"]


def test_a_build_that_is_stopped_ends_with_all_its_processes_and_a_killed_server_leaves_none_running(
    yard: Yard,
) -> None:
    spec = "version: 0.2\nphases: {build: {commands: [echo begun, (setsid sleep 4321 &) ; sleep 4321]}}\n"
    with serving(yard, **HOST) as server:
        codebuild = project(server, {"type": "NO_SOURCE", "buildspec": spec})
        first = codebuild.start_build(projectName="app")["build"]
        until(lambda: "begun" in lines(server, first), "the first command")
        assert codebuild.stop_build(id=first["id"])["build"]["buildStatus"] == "STOPPED"
        until(lambda: not sleepers(), "the end of the processes")
        second = codebuild.start_build(projectName="app")["build"]
        until(lambda: "begun" in lines(server, second), "the first command")
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.communicate()
    with serving(yard, **HOST) as server:
        build = server.client("codebuild").batch_get_builds(ids=[second["id"]])["builds"][0]
        assert (build["buildStatus"], build["buildComplete"]) == ("FAULT", True)
        assert dict(phases(build))["BUILD"] == "FAULT"
    until(lambda: not sleepers(), "the end of the killed server's build")


def test_projects_for_pipelines_are_not_started_alone(yard: Yard) -> None:
    with serving(yard, **HOST) as server:
        codebuild = project(server, {"type": "CODEPIPELINE"}, artifacts={"type": "CODEPIPELINE"})
        with pytest.raises(ClientError, match="ArtifactsOverride must be set") as error:
            codebuild.start_build(projectName="app")
        assert error.value.response["Error"]["Code"] == "InvalidInputException"


def test_a_pipeline_of_the_api_runs_the_project_of_the_api(yard: Yard) -> None:
    repository = yard.folder / "app"
    make_repository(repository, {"buildspec.yml": SPEC, "data/name": "Ann\n"})
    declared: dict[str, Any] = DECLARATION["pipeline"]
    build = {
        "name": "Build",
        "actionTypeId": {"category": "Build", "owner": "AWS", "provider": "CodeBuild", "version": "1"},
        "configuration": {"ProjectName": "app"},
        "inputArtifacts": [{"name": "SourceOutput"}],
        "namespace": "Built",
    }
    pipeline = {**declared, "stages": [declared["stages"][0], {"name": "Build", "actions": [build]}]}
    with serving(yard, **HOST, PIPEYARD_CONNECTIONS=f"team/app={repository}") as server:
        project(server, {"type": "CODEPIPELINE"}, artifacts={"type": "CODEPIPELINE"})
        client = server.client("codepipeline")
        client.create_pipeline(pipeline=pipeline)

        def over() -> Any:
            (only,) = client.list_pipeline_executions(pipelineName="app-pipeline")["pipelineExecutionSummaries"]
            return only if only["status"] != "InProgress" else None

        assert until(over, "the end")["status"] == "Succeeded"
        details = client.list_action_executions(pipelineName="app-pipeline")["actionExecutionDetails"]
        assert len(details[0]["output"]["outputVariables"]["COMMIT"]) == 7


def test_the_aws_command_line_starts_a_build_and_follows_its_log(yard: Yard) -> None:
    program = shutil.which("aws")
    if program is None:
        pytest.skip("the AWS command line is not installed (pip install awscli)")
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(yard.folder), "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_EC2_METADATA_DISABLED": "true",
    }  # fmt: skip

    def aws(*arguments: str) -> Any:
        done = subprocess.run(
            [program, *arguments], env=environment, cwd=yard.folder, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.lstrip().startswith("{") else done.stdout

    (yard.folder / "spec.yml").write_text("version: 0.2\nphases: {build: {commands: [echo from the command line]}}\n")
    with serving(yard, **HOST) as server:
        environment["AWS_ENDPOINT_URL"] = server.url
        project(server, {"type": "NO_SOURCE", "buildspec": "version: 0.2\nphases: {}\n"})
        override = ("--buildspec-override", "file://spec.yml")
        build = aws("codebuild", "start-build", "--project-name", "app", *override)["build"]
        assert ended(server.client("codebuild"), build["id"])["buildStatus"] == "SUCCEEDED"
        told = aws("codebuild", "batch-get-builds", "--ids", build["id"])["builds"][0]
        assert told["buildStatus"] == "SUCCEEDED"
        log = aws("logs", "filter-log-events", "--log-group-name", "/aws/codebuild/app", "--filter-pattern", "line")
        assert [each["message"] for each in log["events"]][-1] == "from the command line"


def sleepers(seconds: str = "4321") -> list[str]:
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and f"sleep\0{seconds}".encode() in (process / "cmdline").read_bytes():
                found.append(process.name)
        except OSError:
            continue
    return found
