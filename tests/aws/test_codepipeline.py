"""CodePipeline over the home's engine: what the engine holds is shown, what one says to it arrives."""

import uuid
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pipeyard.engine import Engine
from pipeyard.engine.store import open_store
from tests.aws.conftest import Yard, code_of

ARN = "arn:aws:codepipeline:us-east-1:123456789012:site"


def action(name: str, category: str, provider: str, **more: Any) -> dict[str, Any]:
    type_id = {"category": category, "owner": "AWS", "provider": provider, "version": "1"}
    return {"name": name, "actionTypeId": type_id, **more}


PIPELINE: dict[str, Any] = {
    "name": "site",
    "roleArn": "arn:aws:iam::123456789012:role/pipeline",
    "artifactStore": {"type": "S3", "location": "artifacts"},
    "pipelineType": "V2",
    "stages": [
        {
            "name": "Source",
            "actions": [
                action(
                    "Code",
                    "Source",
                    "S3",
                    configuration={"S3Bucket": "code", "S3ObjectKey": "site.zip"},
                    outputArtifacts=[{"name": "Code"}],
                )
            ],
        },
        {"name": "Release", "actions": [action("Ask", "Approval", "Manual")]},
    ],
}


@pytest.fixture
def pipelines(yard: Yard) -> Any:
    client = yard.client("codepipeline")
    client.create_pipeline(pipeline=PIPELINE, tags=[{"key": "team", "value": "web"}])
    return client


def test_a_pipeline_is_given_back_with_what_the_service_always_prints(pipelines: Any) -> None:
    found = pipelines.get_pipeline(name="site")
    empty = {"runOrder": 1, "configuration": {}, "inputArtifacts": [], "outputArtifacts": []}
    declared = [
        {"name": stage["name"], "actions": [{**empty, **each} for each in stage["actions"]]}
        for stage in PIPELINE["stages"]
    ]
    assert found["pipeline"] == {**PIPELINE, "stages": declared, "version": 1, "executionMode": "SUPERSEDED"}
    assert found["metadata"]["pipelineArn"] == ARN


def test_an_update_counts_up_the_version(pipelines: Any) -> None:
    assert pipelines.update_pipeline(pipeline={**PIPELINE, "executionMode": "QUEUED"})["pipeline"]["version"] == 2
    assert [(each["name"], each["version"]) for each in pipelines.list_pipelines()["pipelines"]] == [("site", 2)]


def test_a_declaration_that_validate_refuses_is_refused_with_the_reason(yard: Yard) -> None:
    with pytest.raises(ClientError, match="stage") as error:
        yard.client("codepipeline").create_pipeline(pipeline={**PIPELINE, "stages": PIPELINE["stages"][:1]})
    assert code_of(error) == "InvalidStructureException"


def test_a_second_pipeline_of_a_name_is_refused(pipelines: Any) -> None:
    with pytest.raises(ClientError) as error:
        pipelines.create_pipeline(pipeline=PIPELINE)
    assert code_of(error) == "PipelineNameInUseException"


def test_tags_go_with_their_pipeline(pipelines: Any) -> None:
    pipelines.tag_resource(resourceArn=ARN, tags=[{"key": "more", "value": "1"}])
    pipelines.untag_resource(resourceArn=ARN, tagKeys=["team"])
    assert pipelines.list_tags_for_resource(resourceArn=ARN)["tags"] == [{"key": "more", "value": "1"}]
    pipelines.delete_pipeline(name="site")
    with pytest.raises(ClientError) as error:
        pipelines.list_tags_for_resource(resourceArn=ARN)
    assert code_of(error) == "ResourceNotFoundException"
    pipelines.create_pipeline(pipeline=PIPELINE)
    assert pipelines.list_tags_for_resource(resourceArn=ARN)["tags"] == []


def test_an_execution_is_shown_and_stopped(pipelines: Any, yard: Yard, tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'pipeyard.sqlite'}")
    execution_id = Engine(store, now_ms=yard.clock, new_id=lambda: str(uuid.uuid4())).start("site")
    store.close()
    assert pipelines.list_pipeline_executions(pipelineName="site")["pipelineExecutionSummaries"][0][
        "pipelineExecutionId"
    ] == (execution_id)
    asked = {"pipelineName": "site", "pipelineExecutionId": execution_id}
    assert pipelines.get_pipeline_execution(**asked)["pipelineExecution"]["status"] == "InProgress"
    details = pipelines.list_action_executions(pipelineName="site", filter={"pipelineExecutionId": execution_id})[
        "actionExecutionDetails"
    ]
    assert [(each["stageName"], each["actionName"], each["status"]) for each in details] == [
        ("Source", "Code", "InProgress")
    ]
    assert pipelines.get_pipeline_state(name="site")["stageStates"][0]["latestExecution"]["status"] == "InProgress"
    pipelines.stop_pipeline_execution(**asked, abandon=True, reason="enough")
    assert pipelines.get_pipeline_execution(**asked)["pipelineExecution"]["status"] == "Stopped"
    with pytest.raises(ClientError) as error:
        pipelines.stop_pipeline_execution(**asked, abandon=True)
    assert code_of(error) == "PipelineExecutionNotStoppableException"


def test_a_transition_that_is_disabled_says_who_and_why(pipelines: Any) -> None:
    stage = {"pipelineName": "site", "stageName": "Release", "transitionType": "Inbound"}
    pipelines.disable_stage_transition(**stage, reason="a holiday")
    shown = pipelines.get_pipeline_state(name="site")["stageStates"][1]["inboundTransitionState"]
    assert (shown["enabled"], shown["disabledReason"]) == (False, "a holiday")
    assert shown["lastChangedBy"] == "arn:aws:iam::123456789012:root"
    pipelines.enable_stage_transition(**stage)
    assert pipelines.get_pipeline_state(name="site")["stageStates"][1]["inboundTransitionState"]["enabled"] is True


@pytest.mark.parametrize(
    ("operation", "asked", "code"),
    [
        ("get_pipeline", {"name": "none"}, "PipelineNotFoundException"),
        ("get_pipeline_state", {"name": "none"}, "PipelineNotFoundException"),
        ("list_pipeline_executions", {"pipelineName": "none"}, "PipelineNotFoundException"),
        ("get_pipeline", {"name": "site", "version": 7}, "PipelineVersionNotFoundException"),
        (
            "get_pipeline_execution",
            {"pipelineName": "site", "pipelineExecutionId": str(uuid.UUID(int=1))},
            "PipelineExecutionNotFoundException",
        ),
        ("list_pipelines", {"nextToken": "made up"}, "InvalidNextTokenException"),
        ("start_pipeline_execution", {"name": "none"}, "PipelineNotFoundException"),
        ("list_webhooks", {}, "UnknownOperationException"),
    ],
)
def test_what_is_not_there_is_refused_by_the_services_name(
    pipelines: Any, operation: str, asked: dict[str, Any], code: str
) -> None:
    with pytest.raises(ClientError) as error:
        getattr(pipelines, operation)(**asked)
    assert code_of(error) == code
