"""The service's rules between executions, one by one, on the pure machine."""

from typing import Literal

import pytest

from pipeyard.actions.contract import Artifact
from pipeyard.definition.model import PipelineDeclaration
from pipeyard.engine.commands import AskApproval, Command, StartAction, StartRule, StopAction
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
from pipeyard.engine.invariants import broken_invariants
from pipeyard.engine.machine import advance
from pipeyard.engine.refusals import refusal
from pipeyard.engine.state import Execution, PipelineState
from tests.engine.pipelines import action, approval, condition, pipeline, source, stage, two_stages


class Play:
    """A pipeline that events happen to, and what was asked for because of them."""

    def __init__(self, declaration: PipelineDeclaration) -> None:
        self.state = PipelineState(pipeline="site")
        self.now = 0
        self.open: dict[tuple[str, str], StartAction | StartRule | AskApproval] = {}
        self.stopped: list[str] = []
        self.happen(PipelineDefined(at_ms=1, declaration=declaration))

    def happen(self, event: Event) -> tuple[Command, ...]:
        self.now += 1
        self.state, commands = advance(self.state, event)
        assert broken_invariants(self.state) == ()
        for command in commands:
            match command:
                case StartAction():
                    self.open[command.execution_id, command.declaration.name] = command
                case StartRule():
                    self.open[command.execution_id, command.rule.name] = command
                case AskApproval():
                    self.open[command.execution_id, command.action] = command
                case StopAction():
                    self.stopped.append(command.action_execution_id)
                case _:
                    pass
        return commands

    def start(self, execution_id: str, **variables: str) -> None:
        self.happen(ExecutionRequested(at_ms=self.now, execution_id=execution_id, variables=variables))

    def good(self, execution_id: str, *names: str, **variables: str) -> None:
        for name in names:
            command = self.open.pop((execution_id, name))
            if isinstance(command, StartRule):
                self.happen(RuleSucceeded(at_ms=self.now, rule_execution_id=command.rule_execution_id))
                continue
            assert isinstance(command, StartAction)
            outputs = {
                each.name: Artifact(name=each.name, location=execution_id)
                for each in command.declaration.output_artifacts
            }
            found = {"CommitId": execution_id} | variables
            work_id = command.action_execution_id
            self.happen(ActionSucceeded(at_ms=self.now, action_execution_id=work_id, variables=found, outputs=outputs))

    def bad(self, execution_id: str, *names: str) -> None:
        for name in names:
            command = self.open.pop((execution_id, name))
            if isinstance(command, StartRule):
                self.happen(RuleFailed(at_ms=self.now, rule_execution_id=command.rule_execution_id, message="no"))
            elif isinstance(command, StartAction):
                work_id = command.action_execution_id
                self.happen(ActionFailed(at_ms=self.now, action_execution_id=work_id, message="broken"))

    def __getitem__(self, execution_id: str) -> Execution:
        return self.state.executions[execution_id]

    def statuses(self, *execution_ids: str) -> list[str]:
        return [self[each].status for each in execution_ids]

    def passage(self, execution_id: str, name: str) -> str:
        return self[execution_id].stages[name].status

    def refused(self, event: Event) -> str:
        before = self.state
        found = refusal(before, event)
        assert found is not None
        assert advance(before, event) == (before, ())
        return found.code


def three(mode: str = "SUPERSEDED") -> PipelineDeclaration:
    return pipeline(source(), stage("Build", action("Image")), stage("Deploy", action("Ship")), mode=mode)


def test_a_newer_execution_supersedes_the_one_that_waits_before_it() -> None:
    play = Play(three())
    for number in ("e1", "e2", "e3"):
        play.start(number)
        play.good(number, "Fetch")
    assert play.statuses("e1", "e2", "e3") == ["InProgress", "Superseded", "InProgress"]
    play.good("e1", "Image")
    assert ("e3", "Image") in play.open


def test_queued_executions_go_through_a_stage_in_their_order() -> None:
    play = Play(three("QUEUED"))
    for number in ("e1", "e2", "e3"):
        play.start(number)
    play.good("e1", "Fetch")
    play.good("e2", "Fetch")
    play.good("e3", "Fetch")
    assert play.statuses("e1", "e2", "e3") == ["InProgress"] * 3
    assert [key for key in play.open if key[1] == "Image"] == [("e1", "Image")]
    play.good("e1", "Image")
    assert ("e2", "Image") in play.open
    assert ("e3", "Image") not in play.open


def test_parallel_executions_share_stages() -> None:
    play = Play(three("PARALLEL"))
    play.start("e1")
    play.start("e2")
    play.good("e1", "Fetch")
    play.good("e2", "Fetch")
    assert {("e1", "Image"), ("e2", "Image")} <= play.open.keys()


@pytest.mark.parametrize("mode", ["QUEUED", "PARALLEL"])
def test_no_more_than_fifty_executions_are_in_progress(mode: str) -> None:
    play = Play(three(mode))
    for number in range(50):
        play.start(f"e{number}")
    one_more = ExecutionRequested(at_ms=1, execution_id="more")
    assert play.refused(one_more) == "ConcurrentPipelineExecutionsLimitExceededException"


def test_a_failed_stage_is_free_for_the_next_execution() -> None:
    play = Play(three())
    play.start("e1")
    play.good("e1", "Fetch")
    play.start("e2")
    play.good("e2", "Fetch")
    play.bad("e1", "Image")
    assert play.statuses("e1", "e2") == ["Failed", "InProgress"]
    assert ("e2", "Image") in play.open
    retry = StageRetryRequested(at_ms=1, execution_id="e1", stage="Build")
    assert play.refused(retry) == "NotLatestPipelineExecutionException"


def test_the_next_run_order_starts_when_the_whole_group_has_succeeded() -> None:
    play = Play(pipeline(source(), stage("Build", action("A"), action("B"), action("C", order=2))))
    play.start("e1")
    play.good("e1", "Fetch")
    play.good("e1", "A")
    assert ("e1", "C") not in play.open
    play.good("e1", "B")
    assert ("e1", "C") in play.open


def test_a_group_that_fails_lets_its_others_end_first() -> None:
    play = Play(pipeline(source(), stage("Build", action("A"), action("B"), action("C", order=2))))
    play.start("e1")
    play.good("e1", "Fetch")
    play.bad("e1", "A")
    assert play.statuses("e1") == ["InProgress"]
    play.good("e1", "B")
    assert play.statuses("e1") == ["Failed"]
    assert ("e1", "C") not in play.open


@pytest.mark.parametrize(("mode", "again"), [("FAILED_ACTIONS", {"A"}), ("ALL_ACTIONS", {"A", "B"})])
def test_a_retry_runs_what_it_was_asked_to(mode: Literal["FAILED_ACTIONS", "ALL_ACTIONS"], again: set[str]) -> None:
    play = Play(pipeline(source(), stage("Build", action("A"), action("B"))))
    play.start("e1")
    play.good("e1", "Fetch", "B")
    play.bad("e1", "A")
    play.happen(StageRetryRequested(at_ms=1, execution_id="e1", stage="Build", mode=mode))
    assert {name for _, name in play.open} == again
    play.good("e1", *again)
    assert play.statuses("e1") == ["Succeeded"]
    assert play["e1"].stages["Build"].manual_retries == 1


def test_a_stop_that_waits_lets_actions_end_and_starts_nothing_more() -> None:
    play = Play(three())
    play.start("e1")
    play.happen(StopRequested(at_ms=1, execution_id="e1", reason="enough"))
    assert play.statuses("e1") == ["Stopping"]
    assert play.passage("e1", "Source") == "Stopping"
    assert play.refused(StopRequested(at_ms=1, execution_id="e1")) == "DuplicatedStopRequestException"
    play.good("e1", "Fetch")
    assert play.statuses("e1") == ["Stopped"]
    assert play.passage("e1", "Source") == "Stopped"
    assert play.open == {}


def test_a_stop_that_abandons_ends_at_once_and_tells_who_performs() -> None:
    play = Play(three())
    play.start("e1")
    work = play.open["e1", "Fetch"]
    assert isinstance(work, StartAction)
    play.happen(StopRequested(at_ms=1, execution_id="e1"))
    play.happen(StopRequested(at_ms=1, execution_id="e1", abandon=True))
    assert play.statuses("e1") == ["Stopped"]
    assert play.stopped == [work.action_execution_id]
    assert play["e1"].runs[work.action_execution_id].status == "Abandoned"


def test_a_disabled_transition_holds_back_and_only_the_newest_goes_on() -> None:
    play = Play(three())
    play.happen(TransitionDisabled(at_ms=1, stage="Build", reason="freeze"))
    for number in ("e1", "e2"):
        play.start(number)
        play.good(number, "Fetch")
    assert play.statuses("e1", "e2") == ["Superseded", "InProgress"]
    play.happen(TransitionEnabled(at_ms=2, stage="Build"))
    assert ("e2", "Image") in play.open


def test_variables_have_defaults_that_an_execution_may_override() -> None:
    use = action("Use", category="Source", configuration={"Greeting": "#{variables.Greeting} #{variables.Name}"})
    play = Play(pipeline(stage("Source", use), variables={"Greeting": "hello", "Name": None}))
    assert play.refused(ExecutionRequested(at_ms=1, execution_id="e1")) == "ValidationException"
    play.start("e1", Name="yard")
    command = play.open["e1", "Use"]
    assert isinstance(command, StartAction)
    assert command.configuration == {"Greeting": "hello yard"}


def test_a_running_execution_keeps_the_version_that_it_started_with() -> None:
    play = Play(two_stages())
    play.start("e1")
    other = pipeline(source(), stage("Build", action("Other")))
    play.happen(PipelineDefined(at_ms=2, declaration=other))
    play.good("e1", "Fetch")
    assert ("e1", "Image") in play.open
    assert play.state.version == 2
    assert not play.happen(PipelineDefined(at_ms=3, declaration=other))
    assert play.state.version == 2


def test_an_update_without_its_stage_cancels_an_execution() -> None:
    play = Play(three())
    play.start("e1")
    play.good("e1", "Fetch")
    play.happen(PipelineDefined(at_ms=2, declaration=pipeline(source(), stage("Deploy", action("Ship")))))
    assert play.statuses("e1") == ["Cancelled"]
    assert len(play.stopped) == 1


def test_deleting_a_pipeline_cancels_what_runs_and_a_new_one_begins_at_version_one() -> None:
    play = Play(three())
    play.start("e1")
    play.happen(PipelineDefined(at_ms=2, declaration=two_stages()))
    play.happen(PipelineDeleted(at_ms=3))
    assert play.statuses("e1") == ["Cancelled"]
    assert play.refused(ExecutionRequested(at_ms=4, execution_id="e2")) == "PipelineNotFoundException"
    play.happen(PipelineDefined(at_ms=5, declaration=three()))
    assert (play.state.version, play.state.executions) == (1, {})


def test_a_rollback_runs_one_stage_with_what_its_target_had() -> None:
    play = Play(two_stages())
    for number in ("e1", "e2"):
        play.start(number)
        play.good(number, "Fetch", "Image")
    request = RollbackRequested(at_ms=1, execution_id="r1", stage="Build", target_execution_id="e1")
    play.happen(request)
    command = play.open["r1", "Image"]
    assert isinstance(command, StartAction)
    assert command.configuration["Tags"] == "e1,latest"
    assert command.inputs["code"].location == "e1"
    play.good("r1", "Image")
    rollback = play["r1"]
    assert (rollback.status, rollback.type, rollback.trigger) == ("Succeeded", "ROLLBACK", "ManualRollback")
    of_a_rollback = RollbackRequested(at_ms=1, execution_id="r2", stage="Build", target_execution_id="r1")
    assert play.refused(of_a_rollback) == "UnableToRollbackStageException"
    of_the_source = RollbackRequested(at_ms=1, execution_id="r2", stage="Source", target_execution_id="e1")
    assert play.refused(of_the_source) == "UnableToRollbackStageException"
    play.happen(PipelineDefined(at_ms=9, declaration=three()))
    outdated = RollbackRequested(at_ms=1, execution_id="r2", stage="Build", target_execution_id="e1")
    assert play.refused(outdated) == "PipelineExecutionOutdatedException"


def test_a_failed_rollback_causes_no_other() -> None:
    build = stage("Build", action("Image"), failure_result="ROLLBACK")
    play = Play(pipeline(source(), build))
    play.start("e1")
    play.good("e1", "Fetch", "Image")
    play.start("e2")
    play.good("e2", "Fetch")
    play.bad("e2", "Image")
    (rollback,) = [each for each in play.state.executions.values() if each.type == "ROLLBACK"]
    assert (rollback.trigger, rollback.rollback_target) == ("AutomatedRollback", "e1")
    play.bad(rollback.id, "Image")
    assert [each.status for each in play.state.executions.values()] == ["Succeeded", "Failed", "Failed"]


def test_an_automatic_retry_happens_once() -> None:
    play = Play(pipeline(source(), stage("Build", action("Image"), failure_result="RETRY")))
    play.start("e1")
    play.good("e1", "Fetch")
    play.bad("e1", "Image")
    assert play.statuses("e1") == ["InProgress"]
    play.bad("e1", "Image")
    assert play.statuses("e1") == ["Failed"]
    assert play["e1"].stages["Build"].automatic_retries == 1


@pytest.mark.parametrize(
    ("result", "execution", "passage"),
    [("SKIP", "Succeeded", "Skipped"), ("FAIL", "Failed", "Failed"), (None, "Failed", "Failed")],
)
def test_an_entry_condition_that_is_not_met(result: str | None, execution: str, passage: str) -> None:
    play = Play(pipeline(source(), stage("Build", action("Image"), entry=condition("a", "b", result=result))))
    play.start("e1")
    play.good("e1", "Fetch", "a")
    play.bad("e1", "b")
    assert play.statuses("e1") == [execution]
    assert play["e1"].stages["Build"].status == passage
    assert ("e1", "Image") not in play.open


def test_an_overridden_condition_counts_as_met() -> None:
    gated = stage("Build", action("Image"), entry=condition("a"), success=condition("b", result="FAIL"))
    play = Play(pipeline(source(), gated))
    play.start("e1")
    play.good("e1", "Fetch")
    play.bad("e1", "a")
    assert play.statuses("e1") == ["Failed"]
    play.happen(ConditionOverridden(at_ms=1, execution_id="e1", stage="Build", condition_type="BEFORE_ENTRY"))
    play.good("e1", "Image")
    play.bad("e1", "b")
    assert play.statuses("e1") == ["Failed"]
    play.happen(ConditionOverridden(at_ms=1, execution_id="e1", stage="Build", condition_type="ON_SUCCESS"))
    assert play.statuses("e1") == ["Succeeded"]


def test_a_success_condition_that_is_not_met_rolls_back() -> None:
    calm = condition("calm", result="ROLLBACK")
    play = Play(pipeline(source(), stage("Build", action("Image"), success=calm)))
    play.start("e1")
    play.good("e1", "Fetch", "Image", "calm")
    play.start("e2")
    play.good("e2", "Fetch", "Image")
    play.bad("e2", "calm")
    (rollback,) = [each for each in play.state.executions.values() if each.type == "ROLLBACK"]
    assert play.statuses("e2") == ["Failed"]
    assert rollback.rollback_target == "e1"


def test_an_approval_is_answered_once_and_only_with_its_token() -> None:
    play = Play(pipeline(source(), stage("Gate", approval("Ask"))))
    play.start("e1")
    play.good("e1", "Fetch")
    ask = play.open["e1", "Ask"]
    assert isinstance(ask, AskApproval)
    answer = ApprovalAnswered(at_ms=1, stage="Gate", action="Ask", token="wrong", status="Approved")
    assert play.refused(answer) == "InvalidApprovalTokenException"
    play.happen(ApprovalAnswered(at_ms=1, stage="Gate", action="Ask", token=ask.token, status="Approved"))
    assert play.statuses("e1") == ["Succeeded"]
    again = ApprovalAnswered(at_ms=1, stage="Gate", action="Ask", token=ask.token, status="Rejected")
    assert play.refused(again) == "ApprovalAlreadyCompletedException"


def test_an_approval_nobody_answers_fails_after_its_time() -> None:
    play = Play(pipeline(source(), stage("Gate", approval("Ask", timeout=5))))
    play.start("e1")
    play.good("e1", "Fetch")
    ask = play.open["e1", "Ask"]
    assert isinstance(ask, AskApproval)
    early = TimerFired(at_ms=ask.expires_ms - 1, timer=ask.action_execution_id)
    assert play.happen(early) == ()
    play.happen(TimerFired(at_ms=ask.expires_ms, timer=ask.action_execution_id))
    assert play.statuses("e1") == ["Failed"]


def test_a_rollback_to_an_execution_that_the_state_forgot_brings_its_record() -> None:
    play = Play(two_stages())
    play.start("old")
    play.good("old", "Fetch", "Image")
    record = play["old"]
    for number in range(30):
        play.start(f"e{number}")
        play.good(f"e{number}", "Fetch", "Image")
    assert "old" not in play.state.executions
    forgotten = RollbackRequested(at_ms=1, execution_id="r1", stage="Build", target_execution_id="old")
    assert play.refused(forgotten) == "PipelineExecutionNotFoundException"
    play.happen(RollbackRequested(at_ms=1, execution_id="r1", stage="Build", target_execution_id="old", target=record))
    assert ("r1", "Image") in play.open
