"""One call of `advance` while it is worked out: the state so far, the commands so far, and the event's time."""

import hashlib
from collections.abc import Iterator

from msgspec import structs

from pipeyard.engine.commands import CancelTimer, Command, SetTimer, StopAction, StopRule
from pipeyard.engine.state import (
    ActionRun,
    ActionStatus,
    ErrorDetails,
    Execution,
    ExecutionStatus,
    PipelineState,
    RuleRun,
    StageRun,
    StageStatus,
)


def derived_id(*cause: str | int) -> str:
    """An id in the form of a UUID that is the same whenever it is derived from the same cause."""
    digest = hashlib.sha256("\0".join(str(part) for part in cause).encode()).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}"


class Turn:
    """Mutable, and never outlives its call; the states that it goes through are frozen values."""

    def __init__(self, state: PipelineState, at_ms: int) -> None:
        self.state = state
        self.at_ms = at_ms
        self.commands: list[Command] = []

    def change(self, **members: object) -> None:
        self.state = structs.replace(self.state, **members)

    def command(self, command: Command) -> None:
        self.commands.append(command)

    def execution(self, execution_id: str) -> Execution:
        return self.state.executions[execution_id]

    def put(self, execution: Execution) -> Execution:
        """Makes a changed or new execution the state's; stamps it with the event's time."""
        execution = structs.replace(execution, updated_ms=self.at_ms)
        self.change(executions={**self.state.executions, execution.id: execution})
        return execution

    def put_stage(self, execution: Execution, stage: StageRun) -> Execution:
        stage = structs.replace(stage, updated_ms=self.at_ms)
        return self.put(structs.replace(execution, stages={**execution.stages, stage.name: stage}))

    def put_run(self, execution: Execution, run: ActionRun) -> Execution:
        return self.put(structs.replace(execution, runs={**execution.runs, run.id: run}))

    def set_timer(self, execution_id: str, run_id: str, due_ms: int) -> None:
        self.command(SetTimer(id=f"{run_id}:timer", execution_id=execution_id, timer=run_id, due_ms=due_ms))

    def cancel_timer(self, execution_id: str, run_id: str) -> None:
        self.command(CancelTimer(id=f"{run_id}:cancel-timer", execution_id=execution_id, timer=run_id))

    def stop_action(self, execution_id: str, run_id: str, reason: str) -> None:
        self.command(
            StopAction(id=f"{run_id}:stop", execution_id=execution_id, action_execution_id=run_id, reason=reason)
        )

    def stop_rule(self, execution_id: str, rule_id: str, reason: str) -> None:
        self.command(
            StopRule(id=f"{rule_id}:stop", execution_id=execution_id, rule_execution_id=rule_id, reason=reason)
        )

    def end_run(
        self, execution: Execution, run: ActionRun, status: ActionStatus, error: ErrorDetails | None = None
    ) -> Execution:
        """Ends an action run that is in progress; its timer and token end with it."""
        if run.expires_ms:
            self.cancel_timer(execution.id, run.id)
        ended = structs.replace(run, status=status, error=error, updated_ms=self.at_ms, token="", expires_ms=0)
        return self.put_run(execution, ended)

    def abandon(self, execution: Execution, reason: str) -> Execution:
        """Ends all that an execution has in progress; those who perform it are told to stop."""
        for run in running(execution):
            execution = self.end_run(execution, run, "Abandoned")
            self.stop_action(execution.id, run.id, reason)
        return self.drop_conditions(execution, reason, "Abandoned")

    def drop_conditions(self, execution: Execution, reason: str, status: str) -> Execution:
        """Ends the rules that an execution has in progress, and the conditions that they belong to."""
        for stage in execution.stages.values():
            for moment, condition in stage.conditions.items():
                if condition.status != "InProgress":
                    continue
                rules = [
                    [self._abandon_rule(execution.id, rule, reason) for rule in group] for group in condition.rules
                ]
                ended = structs.replace(condition, status=status, rules=rules, updated_ms=self.at_ms)
                changed = structs.replace(stage, conditions={**stage.conditions, moment: ended})
                execution = self.put_stage(execution, changed)
        return execution

    def _abandon_rule(self, execution_id: str, rule: RuleRun, reason: str) -> RuleRun:
        """What becomes of a rule whose condition is dropped: one that has ended stays as it is."""
        if rule.status != "InProgress":
            return rule
        if rule.expires_ms:
            self.cancel_timer(execution_id, rule.id)
        self.stop_rule(execution_id, rule.id, reason)
        return structs.replace(rule, status="Abandoned", updated_ms=self.at_ms, expires_ms=0)

    def end(
        self, execution: Execution, status: ExecutionStatus, stage_status: StageStatus | None, summary: str = ""
    ) -> Execution:
        """Ends an execution; one that is inside a stage leaves it with `stage_status`."""
        if execution.place == "inside" and stage_status is not None:
            stage = execution.stages[self.state.stage_of(execution).name]
            execution = self.put_stage(execution, structs.replace(stage, status=stage_status))
        return self.put(structs.replace(execution, status=status, place="ended", summary=summary or execution.summary))


def running(execution: Execution) -> Iterator[ActionRun]:
    """The action runs in progress."""
    return (run for run in tuple(execution.runs.values()) if run.status == "InProgress")
