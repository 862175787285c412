"""The pure heart of the engine: `advance` decides what an event does to a pipeline and what must be done because of it.

It has no clock, no I/O and no randomness; the same events give the same state and the same commands, anywhere, always.
An event is first written into the state by its own function below, then `_settle` asks what follows until nothing does.

Executions. `place` says where one stands, `status` is the API's word:

    event or fact                          from                     to                              place
    ExecutionRequested                     -                        InProgress                      waiting, first stage
    its stage lets it in (`admission`)     waiting                  InProgress                      inside
    a newer one waits for the same stage   waiting                  Superseded                      ended
    its stage has succeeded, skipped       inside                   InProgress                      waiting, next stage
    ... and was the last                   inside                   Succeeded                       ended
    its stage has failed (`stages`)        inside                   Failed                          ended
    StopRequested                          waiting                  Stopped                         ended
    StopRequested                          inside                   Stopping                        inside
    ... once no action is in progress      inside, Stopping         Stopped                         ended
    StopRequested with abandon             inside, Stopping or not  Stopped, actions Abandoned      ended
    StageRetryRequested, ConditionOverridden  Failed, Stopped       InProgress                      inside
    RollbackRequested                      -                        InProgress, type ROLLBACK       waiting, its stage
    update without its stage, deletion     waiting, inside          Cancelled, actions Abandoned    ended

Action runs are InProgress from their start, or Failed at once when they cannot be resolved, and end exactly once:

    ActionSucceeded, Approved              Succeeded, outputs recorded
    ActionFailed, Rejected, TimerFired     Failed
    stop with abandon, cancellation        Abandoned

Stages and conditions are `stages` and `conditions`; what a request may ask for is `refusals`.
Source: CodePipeline User Guide, "How pipeline executions work", "Stop a pipeline execution", "Manage approval actions".
"""

from typing import assert_never

from msgspec import structs

from pipeyard.engine import admission, conditions, stages
from pipeyard.engine.commands import Command
from pipeyard.engine.events import (
    ActionFailed,
    ActionSucceeded,
    ApprovalAnswered,
    ConditionOverridden,
    Event,
    ExecutionRequested,
    PipelineDefined,
    PipelineDeleted,
    RollbackRequested,
    RuleFailed,
    RuleSucceeded,
    StageRetryRequested,
    StopRequested,
    TimerFired,
    TransitionDisabled,
    TransitionEnabled,
)
from pipeyard.engine.refusals import awaiting_approval, refusal, rollback_target
from pipeyard.engine.state import ActionRun, ErrorDetails, Execution, Moment, PipelineState, Transition, Version
from pipeyard.engine.turn import Turn


def advance(state: PipelineState, event: Event) -> tuple[PipelineState, tuple[Command, ...]]:
    """The state after an event, and what to do because of it.

    Total: a late, repeated or impossible event gives back the same state and no command, never an exception.
    """
    if refusal(state, event) is not None:
        return state, ()
    turn = Turn(state, event.at_ms)
    match event:
        case PipelineDefined():
            _defined(turn, event)
        case PipelineDeleted():
            _deleted(turn)
        case ExecutionRequested():
            _requested(turn, event)
        case StopRequested():
            _stop(turn, event)
        case StageRetryRequested():
            all_actions = event.mode == "ALL_ACTIONS"
            execution = turn.execution(event.execution_id)
            stages.retry(turn, execution, all_actions=all_actions, trigger="ManualStageRetry")
        case RollbackRequested():
            _roll_back(turn, event)
        case ConditionOverridden():
            _override(turn, event)
        case TransitionDisabled():
            _transition(
                turn, event.stage, Transition(enabled=False, changed_ms=event.at_ms, reason=event.reason, by=event.by)
            )
        case TransitionEnabled():
            _transition(turn, event.stage, Transition(enabled=True, changed_ms=event.at_ms, by=event.by))
        case ApprovalAnswered():
            _answered(turn, event)
        case ActionSucceeded():
            _succeeded(turn, event)
        case ActionFailed():
            error = ErrorDetails(code=event.code, message=event.message, place=event.place, hint=event.hint)
            _failed(turn, event.action_execution_id, error)
        case RuleSucceeded():
            conditions.rule_ended(turn, event.rule_execution_id, None, event.summary)
        case RuleFailed():
            error = ErrorDetails(code=event.code, message=event.message)
            conditions.rule_ended(turn, event.rule_execution_id, error, event.message)
        case TimerFired():
            _timer(turn, event)
        case _:
            assert_never(event)
    if turn.state is state:
        return state, ()
    _settle(turn)
    return turn.state, tuple(turn.commands)


def _settle(turn: Turn) -> None:
    """Asks what follows until nothing does. Ends: each answer starts, ends or moves something, and those run out."""
    before: PipelineState | None = None
    while before is not turn.state:
        before = turn.state
        admission.cancel_orphans(turn)
        for execution in turn.state.live():
            if execution.place == "inside":
                stages.settle_stage(turn, execution)
        admission.admit(turn)
    admission.forget(turn)


def _defined(turn: Turn, event: PipelineDefined) -> None:
    state = turn.state
    if state.deleted:
        state = PipelineState(pipeline=state.pipeline, started=state.started)
    current = state.versions.get(state.version)
    if state.declaration is not None and current is not None:
        same = structs.replace(event.declaration, version=state.version) == current.declaration
        if same and current.definition == event.definition:
            return
    number = state.version + 1
    declaration = structs.replace(event.declaration, version=number)
    version = Version(declaration=declaration, definition=event.definition, created_ms=event.at_ms)
    names = {stage.name for stage in declaration.stages}
    turn.change(
        version=number,
        created_ms=state.created_ms or event.at_ms,
        updated_ms=event.at_ms,
        deleted=False,
        started=state.started,
        executions=state.executions,
        versions={**state.versions, number: version},
        transitions={name: each for name, each in state.transitions.items() if name in names},
        latest={name: each for name, each in state.latest.items() if name in names},
        latest_success={name: each for name, each in state.latest_success.items() if name in names},
    )


def _deleted(turn: Turn) -> None:
    """A pipeline of the same name that is created later begins again at version 1, without this one's past."""
    if turn.state.declaration is None:
        return
    turn.change(deleted=True, updated_ms=turn.at_ms)


def _requested(turn: Turn, event: ExecutionRequested) -> None:
    declaration = turn.state.declaration
    assert declaration is not None
    number = turn.state.started + 1
    defaults = {each.name: each.default_value or "" for each in declaration.variables}
    overrides = {each.action_name: (each.revision_type, each.revision_value) for each in event.source_overrides}
    turn.change(started=number)
    turn.put(
        Execution(
            id=event.execution_id,
            number=number,
            version=turn.state.version,
            mode=declaration.execution_mode,
            status="InProgress",
            place="waiting",
            position=0,
            started_ms=event.at_ms,
            updated_ms=event.at_ms,
            trigger=event.trigger,
            trigger_detail=event.trigger_detail,
            variables={**defaults, **event.variables},
            source_overrides=overrides,
        )
    )


def _stop(turn: Turn, event: StopRequested) -> None:
    execution = structs.replace(turn.execution(event.execution_id), stop_reason=event.reason)
    if event.abandon:
        execution = turn.abandon(execution, event.reason or "the execution was stopped")
    if event.abandon or execution.place == "waiting":
        turn.end(execution, "Stopped", "Stopped")
        return
    # Conditions may wait for hours, so a stop that waits for actions does not wait for them.
    execution = turn.drop_conditions(execution, event.reason, "Cancelled")
    stage = execution.stages[turn.state.stage_of(execution).name]
    execution = turn.put_stage(execution, structs.replace(stage, status="Stopping"))
    turn.put(structs.replace(execution, status="Stopping"))


def _roll_back(turn: Turn, event: RollbackRequested) -> None:
    target = rollback_target(turn.state, event)
    assert target is not None
    stages.roll_back(turn, event.execution_id, event.stage, target, trigger="ManualRollback", detail="")


def _override(turn: Turn, event: ConditionOverridden) -> None:
    execution = turn.execution(event.execution_id)
    passage = execution.stages[event.stage]
    moment: Moment = "beforeEntry" if event.condition_type == "BEFORE_ENTRY" else "onSuccess"
    overridden = structs.replace(passage.conditions[moment], status="Overridden", updated_ms=turn.at_ms)
    kept = {**passage.conditions, moment: overridden}
    execution = structs.replace(execution, status="InProgress", place="inside", summary="", stop_reason="")
    turn.put_stage(execution, structs.replace(passage, status="InProgress", conditions=kept))


def _transition(turn: Turn, stage: str, transition: Transition) -> None:
    known = turn.state.transitions.get(stage)
    was_enabled, reason = (known.enabled, known.reason) if known else (True, "")
    if (was_enabled, reason) != (transition.enabled, transition.reason):
        turn.change(transitions={**turn.state.transitions, stage: transition})


def _answered(turn: Turn, event: ApprovalAnswered) -> None:
    waiting = awaiting_approval(turn.state, event.stage, event.action)
    execution, run = next((execution, run) for execution, run in waiting if run.token == event.token)
    run = structs.replace(run, summary=event.summary, updated_by=event.by)
    if event.status == "Approved":
        turn.end_run(execution, run, "Succeeded")
    else:
        message = f"rejected: {event.summary}" if event.summary else "rejected"
        turn.end_run(execution, run, "Failed", ErrorDetails(code="ApprovalRejected", message=message))


def _find(turn: Turn, action_execution_id: str) -> tuple[Execution, ActionRun] | None:
    for execution in turn.state.live():
        run = execution.runs.get(action_execution_id)
        if run is not None and run.status == "InProgress":
            return execution, run
    return None


def _succeeded(turn: Turn, event: ActionSucceeded) -> None:
    found = _find(turn, event.action_execution_id)
    if found is None or found[1].token:
        return
    execution, run = found
    run = structs.replace(
        run,
        outputs=event.outputs,
        variables=event.variables,
        summary=event.summary,
        published=event.published,
        external_url=event.external_url,
    )
    stage = turn.state.stage_of(execution)
    action = next(each for each in stage.actions if each.name == run.action)
    outputs = execution.outputs
    if action.namespace:
        outputs = {**outputs, action.namespace: event.variables}
    execution = structs.replace(execution, outputs=outputs, artifacts={**execution.artifacts, **event.outputs})
    turn.end_run(execution, run, "Succeeded")


def _failed(turn: Turn, action_execution_id: str, error: ErrorDetails) -> None:
    found = _find(turn, action_execution_id)
    if found is not None and not found[1].token:
        turn.end_run(*found, "Failed", error)


def _timer(turn: Turn, event: TimerFired) -> None:
    found = _find(turn, event.timer)
    if found is not None:
        execution, run = found
        if run.expires_ms and run.expires_ms <= event.at_ms:
            turn.end_run(execution, run, "Failed", conditions.timed_out(run.started_ms, run.expires_ms))
            if not run.token:
                turn.stop_action(execution.id, run.id, "it timed out")
        return
    conditions.rule_timed_out(turn, event.timer)
