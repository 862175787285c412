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


def start(turn: Turn, execution: Execution, stage: StageDeclaration, moment: Moment) -> Execution:
    """Starts every rule of a moment's conditions; a rule that cannot be resolved has failed."""
    attempt = execution.stages[stage.name].attempt
    groups = [
        [_start_rule(turn, execution, stage, rule, f"{moment}:{number}:{attempt}") for rule in condition.rules]
        for number, condition in enumerate(declared(stage, moment))
    ]
    run = ConditionRun(status="InProgress", started_ms=turn.at_ms, updated_ms=turn.at_ms, rules=groups)
    return _put(turn, execution, stage.name, moment, _judged(turn, run))


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


def rule_ended(turn: Turn, rule_id: str, error: ErrorDetails | None, summary: str) -> bool:
    """Records a rule's answer; False when no rule of that id is in progress."""
    for execution in turn.state.live():
        for stage in execution.stages.values():
            for moment, condition in stage.conditions.items():
                groups = [list(group) for group in condition.rules]
                for group in groups:
                    for position, rule in enumerate(group):
                        if rule.id != rule_id or rule.status != "InProgress":
                            continue
                        if rule.expires_ms:
                            turn.cancel_timer(execution.id, rule.id)
                        group[position] = structs.replace(
                            rule,
                            status="Failed" if error else "Succeeded",
                            error=error,
                            summary=summary,
                            updated_ms=turn.at_ms,
                            expires_ms=0,
                        )
                        judged = _judged(turn, structs.replace(condition, rules=groups))
                        _put(turn, execution, stage.name, moment, judged)
                        return True
    return False


def result(stage: StageDeclaration, moment: Moment, run: ConditionRun) -> str:
    """The result that engages: that of the first condition with a failed rule; empty when it declares none."""
    for condition, rules in zip(declared(stage, moment), run.rules, strict=False):
        if any(rule.status != "Succeeded" for rule in rules):
            return condition.result or ""
    return ""


def _judged(turn: Turn, run: ConditionRun) -> ConditionRun:
    rules = [rule for group in run.rules for rule in group]
    if any(rule.status == "InProgress" for rule in rules):
        return run
    failed = [rule for rule in rules if rule.status != "Succeeded"]
    status: ConditionStatus = "Succeeded"
    if failed:
        not_met = any(rule.error is None or rule.error.code == "RuleNotMet" for rule in failed)
        status = "Failed" if not_met else "Errored"
    summary = "; ".join(f"{rule.name}: {rule.error.message}" for rule in failed if rule.error)
    return structs.replace(run, status=status, summary=summary, updated_ms=turn.at_ms)


def _put(turn: Turn, execution: Execution, stage: str, moment: Moment, run: ConditionRun) -> Execution:
    passage = execution.stages[stage]
    return turn.put_stage(execution, structs.replace(passage, conditions={**passage.conditions, moment: run}))
