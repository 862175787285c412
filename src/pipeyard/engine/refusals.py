"""Why a request cannot be granted, in the words of the service's own exceptions; `advance` grants what is not refused.

A refusal is asked for twice: by the machine, which then changes nothing, and by the front door, which tells the caller.
"""

from msgspec import Struct

from pipeyard.definition.model import StageDeclaration
from pipeyard.engine.admission import holder
from pipeyard.engine.events import (
    ApprovalAnswered,
    ConditionOverridden,
    Event,
    ExecutionRequested,
    RollbackRequested,
    StageRetryRequested,
    StopRequested,
    TransitionDisabled,
    TransitionEnabled,
)
from pipeyard.engine.state import ENDED, ActionRun, Execution, Moment, PipelineState

CONCURRENT_LIMIT = 50  # of QUEUED and PARALLEL pipelines. Source: CodePipeline User Guide, "Quotas"


class Refusal(Struct, frozen=True):
    """`code` is the API's exception name."""

    code: str
    message: str


def refusal(state: PipelineState, event: Event) -> Refusal | None:
    """None when the event will be taken, or when it is no request (a late answer of an action is simply ignored)."""
    match event:
        case ExecutionRequested():
            return _gone(state) or _start(state, event)
        case StopRequested():
            return _gone(state) or _stop(state, event)
        case StageRetryRequested():
            return _gone(state) or _retry(state, event)
        case RollbackRequested():
            return _gone(state) or _rollback(state, event)
        case ConditionOverridden():
            return _gone(state) or _override(state, event)
        case TransitionDisabled() | TransitionEnabled():
            return _gone(state) or (None if _stage(state, event.stage) else _no_stage(state, event.stage))
        case ApprovalAnswered():
            return _gone(state) or _approval(state, event)
        case _:
            return None


def _gone(state: PipelineState) -> Refusal | None:
    if state.declaration is None:
        return Refusal("PipelineNotFoundException", f"there is no pipeline {state.pipeline}")
    return None


def _stage(state: PipelineState, name: str) -> StageDeclaration | None:
    declaration = state.declaration
    return next((stage for stage in declaration.stages if stage.name == name), None) if declaration else None


def _no_stage(state: PipelineState, name: str) -> Refusal:
    return Refusal("StageNotFoundException", f"pipeline {state.pipeline} has no stage {name}")


def _no_execution(state: PipelineState, execution_id: str) -> Refusal:
    message = f"pipeline {state.pipeline} has no execution {execution_id}"
    return Refusal("PipelineExecutionNotFoundException", message)


def _start(state: PipelineState, event: ExecutionRequested) -> Refusal | None:
    declaration = state.declaration
    assert declaration is not None
    if event.execution_id in state.executions:
        return Refusal("ConflictException", f"execution {event.execution_id} exists")
    if not declaration.stages:
        return Refusal("ValidationException", f"pipeline {state.pipeline} has no stages")
    declared = {variable.name: variable.default_value for variable in declaration.variables}
    for name in event.variables:
        if name not in declared:
            return Refusal("ValidationException", f"pipeline {state.pipeline} declares no variable {name}")
    for name, default in declared.items():
        if default is None and name not in event.variables:
            return Refusal("ValidationException", f"variable {name} has no default value and none was given")
    sources = {action.name for _, action in declaration.actions() if action.action_type_id.category == "Source"}
    for override in event.source_overrides:
        if override.action_name not in sources:
            message = f"pipeline {state.pipeline} has no source action {override.action_name}"
            return Refusal("ValidationException", message)
    if declaration.execution_mode != "SUPERSEDED" and len(state.live()) >= CONCURRENT_LIMIT:
        message = f"pipeline {state.pipeline} already has {CONCURRENT_LIMIT} executions in progress"
        return Refusal("ConcurrentPipelineExecutionsLimitExceededException", message)
    return None


def _stop(state: PipelineState, event: StopRequested) -> Refusal | None:
    execution = state.executions.get(event.execution_id)
    if execution is None or execution.status in ENDED:
        message = f"execution {event.execution_id} is not in progress"
        return Refusal("PipelineExecutionNotStoppableException", message)
    if execution.status == "Stopping" and not event.abandon:
        return Refusal("DuplicatedStopRequestException", f"execution {event.execution_id} is stopping already")
    return None


def _resumable(state: PipelineState, execution_id: str, stage: str, code: str) -> Refusal | None:
    """Why an ended execution cannot go on in the stage that it ended in."""
    if _stage(state, stage) is None:
        return _no_stage(state, stage)
    execution = state.executions.get(execution_id)
    if execution is None:
        return Refusal("NotLatestPipelineExecutionException", f"execution {execution_id} is not the stage's latest")
    if execution.version != state.version:
        return Refusal(code, "the pipeline's structure has changed since the execution started")
    if execution.status not in ("Failed", "Stopped") or state.stage_of(execution).name != stage:
        return Refusal(code, f"execution {execution_id} has not failed in stage {stage}")
    if stage not in execution.stages:
        return Refusal(code, f"execution {execution_id} never entered stage {stage}")
    if execution.mode != "PARALLEL":
        if state.latest.get(stage) != execution_id:
            return Refusal("NotLatestPipelineExecutionException", f"a later execution has entered stage {stage}")
        if holder(state, stage) is not None:
            return Refusal("ConflictException", f"another execution is in stage {stage}")
    return None


def _retry(state: PipelineState, event: StageRetryRequested) -> Refusal | None:
    return _resumable(state, event.execution_id, event.stage, "StageNotRetryableException")


def _override(state: PipelineState, event: ConditionOverridden) -> Refusal | None:
    code = "ConditionNotOverridableException"
    refused = _resumable(state, event.execution_id, event.stage, code)
    if refused:
        return refused
    moment: Moment = "beforeEntry" if event.condition_type == "BEFORE_ENTRY" else "onSuccess"
    run = state.executions[event.execution_id].stages[event.stage].conditions.get(moment)
    if run is None or run.status not in ("Failed", "Errored"):
        return Refusal(code, f"the {moment} condition of stage {event.stage} has not failed")
    return None


def rollback_target(state: PipelineState, event: RollbackRequested) -> Execution | None:
    return state.executions.get(event.target_execution_id) or event.target


def _rollback(state: PipelineState, event: RollbackRequested) -> Refusal | None:
    code = "UnableToRollbackStageException"
    declaration = state.declaration
    assert declaration is not None
    if _stage(state, event.stage) is None:
        return _no_stage(state, event.stage)
    if declaration.stages[0].name == event.stage:
        return Refusal(code, f"stage {event.stage} holds the sources, which are not rolled back")
    if declaration.execution_mode == "PARALLEL":
        return Refusal(code, "a pipeline in PARALLEL mode has no rollback")
    target = rollback_target(state, event)
    if target is None or target.id != event.target_execution_id:
        return _no_execution(state, event.target_execution_id)
    if event.execution_id in state.executions:
        return Refusal("ConflictException", f"execution {event.execution_id} exists")
    if target.version != state.version:
        message = "the pipeline's structure has changed since the target execution"
        return Refusal("PipelineExecutionOutdatedException", message)
    if target.type == "ROLLBACK":
        return Refusal(code, "the target execution is a rollback itself")
    passage = target.stages.get(event.stage)
    if passage is None or passage.status != "Succeeded":
        return Refusal(code, f"the target execution has not succeeded in stage {event.stage}")
    return None


def awaiting_approval(state: PipelineState, stage: str, action: str) -> list[tuple[Execution, ActionRun]]:
    """Approvals of an action that wait for an answer; more than one only in PARALLEL mode."""
    return [
        (execution, run)
        for execution in state.live()
        for run in execution.runs.values()
        if run.token and run.stage == stage and run.action == action
    ]


def _approval(state: PipelineState, event: ApprovalAnswered) -> Refusal | None:
    stage = _stage(state, event.stage)
    if stage is None:
        return _no_stage(state, event.stage)
    action = next((action for action in stage.actions if action.name == event.action), None)
    if action is None or action.action_type_id.category != "Approval":
        message = f"stage {event.stage} has no approval action {event.action}"
        return Refusal("ActionNotFoundException", message)
    waiting = awaiting_approval(state, event.stage, event.action)
    if not waiting:
        return Refusal("ApprovalAlreadyCompletedException", f"no approval of {event.action} waits for an answer")
    if all(run.token != event.token for _, run in waiting):
        return Refusal("InvalidApprovalTokenException", "the token belongs to no approval that waits")
    return None
