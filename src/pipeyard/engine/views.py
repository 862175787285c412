"""What front doors show: executions as frozen records, and the shapes of the service's own answers.

`get_pipeline_state` and the others answer with the member names and value types of botocore's model, times as aware
datetimes; a member that has no value is left out.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

from pipeyard.actions.contract import Artifact, Published
from pipeyard.definition.model import ActionDeclaration, PipelineDeclaration, StageDeclaration
from pipeyard.engine.admission import is_enabled
from pipeyard.engine.redaction import MASK, SECRET_KEYS
from pipeyard.engine.state import ActionRun, ConditionRun, ErrorDetails, Execution, PipelineState
from pipeyard.engine.store import ExecutionRecord

Shape = dict[str, Any]  # an answer on its way to the wire


class ActionView(Struct, frozen=True, kw_only=True):
    """An action and the run of it that counts; without one, everything from `action_execution_id` on is empty."""

    name: str
    provider: str
    category: str
    status: str | None = None
    summary: str = ""
    output_variables: dict[str, str] = {}
    error: ErrorDetails | None = None
    action_execution_id: str = ""
    started_ms: int = 0
    updated_ms: int = 0
    outputs: dict[str, Artifact] = {}
    published: list[Published] = []
    external_url: str = ""
    token: str = ""  # of an approval that waits


class StageView(Struct, frozen=True, kw_only=True):
    """`status` is None before the execution enters the stage."""

    name: str
    status: str | None
    actions: list[ActionView]
    conditions: dict[str, ConditionRun] = {}
    attempt: int = 0
    started_ms: int = 0
    updated_ms: int = 0


class ExecutionView(Struct, frozen=True, kw_only=True):
    """An execution as it stands. `is_live` is False once it has ended; a retry may make it live again."""

    pipeline: str
    execution_id: str
    version: int
    status: str
    is_live: bool
    stages: list[StageView]
    published: list[Published]
    number: int
    mode: str
    type: str
    trigger: str
    trigger_detail: str = ""
    summary: str = ""
    stop_reason: str = ""
    rollback_target: str = ""
    variables: dict[str, str] = {}
    started_ms: int = 0
    updated_ms: int = 0


def execution_view(record: ExecutionRecord, declaration: PipelineDeclaration) -> ExecutionView:
    execution = record.execution
    stages = [_stage_view(stage, execution) for stage in declaration.stages]
    if execution.type == "ROLLBACK":
        stages = [stage for stage in stages if stage.name in execution.stages or stage.status]
    return ExecutionView(
        pipeline=record.pipeline,
        execution_id=execution.id,
        version=execution.version,
        status=execution.status,
        is_live=execution.is_live,
        stages=stages,
        published=[each for stage in stages for action in stage.actions for each in action.published],
        number=execution.number,
        mode=execution.mode,
        type=execution.type,
        trigger=execution.trigger,
        trigger_detail=execution.trigger_detail,
        summary=execution.summary,
        stop_reason=execution.stop_reason,
        rollback_target=execution.rollback_target,
        variables=execution.variables,
        started_ms=execution.started_ms,
        updated_ms=execution.updated_ms,
    )


def _stage_view(stage: StageDeclaration, execution: Execution) -> StageView:
    passage = execution.stages.get(stage.name)
    if passage is None:
        return StageView(name=stage.name, status=None, actions=[_action_view(each, None) for each in stage.actions])
    actions = [_action_view(each, execution.runs.get(passage.current.get(each.name, ""))) for each in stage.actions]
    return StageView(
        name=stage.name,
        status=passage.status,
        actions=actions,
        conditions={str(moment): run for moment, run in passage.conditions.items()},
        attempt=passage.attempt,
        started_ms=passage.entered_ms,
        updated_ms=passage.updated_ms,
    )


def _action_view(action: ActionDeclaration, run: ActionRun | None) -> ActionView:
    type_id = action.action_type_id
    if run is None:
        return ActionView(name=action.name, provider=type_id.provider, category=type_id.category)
    return ActionView(
        name=action.name,
        provider=type_id.provider,
        category=type_id.category,
        status=run.status,
        summary=run.summary,
        output_variables=run.variables,
        error=run.error,
        action_execution_id=run.id,
        started_ms=run.started_ms,
        updated_ms=run.updated_ms,
        outputs=run.outputs,
        published=run.published,
        external_url=run.external_url,
        token=run.token,
    )


def get_pipeline_state(state: PipelineState) -> Shape:
    """The answer of GetPipelineState. Source: botocore, codepipeline, GetPipelineStateOutput."""
    declaration = state.declaration
    assert declaration is not None, "the caller has asked whether the pipeline is there"
    return {
        "pipelineName": state.pipeline,
        "pipelineVersion": state.version,
        "stageStates": [_stage_state(state, stage) for stage in declaration.stages],
        "created": _time(state.created_ms),
        "updated": _time(state.updated_ms),
    }


def _stage_state(state: PipelineState, stage: StageDeclaration) -> Shape:
    waiting = [each for each in state.live() if each.place == "waiting" and state.stage_of(each).name == stage.name]
    inbound = [_stage_execution(each, "InProgress") for each in sorted(waiting, key=lambda each: each.number)]
    transition = state.transitions.get(stage.name)
    transition_state: Shape = {"enabled": is_enabled(state, stage.name)}
    if transition is not None:
        transition_state["lastChangedAt"] = _time(transition.changed_ms)
        transition_state |= _present(lastChangedBy=transition.by, disabledReason=transition.reason)
    latest = state.executions.get(state.latest.get(stage.name, ""))
    passage = latest.stages.get(stage.name) if latest else None
    shape: Shape = {"stageName": stage.name, "inboundExecutions": inbound, "inboundTransitionState": transition_state}
    if inbound:
        shape["inboundExecution"] = inbound[-1]
    shape["actionStates"] = [_action_state(action, latest, stage.name) for action in stage.actions]
    if latest is None or passage is None:
        return shape
    shape["latestExecution"] = _stage_execution(latest, passage.status)
    for moment, run in passage.conditions.items():
        shape[f"{moment}ConditionState"] = _condition_state(run)
    if passage.latest_retry:
        retries = _present(
            autoStageRetryAttempt=passage.automatic_retries, manualStageRetryAttempt=passage.manual_retries
        )
        shape["retryStageMetadata"] = {**retries, "latestRetryTrigger": passage.latest_retry}
    return shape


def _stage_execution(execution: Execution, status: str) -> Shape:
    return {"pipelineExecutionId": execution.id, "status": status, "type": execution.type}


def _action_state(action: ActionDeclaration, latest: Execution | None, stage: str) -> Shape:
    shape: Shape = {"actionName": action.name}
    passage = latest.stages.get(stage) if latest else None
    run = latest.runs.get(passage.current.get(action.name, "")) if latest and passage else None
    if run is None:
        return shape
    shape["latestExecution"] = {
        "actionExecutionId": run.id,
        "status": run.status,
        "lastStatusChange": _time(run.updated_ms),
        **_present(
            summary=run.summary, token=run.token, lastUpdatedBy=run.updated_by, externalExecutionUrl=run.external_url
        ),
        **_error(run.error),
    }
    revision = next((each for each in run.outputs.values() if each.revision), None)
    if revision is not None and action.action_type_id.category == "Source":
        created = revision.created_s * 1000 or run.updated_ms
        shape["currentRevision"] = {
            "revisionId": revision.revision,
            "revisionChangeId": revision.revision,
            "created": _time(created),
        }
    return shape


def _condition_state(run: ConditionRun) -> Shape:
    execution: Shape = {"status": run.status, **_present(summary=run.summary)}
    dated: Shape = {**execution, "lastStatusChange": _time(run.updated_ms)}
    groups: list[Shape] = [
        {
            "latestExecution": dated,
            "ruleStates": [
                {
                    "ruleName": rule.name,
                    "latestExecution": {
                        "ruleExecutionId": rule.id,
                        "status": rule.status,
                        "lastStatusChange": _time(rule.updated_ms),
                        **_present(summary=rule.summary),
                        **_error(rule.error),
                    },
                }
                for rule in group
            ],
        }
        for group in run.rules
    ]
    return {"latestExecution": execution, "conditionStates": groups}


def get_pipeline_execution(record: ExecutionRecord) -> Shape:
    """The member `pipelineExecution` of GetPipelineExecution's answer."""
    execution = record.execution
    revisions = [
        {
            "name": artifact.name,
            "revisionId": artifact.revision,
            **_present(revisionSummary=artifact.revision_summary),
            **_present(created=_time(artifact.created_s * 1000) if artifact.created_s else None),
        }
        for artifact in execution.artifacts.values()
        if artifact.revision
    ]
    variables = [{"name": name, "resolvedValue": value} for name, value in execution.variables.items()]
    return {
        "pipelineName": record.pipeline,
        "pipelineVersion": execution.version,
        "artifactRevisions": revisions,
        "variables": variables,
        **_execution(execution),
    }


def pipeline_execution_summary(record: ExecutionRecord, declaration: PipelineDeclaration) -> Shape:
    """One of ListPipelineExecutions' `pipelineExecutionSummaries`."""
    execution = record.execution
    sources = {action.name for _, action in declaration.actions() if action.action_type_id.category == "Source"}
    revisions = [
        {
            "actionName": run.action,
            "revisionId": artifact.revision,
            **_present(revisionSummary=artifact.revision_summary),
        }
        for run in _counting(execution)
        if run.action in sources
        for artifact in run.outputs.values()
        if artifact.revision
    ]
    shape: Shape = {
        "startTime": _time(execution.started_ms),
        "lastUpdateTime": _time(execution.updated_ms),
        "sourceRevisions": revisions,
        **_execution(execution),
    }
    if execution.stop_reason:
        shape["stopTrigger"] = {"reason": execution.stop_reason}
    return shape


def _execution(execution: Execution) -> Shape:
    shape: Shape = {
        "pipelineExecutionId": execution.id,
        "status": execution.status,
        "trigger": {"triggerType": execution.trigger, **_present(triggerDetail=execution.trigger_detail)},
        "executionMode": execution.mode,
        "executionType": execution.type,
        **_present(statusSummary=execution.summary),
    }
    if execution.rollback_target:
        shape["rollbackMetadata"] = {"rollbackTargetPipelineExecutionId": execution.rollback_target}
    return shape


def action_execution_details(record: ExecutionRecord, declaration: PipelineDeclaration) -> list[Shape]:
    """ListActionExecutions' `actionExecutionDetails` of one execution, newest first."""
    declared = {(stage.name, action.name): action for stage, action in declaration.actions()}
    runs = sorted(record.execution.runs.values(), key=lambda run: run.started_ms, reverse=True)
    return [_detail(record.execution, run, declared.get((run.stage, run.action))) for run in runs]


def _detail(execution: Execution, run: ActionRun, action: ActionDeclaration | None) -> Shape:
    shape: Shape = {
        "pipelineExecutionId": execution.id,
        "actionExecutionId": run.id,
        "pipelineVersion": execution.version,
        "stageName": run.stage,
        "actionName": run.action,
        "startTime": _time(run.started_ms),
        "lastUpdateTime": _time(run.updated_ms),
        "status": run.status,
        **_present(updatedBy=run.updated_by),
    }
    if action is not None:
        shape["input"] = {
            "actionTypeId": msgspec.to_builtins(action.action_type_id),
            "configuration": _masked(action.configuration),
            "resolvedConfiguration": _masked(run.configuration),
            "inputArtifacts": _artifacts(run.inputs.values()),
            **_present(roleArn=action.role_arn, region=action.region, namespace=action.namespace),
        }
        shape["input"]["actionTypeId"].setdefault("version", action.action_type_id.version)
    result = {
        **_present(externalExecutionSummary=run.summary, externalExecutionUrl=run.external_url),
        **_error(run.error),
    }
    shape["output"] = {
        "outputArtifacts": _artifacts(run.outputs.values()),
        "executionResult": result,
        "outputVariables": run.variables,
    }
    return shape


def _artifacts(artifacts: Iterable[Artifact]) -> list[Shape]:
    shapes = []
    for artifact in artifacts:
        shape: Shape = {"name": artifact.name}
        bucket, slash, key = artifact.location.removeprefix("s3://").partition("/")
        if artifact.location.startswith("s3://") and slash:
            shape["s3location"] = {"bucket": bucket, "key": key}
        shapes.append(shape)
    return shapes


def _counting(execution: Execution) -> list[ActionRun]:
    """The runs that count: a retried action's latest."""
    return [execution.runs[run] for stage in execution.stages.values() for run in stage.current.values()]


def _error(error: ErrorDetails | None) -> Shape:
    return {"errorDetails": {"code": error.code, "message": error.message}} if error else {}


def _masked(configuration: dict[str, str]) -> dict[str, str]:
    return {key: MASK if key in SECRET_KEYS else value for key, value in configuration.items()}


def _present(**members: Any) -> Shape:
    return {name: value for name, value in members.items() if value}


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
