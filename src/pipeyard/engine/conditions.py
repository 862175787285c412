"""The conditions of a stage: rules are started together, and when all have ended they say whether a result engages.

A stage may have conditions at three moments. A condition is met when all of its rules succeed; when one does not, the
condition's result engages:

    moment        all rules succeed              a rule fails, and the result is
    beforeEntry   the actions start              SKIP: the stage is Skipped    otherwise: the execution fails
    onSuccess     the stage has succeeded        ROLLBACK: fails, rolls back   otherwise: the execution fails
    onFailure     the stage stays failed         ROLLBACK, RETRY, SKIP, FAIL: as for a result without conditions

Source: CodePipeline User Guide, "Configure conditions for a stage", "How do stage conditions work?".
"""

from collections.abc import Mapping
from typing import Literal

from msgspec import structs

from pipeyard.definition.expressions import resolve, resolve_all
from pipeyard.definition.model import Condition, RuleDeclaration, StageDeclaration
from pipeyard.engine.commands import StartRule
from pipeyard.engine.state import ConditionRun, ConditionStatus, ErrorDetails, Execution, Moment, RuleRun
from pipeyard.engine.turn import Turn, derived_id
from pipeyard.errors import InputError

MINUTE_MS = 60_000


def declared(stage: StageDeclaration, moment: Moment) -> list[Condition]:
    holder = {"beforeEntry": stage.before_entry, "onSuccess": stage.on_success, "onFailure": stage.on_failure}[moment]
    return [condition for condition in holder.conditions if condition.rules] if holder else []


def values(execution: Execution) -> Mapping[str, Mapping[str, str]]:
    """What #{...} may refer to now: recorded outputs, the pipeline's variables, and the execution's own."""
    own = {"codepipeline": {"PipelineExecutionId": execution.id}, "variables": execution.variables}
    return {**execution.outputs, **own}


def verdict(
    turn: Turn, execution: Execution, stage: StageDeclaration, moment: Moment
) -> Literal["waiting", "met", "unmet"]:
    """Whether the conditions of a moment hold; starts them when nobody has. Without conditions they do."""
    if not declared(stage, moment):
        return "met"
    run = execution.stages[stage.name].conditions.get(moment)
    if run is None:
        _start(turn, execution, stage, moment)
        return "waiting"
    if run.status == "InProgress":
        return "waiting"
    return "met" if is_met(run) else "unmet"


def is_met(run: ConditionRun) -> bool:
    return run.status in ("Succeeded", "Overridden")


def _start(turn: Turn, execution: Execution, stage: StageDeclaration, moment: Moment) -> None:
    """Starts every rule of a moment's conditions; a rule that cannot be resolved has failed."""
    attempt = execution.stages[stage.name].attempt
    groups = [
        [_start_rule(turn, execution, stage, rule, f"{moment}:{number}:{attempt}") for rule in condition.rules]
        for number, condition in enumerate(declared(stage, moment))
    ]
    run = ConditionRun(status="InProgress", started_ms=turn.at_ms, updated_ms=turn.at_ms, rules=groups)
    _put(turn, execution, stage.name, moment, _judged(turn, run))


def _start_rule(
    turn: Turn, execution: Execution, stage: StageDeclaration, rule: RuleDeclaration, cause: str
) -> RuleRun:
    run = RuleRun(
        id=derived_id(execution.id, stage.name, cause, rule.name),
        name=rule.name,
        status="InProgress",
        started_ms=turn.at_ms,
        updated_ms=turn.at_ms,
    )
    try:
        configuration = resolve_all(rule.configuration, values(execution))
        commands = [resolve(line, values(execution)) for line in rule.commands]
        missing = [artifact.name for artifact in rule.input_artifacts if artifact.name not in execution.artifacts]
        if missing:
            raise InputError(f"no action has produced the input artifact {missing[0]}")
    except InputError as error:
        return structs.replace(run, status="Failed", error=ErrorDetails(code="ConfigurationError", message=str(error)))
    turn.command(
        StartRule(
            id=f"{run.id}:start",
            execution_id=execution.id,
            rule_execution_id=run.id,
            stage=stage.name,
            rule=rule,
            configuration=configuration,
            commands=commands,
            inputs={artifact.name: execution.artifacts[artifact.name] for artifact in rule.input_artifacts},
            definition=turn.state.versions[execution.version].definition,
        )
    )
    expires_ms = turn.at_ms + rule.timeout_in_minutes * MINUTE_MS if rule.timeout_in_minutes else 0
    if expires_ms:
        turn.set_timer(execution.id, run.id, expires_ms)
    return structs.replace(run, configuration=configuration, expires_ms=expires_ms)


def rule_ended(turn: Turn, rule_id: str, error: ErrorDetails | None, summary: str) -> None:
    """Records a rule's answer; nothing happens when no rule of that id is in progress."""
    found = _find(turn, rule_id)
    if found is None:
        return
    execution, stage, moment, rule = found
    if rule.expires_ms:
        turn.cancel_timer(execution.id, rule.id)
    ended = structs.replace(
        rule,
        status="Failed" if error else "Succeeded",
        error=error,
        summary=summary,
        updated_ms=turn.at_ms,
        expires_ms=0,
    )
    run = execution.stages[stage].conditions[moment]
    rules = [[ended if each is rule else each for each in group] for group in run.rules]
    _put(turn, execution, stage, moment, _judged(turn, structs.replace(run, rules=rules)))


def rule_timed_out(turn: Turn, rule_id: str) -> None:
    """Ends a rule whose time is over, in the state and where it is evaluated."""
    found = _find(turn, rule_id)
    if found is None:
        return
    execution, _, _, rule = found
    if not rule.expires_ms or rule.expires_ms > turn.at_ms:
        return
    error = timed_out(rule.started_ms, rule.expires_ms)
    rule_ended(turn, rule_id, error, error.message)
    turn.stop_rule(execution.id, rule.id, "it timed out")


def timed_out(started_ms: int, expires_ms: int) -> ErrorDetails:
    minutes = (expires_ms - started_ms) // MINUTE_MS
    return ErrorDetails(code="TimeoutError", message=f"not done after {minutes} minutes")


def _find(turn: Turn, rule_id: str) -> tuple[Execution, str, Moment, RuleRun] | None:
    """A rule in progress, with its execution, stage and moment."""
    for execution in turn.state.live():
        for stage in execution.stages.values():
            for moment, run in stage.conditions.items():
                for rule in run.each_rule():
                    if rule.id == rule_id and rule.status == "InProgress":
                        return execution, stage.name, moment, rule
    return None


def result(stage: StageDeclaration, moment: Moment, execution: Execution) -> str:
    """The result that engages: that of the first condition with a failed rule; empty when it declares none."""
    run = execution.stages[stage.name].conditions[moment]
    for condition, rules in zip(declared(stage, moment), run.rules, strict=False):
        if any(rule.status != "Succeeded" for rule in rules):
            return condition.result or ""
    return ""


def _judged(turn: Turn, run: ConditionRun) -> ConditionRun:
    rules = tuple(run.each_rule())
    if any(rule.status == "InProgress" for rule in rules):
        return run
    failed = [rule for rule in rules if rule.status != "Succeeded"]
    status: ConditionStatus = "Succeeded"
    if failed:
        not_met = any(rule.error is None or rule.error.code == "RuleNotMet" for rule in failed)
        status = "Failed" if not_met else "Errored"
    summary = "; ".join(f"{rule.name}: {rule.error.message}" for rule in failed if rule.error)
    return structs.replace(run, status=status, summary=summary, updated_ms=turn.at_ms)


def _put(turn: Turn, execution: Execution, stage: str, moment: Moment, run: ConditionRun) -> None:
    passage = execution.stages[stage]
    turn.put_stage(execution, structs.replace(passage, conditions={**passage.conditions, moment: run}))
