"""An execution's way through one stage: entry conditions, actions group by group, then what success or failure means.

`settle_stage` asks one question over and over: given what has been recorded, what follows? It never remembers where it
was; the answer is read from the state alone, which makes a repeated question harmless:

    beforeEntry conditions          not started: start them    in progress: wait    failed: its result
    actions of the lowest runOrder  not started: start them    in progress: wait    failed: the stage fails
    ... of the next runOrder, and so on
    onSuccess conditions            not started: start them    in progress: wait    failed: its result
    the stage has succeeded: the execution waits for the next stage, or has succeeded

A stop is looked at first: once nothing is in progress, a Stopping execution is Stopped and starts nothing more.
A stage fails when the whole group has ended, so that a retry never meets an older run of itself.

Source: CodePipeline User Guide, "How pipeline executions work", "Configure automatic retry on stage failure",
"Configure stage rollback".
"""

from typing import Literal

from msgspec import Struct, structs

from pipeyard.actions.contract import Artifact
from pipeyard.definition.expressions import resolve, resolve_all
from pipeyard.definition.model import ActionDeclaration, StageDeclaration
from pipeyard.engine import conditions
from pipeyard.engine.commands import AskApproval, StartAction
from pipeyard.engine.state import ActionRun, ErrorDetails, Execution, StageRun
from pipeyard.engine.timeouts import timeout_ms
from pipeyard.engine.turn import Turn, derived_id, running
from pipeyard.errors import InputError


def enter(turn: Turn, execution: Execution) -> None:
    """The execution takes the stage that it waited for."""
    name = turn.state.stage_of(execution).name
    turn.change(latest={**turn.state.latest, name: execution.id})
    execution = structs.replace(execution, place="inside")
    turn.put_stage(execution, StageRun(name=name, status="InProgress", entered_ms=turn.at_ms))


def settle_stage(turn: Turn, execution: Execution) -> None:
    """Does the one next thing that follows for an execution inside a stage, if anything follows."""
    stage = turn.state.stage_of(execution)
    passage = execution.stages[stage.name]
    if execution.status == "Stopping":
        if not any(running(execution)):
            turn.end(execution, "Stopped", "Stopped")
        return
    has_conditions = execution.type == "STANDARD"
    entry = conditions.verdict(turn, execution, stage, "beforeEntry") if has_conditions else "met"
    if entry == "unmet":
        if conditions.result(stage, "beforeEntry", execution) == "SKIP":
            _leave(turn, execution, passage, "Skipped")
        else:
            _fail_execution(turn, execution, stage, f"the entry condition of stage {stage.name} was not met")
    if entry != "met":
        return
    for order in sorted({action.run_order for action in stage.actions}):
        group = [action for action in stage.actions if action.run_order == order]
        fresh = [action for action in group if action.name not in passage.current]
        if fresh:
            for action in fresh:
                execution = _start_action(turn, execution, stage, action)
            return
        statuses = {execution.runs[passage.current[action.name]].status for action in group}
        if "InProgress" in statuses:
            return
        if statuses != {"Succeeded"}:
            _stage_failed(turn, execution, stage)
            return
    success = conditions.verdict(turn, execution, stage, "onSuccess") if has_conditions else "met"
    if success == "met":
        _leave(turn, execution, passage, "Succeeded")
    elif success == "unmet":
        _fail_execution(turn, execution, stage, f"the success condition of stage {stage.name} was not met")
        if conditions.result(stage, "onSuccess", execution) == "ROLLBACK":
            _roll_back_automatically(turn, execution, stage)


def _start_action(turn: Turn, execution: Execution, stage: StageDeclaration, action: ActionDeclaration) -> Execution:
    """Starts an action, or asks for its approval; one that cannot be resolved has failed."""
    passage = execution.stages[stage.name]
    wanted = _resolved(execution, action)
    run = ActionRun(
        id=derived_id(execution.id, stage.name, action.name, passage.attempt),
        stage=stage.name,
        action=action.name,
        attempt=passage.attempt,
        status="InProgress",
        started_ms=turn.at_ms,
        updated_ms=turn.at_ms,
        configuration=wanted.configuration,
        inputs=wanted.inputs,
    )
    if wanted.error is not None:
        run = structs.replace(run, status="Failed", error=wanted.error)
    else:
        run = structs.replace(run, expires_ms=turn.at_ms + timeout_ms(action))
        if action.action_type_id.category == "Approval":
            run = structs.replace(run, token=derived_id(run.id, "approval"))
            turn.command(_question(execution, action, run))
        else:
            turn.command(_order(turn, execution, action, run, wanted))
        turn.set_timer(execution.id, run.id, run.expires_ms)
    execution = turn.put_run(execution, run)
    return turn.put_stage(execution, structs.replace(passage, current={**passage.current, action.name: run.id}))


class _Resolved(Struct, frozen=True, kw_only=True):
    """What an action is started with: everything that could be resolved, and why not everything could."""

    configuration: dict[str, str] = {}
    commands: list[str] = []
    environment: dict[str, str] = {}
    inputs: dict[str, Artifact] = {}
    error: ErrorDetails | None = None


def _resolved(execution: Execution, action: ActionDeclaration) -> _Resolved:
    known = conditions.values(execution)
    configuration: dict[str, str] = {}
    try:
        configuration = resolve_all(action.configuration, known)
        commands = [resolve(line, known) for line in action.commands]
        environment = {variable.name: resolve(variable.value, known) for variable in action.environment_variables}
    except InputError as unresolved:
        error = ErrorDetails(code="ConfigurationError", message=unresolved.message, hint=unresolved.hint)
        return _Resolved(configuration=configuration, error=error)
    missing = [artifact.name for artifact in action.input_artifacts if artifact.name not in execution.artifacts]
    if missing:
        error = ErrorDetails(code="ConfigurationError", message=f"no action has produced the artifact {missing[0]}")
        return _Resolved(configuration=configuration, error=error)
    return _Resolved(
        configuration=configuration,
        commands=commands,
        environment=environment,
        inputs={artifact.name: execution.artifacts[artifact.name] for artifact in action.input_artifacts},
    )


def _question(execution: Execution, action: ActionDeclaration, run: ActionRun) -> AskApproval:
    return AskApproval(
        id=f"{run.id}:ask",
        execution_id=execution.id,
        action_execution_id=run.id,
        stage=run.stage,
        action=action.name,
        token=run.token,
        type_id=action.action_type_id,
        configuration=run.configuration,
        expires_ms=run.expires_ms,
    )


def _order(
    turn: Turn, execution: Execution, action: ActionDeclaration, run: ActionRun, wanted: _Resolved
) -> StartAction:
    return StartAction(
        id=f"{run.id}:start",
        execution_id=execution.id,
        action_execution_id=run.id,
        stage=run.stage,
        declaration=action,
        configuration=wanted.configuration,
        commands=wanted.commands,
        environment=wanted.environment,
        inputs=wanted.inputs,
        source_revision=execution.source_overrides.get(action.name),
        timeout_s=(run.expires_ms - turn.at_ms) // 1000,
        definition=turn.state.versions[execution.version].definition,
    )


def _leave(turn: Turn, execution: Execution, passage: StageRun, status: Literal["Succeeded", "Skipped"]) -> None:
    execution = turn.put_stage(execution, structs.replace(passage, status=status))
    if execution.type == "STANDARD" and status == "Succeeded":
        turn.change(latest_success={**turn.state.latest_success, passage.name: execution.id})
    # A rollback runs the one stage again and leaves the others as they are.
    if execution.type == "ROLLBACK" or execution.position + 1 == len(turn.state.stages_of(execution)):
        turn.end(execution, "Succeeded", None)
    else:
        turn.put(structs.replace(execution, place="waiting", position=execution.position + 1))


def _stage_failed(turn: Turn, execution: Execution, stage: StageDeclaration) -> None:
    passage = execution.stages[stage.name]
    engaged = stage.on_failure.result or "" if stage.on_failure else ""
    if execution.type == "ROLLBACK":
        engaged = ""  # one rollback must not cause the next
    else:
        failure = conditions.verdict(turn, execution, stage, "onFailure")
        if failure == "waiting":
            return
        if failure == "unmet":
            engaged = conditions.result(stage, "onFailure", execution) or engaged
    if engaged == "SKIP":
        _leave(turn, execution, passage, "Skipped")
    elif engaged == "RETRY" and passage.automatic_retries == 0:
        assert stage.on_failure is not None
        configured = stage.on_failure.retry_configuration
        mode = configured.retry_mode if configured and configured.retry_mode else "FAILED_ACTIONS"
        retry(turn, execution, all_actions=mode == "ALL_ACTIONS", trigger="AutomatedStageRetry")
    else:
        _fail_execution(turn, execution, stage, "")
        if engaged == "ROLLBACK":
            _roll_back_automatically(turn, execution, stage)


def _fail_execution(turn: Turn, execution: Execution, stage: StageDeclaration, summary: str) -> None:
    turn.end(execution, "Failed", "Failed", summary or f"stage {stage.name} failed")


def retry(turn: Turn, execution: Execution, *, all_actions: bool, trigger: str) -> None:
    """Puts an execution back into the stage that it failed or was stopped in.

    Actions that succeeded keep their runs unless `all_actions`; entry conditions that were met stay met.
    """
    passage = execution.stages[turn.state.stage_of(execution).name]
    kept = (
        {}
        if all_actions
        else {action: run for action, run in passage.current.items() if execution.runs[run].status == "Succeeded"}
    )
    entry = passage.conditions.get("beforeEntry")
    automatic = trigger == "AutomatedStageRetry"
    again = structs.replace(
        passage,
        status="InProgress",
        attempt=passage.attempt + 1,
        current=kept,
        conditions={"beforeEntry": entry} if entry is not None and conditions.is_met(entry) else {},
        automatic_retries=passage.automatic_retries + automatic,
        manual_retries=passage.manual_retries + (not automatic),
        latest_retry=trigger,
    )
    resumed = structs.replace(execution, status="InProgress", place="inside", summary="", stop_reason="")
    turn.put_stage(resumed, again)


def _roll_back_automatically(turn: Turn, execution: Execution, stage: StageDeclaration) -> None:
    """To the latest standard execution of this version that succeeded in the stage; without one, nothing happens."""
    target = turn.state.executions.get(turn.state.latest_success.get(stage.name, ""))
    suitable = target is not None and target.id != execution.id and target.version == turn.state.version
    if target is None or not suitable or execution.mode == "PARALLEL" or execution.position == 0:
        return
    attempt = execution.stages[stage.name].attempt
    new_id = derived_id(execution.id, stage.name, attempt, "rollback")
    roll_back(turn, new_id, stage.name, target, trigger="AutomatedRollback", detail=execution.id)


def roll_back(turn: Turn, new_id: str, stage: str, target: Execution, *, trigger: str, detail: str) -> None:
    """Starts an execution of one stage with what an earlier one had: its variables, outputs and artifacts."""
    number = turn.state.started + 1
    names = [each.name for each in turn.state.stages_of(target)]
    turn.change(started=number)
    turn.put(
        Execution(
            id=new_id,
            number=number,
            version=target.version,
            mode=target.mode,
            status="InProgress",
            place="waiting",
            position=names.index(stage),
            started_ms=turn.at_ms,
            updated_ms=turn.at_ms,
            type="ROLLBACK",
            trigger=trigger,
            trigger_detail=detail,
            rollback_target=target.id,
            variables=target.variables,
            source_overrides=target.source_overrides,
            outputs=target.outputs,
            artifacts=target.artifacts,
        )
    )
