"""What is true of every state that `advance` can reach, written down so that tests can ask after each step."""

from collections import Counter
from collections.abc import Iterator

from pipeyard.engine.admission import holder, is_enabled
from pipeyard.engine.state import ENDED, Execution, PipelineState
from pipeyard.engine.turn import running


def broken_invariants(state: PipelineState) -> tuple[str, ...]:
    """One sentence for each rule that the state breaks; empty when it is sound."""
    return (*_locks(state), *(text for each in state.executions.values() for text in _execution(state, each)))


def _locks(state: PipelineState) -> Iterator[str]:
    inside = [each for each in state.live() if each.place == "inside" and each.mode != "PARALLEL"]
    for stage, count in Counter(state.stage_of(each).name for each in inside).items():
        if count > 1:
            yield f"stage {stage} holds {count} executions"
    rivals = [each for each in state.live() if each.place == "waiting" and each.mode == "SUPERSEDED"]
    standard = [each for each in rivals if each.type == "STANDARD"]
    for stage, count in Counter(state.stage_of(each).name for each in standard).items():
        if count > 1:
            yield f"{count} executions that supersede each other wait for stage {stage}"
    numbers = [each.number for each in state.executions.values()]
    if len(numbers) != len(set(numbers)) or any(number > state.started for number in numbers):
        yield "two executions have one number, or one has a number that was never given"


def _execution(state: PipelineState, execution: Execution) -> Iterator[str]:
    name = f"execution {execution.id}"
    if (execution.status in ENDED) != (execution.place == "ended"):
        yield f"{name} is {execution.status} and {execution.place}"
    if execution.version not in state.versions:
        yield f"{name} has version {execution.version}, which the state does not know"
        return
    declaration = state.declaration
    names = {stage.name for stage in declaration.stages} if declaration else set()
    if execution.is_live and state.stage_of(execution).name not in names:
        yield f"{name} is in, or waits for, a stage that the pipeline no longer has"
    in_progress = list(running(execution))
    rules = _rules_in_progress(execution)
    stage = state.stage_of(execution)
    if execution.place == "ended":
        if in_progress or rules:
            yield f"{name} has ended and something of it is in progress"
        open_stages = [each.name for each in execution.stages.values() if each.status in ("InProgress", "Stopping")]
        if open_stages:
            yield f"{name} has ended and its stage {open_stages[0]} has not"
    elif execution.place == "waiting":
        if in_progress or rules:
            yield f"{name} waits and something of it is in progress"
        locked = execution.mode != "PARALLEL" and holder(state, stage.name) is not None
        held_back = execution.type == "STANDARD" and not is_enabled(state, stage.name)
        if not locked and not held_back:
            yield f"{name} waits for stage {stage.name} and nothing keeps it out"
    else:
        if not in_progress and not rules:
            yield f"{name} is in stage {stage.name} and nothing of it is in progress: it is stuck"
        if any(run.stage != stage.name for run in in_progress):
            yield f"{name} is in stage {stage.name} and has an action of another stage in progress"
        if execution.status == "Stopping" and rules:
            yield f"{name} is stopping and waits for a rule"
        yield from _groups(state, execution)
    for passage in execution.stages.values():
        for action, run_id in passage.current.items():
            run = execution.runs.get(run_id)
            if run is None or run.action != action:
                yield f"{name} has no run {run_id} of action {action}"
    for run in execution.runs.values():
        if run.status != "InProgress" and (run.token or run.expires_ms):
            yield f"{name} has a token or timer for {run.action}, which has ended"
        counts = run.id in execution.stages[run.stage].current.values() if run.stage in execution.stages else False
        if run.status == "InProgress" and not counts:
            yield f"{name} has a run of {run.action} in progress that does not count"


def _groups(state: PipelineState, execution: Execution) -> Iterator[str]:
    """Within a stage, no action starts before those of lower runOrder have succeeded."""
    stage = state.stage_of(execution)
    current = execution.stages[stage.name].current
    started = {
        action.run_order: execution.runs[current[action.name]].status
        for action in stage.actions
        if action.name in current
    }
    for action in stage.actions:
        waits_for_it = any(order > action.run_order for order in started)
        if not waits_for_it:
            continue
        run_id = current.get(action.name)
        if run_id is None or execution.runs[run_id].status != "Succeeded":
            yield f"execution {execution.id} went on before {action.name} had succeeded"


def _rules_in_progress(execution: Execution) -> bool:
    return any(
        rule.status == "InProgress"
        for stage in execution.stages.values()
        for condition in stage.conditions.values()
        for rule in condition.each_rule()
    )
