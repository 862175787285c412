"""Executions: how they stand, and what one may say to those that run. Views and rules are the engine's."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipeyard.aws.codepipeline.pipelines import demand_pipeline, paged
from pipeyard.aws.identities import Caller
from pipeyard.aws.parts import Parts
from pipeyard.aws.refusals import AwsError
from pipeyard.engine import views
from pipeyard.engine.engine import Refused
from pipeyard.engine.events import SourceOverride
from pipeyard.engine.store import ExecutionRecord
from pipeyard.service.executions import start_execution

_LOOKED_THROUGH = 10_000  # executions of one pipeline


def get_pipeline_state(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    return views.get_pipeline_state(demand_pipeline(parts, caller, request["name"]))


def get_pipeline_execution(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    record = _demand(parts, caller, request)
    return {"pipelineExecution": views.get_pipeline_execution(record)}


def list_pipeline_executions(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    name = demand_pipeline(parts, caller, request["pipelineName"]).pipeline
    records = parts.engine().store.executions(name, limit=_LOOKED_THROUGH)
    if stage := request.get("filter", {}).get("succeededInStage", {}).get("stageName"):
        records = [each for each in records if _succeeded_in(each, stage)]
    chosen, token = paged(records, lambda record: record.execution.id, request, 100)
    shown = [views.pipeline_execution_summary(each, parts.engine().store.declaration(each)) for each in chosen]
    return {"pipelineExecutionSummaries": shown, "nextToken": token}


def list_action_executions(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    name = demand_pipeline(parts, caller, request["pipelineName"]).pipeline
    chosen = request.get("filter", {})
    one = chosen.get("pipelineExecutionId") or chosen.get("latestInPipelineExecution", {}).get("pipelineExecutionId")
    store = parts.engine().store
    if one is not None:
        records = [_demand(parts, caller, {"pipelineName": name, "pipelineExecutionId": one})]
    else:
        records = store.executions(name, limit=_LOOKED_THROUGH)
    details = [each for record in records for each in views.action_execution_details(record, store.declaration(record))]
    found, token = paged(details, lambda each: each["actionExecutionId"], request, 100)
    return {"actionExecutionDetails": found, "nextToken": token}


def start_pipeline_execution(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    name = demand_pipeline(parts, caller, request["name"]).pipeline
    revisions = [
        SourceOverride(
            action_name=each["actionName"],
            revision_type=each["revisionType"],
            revision_value=each["revisionValue"],
        )
        for each in request.get("sourceRevisions", ())
    ]
    with _refusing():
        execution_id = start_execution(
            parts.engine(),
            name,
            trigger_detail=caller.arn,
            variables={each["name"]: each["value"] for each in request.get("variables", ())},
            revisions=revisions,
            token=request.get("clientRequestToken", ""),
        )
    return {"pipelineExecutionId": execution_id}


def retry_stage_execution(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    """The execution goes on under its own id."""
    record = _demand(parts, caller, request)
    with _refusing():
        parts.engine().retry(record.execution.id, request["stageName"], request["retryMode"])
    return {"pipelineExecutionId": record.execution.id}


def rollback_stage(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    name = demand_pipeline(parts, caller, request["pipelineName"]).pipeline
    with _refusing():
        started = parts.engine().rollback(name, request["stageName"], request["targetPipelineExecutionId"])
    return {"pipelineExecutionId": started}


def override_stage_condition(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    record = _demand(parts, caller, request)
    with _refusing():
        parts.engine().override(record.execution.id, request["stageName"], request["conditionType"])
    return {}


def stop_pipeline_execution(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    record = _demand(parts, caller, request)
    with _refusing():
        parts.engine().stop(
            record.execution.id, abandon=request.get("abandon", False), reason=request.get("reason", "")
        )
    return {"pipelineExecutionId": record.execution.id}


def put_approval_result(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    demand_pipeline(parts, caller, request["pipelineName"])
    result = request["result"]
    with _refusing():
        parts.engine().approve(
            request["pipelineName"],
            request["stageName"],
            request["actionName"],
            approved=result["status"] == "Approved",
            summary=result["summary"],
            token=request["token"],
            by=caller.arn,
        )
    return {"approvedAt": parts.now_ms()}


def disable_stage_transition(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    demand_pipeline(parts, caller, request["pipelineName"])
    _demand_inbound(request)
    with _refusing():
        parts.engine().disable_transition(
            request["pipelineName"], request["stageName"], request["reason"], by=caller.arn
        )
    return {}


def enable_stage_transition(parts: Parts, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    demand_pipeline(parts, caller, request["pipelineName"])
    _demand_inbound(request)
    with _refusing():
        parts.engine().enable_transition(request["pipelineName"], request["stageName"], by=caller.arn)
    return {}


def _demand(parts: Parts, caller: Caller, request: dict[str, Any]) -> ExecutionRecord:
    name = demand_pipeline(parts, caller, request["pipelineName"]).pipeline
    record = parts.engine().store.execution(request["pipelineExecutionId"])
    if record is None or record.pipeline != name:
        raise AwsError(
            "PipelineExecutionNotFoundException",
            f"Pipeline '{name}' does not have an execution with id '{request['pipelineExecutionId']}'",
        )
    return record


def _demand_inbound(request: dict[str, Any]) -> None:
    if request["transitionType"] != "Inbound":
        raise AwsError("ValidationException", "Only inbound transitions can be disabled and enabled")


def _succeeded_in(record: ExecutionRecord, stage: str) -> bool:
    passage = record.execution.stages.get(stage)
    return passage is not None and passage.status == "Succeeded"


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except Refused as refused:
        raise AwsError(refused.code, refused.message) from refused
