"""`pipeyard serve` carries out what its clients start, also what an earlier server of the same home was killed in."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.journeys.projects import DECLARATION, Project, make_project
from tests.journeys.serving import Server, serving, until
from tests.journeys.yard import Yard
from tests.source.git_repositories import commit

PIPELINE: dict[str, Any] = DECLARATION["pipeline"]
SLOW = "FROM {base}\nCOPY names.txt /names\nRUN sleep 4; cat /names > /copied\n"


class Client:
    """A real client of a server; what boto3 gives, and waiting."""

    def __init__(self, server: Server) -> None:
        self.api = server.client("codepipeline")

    def execution(self, execution_id: str) -> dict[str, Any]:
        asked = {"pipelineName": "app-pipeline", "pipelineExecutionId": execution_id}
        found: dict[str, Any] = self.api.get_pipeline_execution(**asked)["pipelineExecution"]
        return found

    def until(self, execution_id: str, *wanted: str) -> Any:
        return until(
            lambda: ((found := self.execution(execution_id))["status"] in wanted and found) or None, execution_id
        )

    def action(self, name: str) -> dict[str, Any]:
        states = self.api.get_pipeline_state(name="app-pipeline")["stageStates"]
        runs = {each["actionName"]: each.get("latestExecution", {}) for s in states for each in s["actionStates"]}
        found: dict[str, Any] = runs[name]
        return found


@contextmanager
def serving_project(yard: Yard, project: Project, **settings: str) -> "Iterator[tuple[Client, Any]]":
    with serving(yard, **{"PIPEYARD_CONNECTIONS": f"team/app={project.repository}", **settings}) as server:
        yield Client(server), server.process


def test_a_pipeline_made_through_the_api_runs_at_once_and_publishes_its_image(yard: Yard) -> None:
    project = make_project(yard.folder, yard.publish_base())
    with serving_project(yard, project) as (client, _):
        client.api.create_pipeline(pipeline=PIPELINE)
        (first,) = client.api.list_pipeline_executions(pipelineName="app-pipeline")["pipelineExecutionSummaries"]
        assert first["trigger"] == {
            "triggerType": "CreatePipeline", "triggerDetail": "arn:aws:iam::123456789012:root",
        }  # fmt: skip
        done = client.until(first["pipelineExecutionId"], "Succeeded", "Failed")
        assert done["status"] == "Succeeded", client.action("Image")
        assert [each["revisionId"] for each in done["artifactRevisions"]] == [project.commit]
    assert yard.tags("team/app") == sorted([project.commit, "latest"])


def test_an_execution_takes_the_revision_and_the_variables_that_it_was_started_with(yard: Yard) -> None:
    project = make_project(yard.folder, yard.publish_base())
    commit(project.repository, {"service/names.txt": "Dee\n"}, "Later")
    image = {**PIPELINE["stages"][1]["actions"][0]}
    image["configuration"] = {**image["configuration"], "ImageTags": "#{variables.Tag}"}
    pipeline = {
        **PIPELINE,
        "variables": [{"name": "Tag"}],
        "stages": [PIPELINE["stages"][0], {"name": "Build", "actions": [image]}],
    }
    with serving_project(yard, project) as (client, _):
        client.api.create_pipeline(pipeline=pipeline)  # Tag has no value: nothing starts
        assert client.api.list_pipeline_executions(pipelineName="app-pipeline")["pipelineExecutionSummaries"] == []
        asked: dict[str, Any] = {
            "name": "app-pipeline",
            "variables": [{"name": "Tag", "value": "older"}],
            "sourceRevisions": [
                {"actionName": "Checkout", "revisionType": "COMMIT_ID", "revisionValue": project.commit}
            ],
            "clientRequestToken": "once",
        }
        started = client.api.start_pipeline_execution(**asked)["pipelineExecutionId"]
        assert client.api.start_pipeline_execution(**asked)["pipelineExecutionId"] == started
        done = client.until(started, "Succeeded", "Failed")
        assert [each["revisionId"] for each in done["artifactRevisions"]] == [project.commit]
        assert done["trigger"]["triggerType"] == "StartPipelineExecution"
        assert done["variables"] == [{"name": "Tag", "resolvedValue": "older"}]
        asked["sourceRevisions"][0]["revisionType"] = "IMAGE_DIGEST"
        with pytest.raises(ClientError, match="Checkout has no IMAGE_DIGEST"):
            client.api.start_pipeline_execution(**{**asked, "clientRequestToken": "another"})
    assert yard.tags("team/app") == ["older"]


def test_a_server_that_is_killed_in_an_action_is_continued_by_the_next_one(yard: Yard) -> None:
    project = make_project(yard.folder, yard.publish_base(), SLOW)
    with serving_project(yard, project) as (client, process):
        client.api.create_pipeline(pipeline=PIPELINE)
        until(lambda: client.action("Image").get("status") == "InProgress", "the build")
        time.sleep(0.5)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    with serving_project(yard, project) as (client, _):
        (only,) = client.api.list_pipeline_executions(pipelineName="app-pipeline")["pipelineExecutionSummaries"]
        assert only["status"] == "InProgress"
        client.until(only["pipelineExecutionId"], "Succeeded")
    assert yard.tags("team/app") == sorted([project.commit, "latest"])


def test_a_server_that_is_told_to_end_leaves_its_work_to_the_next_one(yard: Yard) -> None:
    project = make_project(yard.folder, yard.publish_base(), SLOW)
    with serving_project(yard, project) as (client, process):
        client.api.create_pipeline(pipeline=PIPELINE)
        until(lambda: client.action("Image").get("status") == "InProgress", "the build")
        process.terminate()
        _, said = process.communicate(timeout=30)
        assert process.returncode == 0, said
    with serving_project(yard, project) as (client, _):
        (only,) = client.api.list_pipeline_executions(pipelineName="app-pipeline")["pipelineExecutionSummaries"]
        client.until(only["pipelineExecutionId"], "Succeeded")


def test_a_failed_stage_is_retried_and_an_approved_one_is_rolled_back(yard: Yard) -> None:
    project = make_project(yard.folder, yard.publish_base())
    ask = {
        "name": "Ask",
        "actionTypeId": {"category": "Approval", "owner": "AWS", "provider": "Manual", "version": "1"},
    }
    pipeline = {**PIPELINE, "stages": [*PIPELINE["stages"], {"name": "Release", "actions": [ask]}]}
    answer = {"pipelineName": "app-pipeline", "stageName": "Release", "actionName": "Ask"}
    with serving_project(yard, project, PIPEYARD_START_ON_CREATE="false") as (client, _):
        client.api.create_pipeline(pipeline=pipeline)
        assert client.api.list_pipeline_executions(pipelineName="app-pipeline")["pipelineExecutionSummaries"] == []
        started = client.api.start_pipeline_execution(name="app-pipeline")["pipelineExecutionId"]
        release = {"pipelineName": "app-pipeline", "stageName": "Release"}

        def reply(status: str) -> None:
            token = until(lambda: client.action("Ask").get("token"), "the question")
            client.api.put_approval_result(**answer, token=token, result={"summary": "seen", "status": status})

        reply("Rejected")
        client.until(started, "Failed")
        again = {**release, "pipelineExecutionId": started, "retryMode": "FAILED_ACTIONS"}
        assert client.api.retry_stage_execution(**again)["pipelineExecutionId"] == started
        reply("Approved")
        client.until(started, "Succeeded")
        with pytest.raises(ClientError) as error:
            client.api.retry_stage_execution(**again)
        assert error.value.response["Error"]["Code"] == "StageNotRetryableException"
        back = client.api.rollback_stage(**release, targetPipelineExecutionId=started)["pipelineExecutionId"]
        assert client.execution(back)["trigger"]["triggerType"] == "ManualRollback"
        assert client.execution(back)["rollbackMetadata"] == {"rollbackTargetPipelineExecutionId": started}
        until(lambda: client.action("Ask").get("token"), "the question of the rollback")
        client.api.stop_pipeline_execution(pipelineName="app-pipeline", pipelineExecutionId=back, abandon=True)
        client.until(back, "Stopped")


def test_sources_that_nothing_stands_for_fail_the_execution_with_what_to_do(yard: Yard, tmp_path: Path) -> None:
    project = Project(tmp_path, "", tmp_path, tmp_path, tmp_path)
    with serving_project(yard, project, PIPEYARD_CONNECTIONS="") as (client, _):
        client.api.create_pipeline(pipeline=PIPELINE)
        until(lambda: client.action("Checkout").get("status") == "Failed", "the failure")
        told = client.action("Checkout")["errorDetails"]["message"]
        assert "nothing stands for the repository team/app" in told
