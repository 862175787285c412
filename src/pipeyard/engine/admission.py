"""Who enters which stage: locks, execution modes, disabled transitions, and who is superseded or cancelled meanwhile.

An execution that is inside a stage holds its lock, unless it is PARALLEL: those neither hold nor respect locks. Before
each stage wait the executions that want to enter it. What happens to them:

    waiting                                       becomes
    its stage is in the pipeline no more          Cancelled
    SUPERSEDED mode, and a newer one waits        Superseded (a rollback neither supersedes nor is superseded)
    the inbound transition is disabled            stays (a rollback is not held back: it does not use the transition)
    PARALLEL                                      enters
    the lock is free                              rollbacks first, then the oldest enters (SUPERSEDED leaves only one)
    the lock is held                              stays

An execution keeps the mode that the pipeline had when it started.
Source: CodePipeline User Guide, "How pipeline executions work" and "Set or change the pipeline execution mode".
"""

from collections.abc import Iterable

from pipeyard.engine import stages
from pipeyard.engine.state import Execution, PipelineState
from pipeyard.engine.turn import Turn

KEPT = 20


def holder(state: PipelineState, stage: str) -> Execution | None:
    """The execution that holds a stage's lock."""
    inside = (each for each in state.live() if each.place == "inside" and each.mode != "PARALLEL")
    return next((each for each in inside if state.stage_of(each).name == stage), None)


def is_enabled(state: PipelineState, stage: str) -> bool:
    transition = state.transitions.get(stage)
    return transition is None or transition.enabled


def cancel_orphans(turn: Turn) -> None:
    """Cancels executions in, or on their way into, a stage that an update or deletion took away."""
    declaration = turn.state.declaration
    names = {stage.name for stage in declaration.stages} if declaration else set()
    for execution in turn.state.live():
        if turn.state.stage_of(execution).name not in names:
            reason = "the pipeline's definition was updated before the execution could be completed"
            execution = turn.abandon(execution, reason)
            turn.end(execution, "Cancelled", "Cancelled", reason)


def admit(turn: Turn) -> None:
    """Supersedes and lets in; what the newcomers start is `settle_stage`'s."""
    for stage in sorted({turn.state.stage_of(each).name for each in turn.state.live() if each.place == "waiting"}):
        _supersede(turn, _waiting(turn.state, stage))
        enabled = is_enabled(turn.state, stage)
        for execution in _waiting(turn.state, stage):
            if not enabled and execution.type == "STANDARD":
                continue
            if execution.mode == "PARALLEL" or holder(turn.state, stage) is None:
                stages.enter(turn, execution)


def _waiting(state: PipelineState, stage: str) -> list[Execution]:
    found = [each for each in state.live() if each.place == "waiting" and state.stage_of(each).name == stage]
    return sorted(found, key=lambda each: (each.type == "STANDARD", each.number))


def _supersede(turn: Turn, waiting: Iterable[Execution]) -> None:
    rivals = [each for each in waiting if each.mode == "SUPERSEDED" and each.type == "STANDARD"]
    for older in rivals[:-1]:
        # The API has no Superseded among the words for stages: a stage that it waits for was never entered.
        turn.end(older, "Superseded", None, f"superseded by execution {rivals[-1].id}")


def forget(turn: Turn) -> None:
    """Drops ended executions that no rule needs: all but the last KEPT and each stage's latest and latest success."""
    state = turn.state
    ended = sorted((each for each in state.executions.values() if not each.is_live), key=lambda each: -each.number)
    needed = {*state.latest.values(), *state.latest_success.values()}
    gone = {each.id for each in ended[KEPT:] if each.id not in needed}
    if gone:
        turn.change(executions={key: each for key, each in state.executions.items() if key not in gone})
    used = {state.version, *(each.version for each in turn.state.executions.values())}
    if used != set(state.versions):
        turn.change(versions={number: each for number, each in state.versions.items() if number in used})
