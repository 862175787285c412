"""Any order of requests, answers, timers, repeats and updates leaves the pipeline's state sound."""

from typing import Literal

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pipeyard.actions.contract import Artifact
from pipeyard.definition.model import PipelineDeclaration, StageDeclaration
from pipeyard.engine.commands import (
    AskApproval,
    CancelTimer,
    Command,
    SetTimer,
    StartAction,
    StartRule,
    StopAction,
    StopRule,
    decode_command,
    encode_command,
)
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
    decode_event,
    encode_event,
)
from pipeyard.engine.invariants import broken_invariants
from pipeyard.engine.machine import advance
from pipeyard.engine.state import PipelineState, decode_state, encode_state
from tests.engine.pipelines import action, approval, condition, pipeline, source, stage

RESULTS = st.sampled_from([None, "ROLLBACK", "FAIL", "RETRY", "SKIP"])


@st.composite
def stages(draw: st.DrawFn, name: str) -> StageDeclaration:
    actions = [
        action(
            f"{name}{number}",
            order=draw(st.integers(1, 3)),
            namespace=f"{name}{number}" if draw(st.booleans()) else None,
            inputs=("code",) if draw(st.booleans()) else (),
            configuration={"Commit": draw(st.sampled_from(["#{Source.CommitId}", "#{Source.Unknown}", "plain"]))},
        )
        for number in range(draw(st.integers(1, 3)))
    ]
    if draw(st.integers(0, 3)) == 0:
        actions.append(approval(f"{name}Approval", order=draw(st.integers(1, 3)), timeout=draw(st.integers(1, 9))))

    def maybe(chance: int) -> bool:
        return draw(st.integers(0, chance)) == 0

    return stage(
        name,
        *actions,
        entry=condition("clear", result=draw(RESULTS)) if maybe(3) else None,
        success=condition("calm", "quiet", result=draw(RESULTS), timeout=5) if maybe(3) else None,
        failure=condition("alarm", result=draw(RESULTS)) if maybe(4) else None,
        failure_result=draw(RESULTS),
        retry_mode=draw(st.sampled_from([None, "ALL_ACTIONS", "FAILED_ACTIONS"])),
    )


@st.composite
def pipelines(draw: st.DrawFn) -> PipelineDeclaration:
    names = draw(st.lists(st.sampled_from(["Build", "Test", "Deploy"]), min_size=1, max_size=3, unique=True))
    mode = draw(st.sampled_from(["SUPERSEDED", "QUEUED", "PARALLEL"]))
    return pipeline(source(), *(draw(stages(name)) for name in names), mode=mode)


class Histories(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.state = PipelineState(pipeline="site")
        self.now = 1_000
        self.ids = 0
        self.started: dict[str, StartAction | StartRule] = {}
        self.asked: list[AskApproval] = []
        self.timers: dict[str, int] = {}
        self.log: list[Event] = []
        self.seen: set[str] = set()
        self.superseded: set[str] = set()
        self.ended: dict[str, str] = {}

    def happen(self, event: Event) -> bool:
        """Whether it changed anything; checks what must be true of every single step."""
        self.now += 1
        before = self.state
        after, commands = advance(before, event)
        again, repeated = advance(before, event)
        assert (after, commands) == (again, repeated), "advance gave two answers to one question"
        assert decode_event(encode_event(event)) == event
        if after is before:
            assert commands == ()
            return False
        assert decode_state(encode_state(after)) == after
        self.log.append(event)
        self.state = after
        for command in commands:
            self.take(command)
        return True

    def take(self, command: Command) -> None:
        assert decode_command(encode_command(command)) == command
        assert command.id not in self.seen or isinstance(command, CancelTimer), f"{command.id} was asked for twice"
        self.seen.add(command.id)
        match command:
            case StartAction():
                assert command.execution_id not in self.superseded
                assert "#{" not in str(command.configuration)
                self.started[command.action_execution_id] = command
            case StartRule():
                self.started[command.rule_execution_id] = command
            case StopAction():
                self.started.pop(command.action_execution_id, None)
            case StopRule():
                self.started.pop(command.rule_execution_id, None)
            case AskApproval():
                self.asked.append(command)
            case SetTimer():
                self.timers[command.timer] = command.due_ms
            case CancelTimer():
                self.timers.pop(command.timer, None)

    @initialize(declaration=pipelines())
    def define(self, declaration: PipelineDeclaration) -> None:
        self.happen(PipelineDefined(at_ms=self.now, declaration=declaration))

    @rule(declaration=pipelines())
    def update(self, declaration: PipelineDeclaration) -> None:
        self.happen(PipelineDefined(at_ms=self.now, declaration=declaration))

    @rule(chance=st.integers(0, 19))
    def delete(self, chance: int) -> None:
        if chance == 0:
            self.happen(PipelineDeleted(at_ms=self.now))

    @rule()
    def start(self) -> None:
        self.ids += 1
        self.happen(ExecutionRequested(at_ms=self.now, execution_id=f"e{self.ids}"))

    @precondition(lambda self: self.started)
    @rule(data=st.data(), outcome=st.sampled_from(["good", "good", "good", "bad"]))
    def answer(self, data: st.DataObject, outcome: str) -> None:
        work_id = data.draw(st.sampled_from(sorted(self.started)))
        command = self.started.pop(work_id)
        event: Event
        if isinstance(command, StartRule):
            good: Event = RuleSucceeded(at_ms=self.now, rule_execution_id=work_id)
            event = good if outcome == "good" else RuleFailed(at_ms=self.now, rule_execution_id=work_id, message="no")
        elif outcome == "good":
            outputs = {
                each.name: Artifact(name=each.name, location="x") for each in command.declaration.output_artifacts
            }
            event = ActionSucceeded(
                at_ms=self.now, action_execution_id=work_id, variables={"CommitId": "c0ffee"}, outputs=outputs
            )
        else:
            event = ActionFailed(at_ms=self.now, action_execution_id=work_id, message="broken")
        self.happen(event)
        assert not self.happen(event), "an action ended twice"

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), status=st.sampled_from(["Approved", "Rejected"]))
    def approve(self, data: st.DataObject, status: Literal["Approved", "Rejected"]) -> None:
        ask = data.draw(st.sampled_from(self.asked))
        event = ApprovalAnswered(at_ms=self.now, stage=ask.stage, action=ask.action, token=ask.token, status=status)
        self.happen(event)
        assert not self.happen(event)

    @precondition(lambda self: self.timers)
    @rule(data=st.data())
    def time_passes(self, data: st.DataObject) -> None:
        timer = data.draw(st.sampled_from(sorted(self.timers)))
        self.now = max(self.now, self.timers[timer])
        self.happen(TimerFired(at_ms=self.now, timer=timer))
        assert not self.happen(TimerFired(at_ms=self.now, timer=timer))

    @precondition(lambda self: self.state.executions)
    @rule(data=st.data(), abandon=st.booleans())
    def stop(self, data: st.DataObject, abandon: bool) -> None:
        execution_id = data.draw(st.sampled_from(sorted(self.state.executions)))
        self.happen(StopRequested(at_ms=self.now, execution_id=execution_id, abandon=abandon, reason="enough"))

    @precondition(lambda self: self.state.executions)
    @rule(data=st.data(), mode=st.sampled_from(["FAILED_ACTIONS", "ALL_ACTIONS"]))
    def retry(self, data: st.DataObject, mode: Literal["FAILED_ACTIONS", "ALL_ACTIONS"]) -> None:
        execution_id = data.draw(st.sampled_from(sorted(self.state.executions)))
        execution = self.state.executions[execution_id]
        name = self.state.stage_of(execution).name
        self.happen(StageRetryRequested(at_ms=self.now, execution_id=execution_id, stage=name, mode=mode))

    @precondition(lambda self: self.state.executions)
    @rule(data=st.data())
    def override(self, data: st.DataObject) -> None:
        execution_id = data.draw(st.sampled_from(sorted(self.state.executions)))
        name = self.state.stage_of(self.state.executions[execution_id]).name
        moment: Literal["BEFORE_ENTRY", "ON_SUCCESS"] = data.draw(st.sampled_from(["BEFORE_ENTRY", "ON_SUCCESS"]))
        self.happen(ConditionOverridden(at_ms=self.now, execution_id=execution_id, stage=name, condition_type=moment))

    @precondition(lambda self: self.state.latest_success)
    @rule(data=st.data())
    def roll_back(self, data: st.DataObject) -> None:
        name, target = data.draw(st.sampled_from(sorted(self.state.latest_success.items())))
        self.ids += 1
        self.happen(
            RollbackRequested(at_ms=self.now, execution_id=f"e{self.ids}", stage=name, target_execution_id=target)
        )

    @rule(name=st.sampled_from(["Source", "Build", "Test", "Deploy"]))
    def disable(self, name: str) -> None:
        self.happen(TransitionDisabled(at_ms=self.now, stage=name, reason="freeze"))

    @rule(name=st.sampled_from(["Source", "Build", "Test", "Deploy"]))
    def enable(self, name: str) -> None:
        self.happen(TransitionEnabled(at_ms=self.now, stage=name))

    @precondition(lambda self: self.log)
    @rule(data=st.data())
    def something_old_comes_again(self, data: st.DataObject) -> None:
        event = data.draw(st.sampled_from(self.log))
        if isinstance(event, ActionSucceeded | ActionFailed | RuleSucceeded | RuleFailed | ApprovalAnswered):
            assert not self.happen(event)

    @invariant()
    def the_state_is_sound(self) -> None:
        assert broken_invariants(self.state) == ()

    @invariant()
    def what_has_ended_stays_ended(self) -> None:
        for execution in self.state.executions.values():
            if execution.status == "Superseded":
                self.superseded.add(execution.id)
            assert execution.status == "Superseded" or execution.id not in self.superseded
            for run in execution.runs.values():
                if run.id in self.ended:
                    assert self.ended[run.id] == run.status, f"{run.id} ended twice"
                elif run.status != "InProgress":
                    self.ended[run.id] = run.status

    @invariant()
    def everything_in_progress_is_being_done(self) -> None:
        for execution in self.state.live():
            for run in execution.runs.values():
                if run.status == "InProgress":
                    assert run.token or run.id in self.started
                    assert run.id in self.timers

    def teardown(self) -> None:
        state = PipelineState(pipeline="site")
        for event in self.log:
            state, _ = advance(state, event)
        assert state == self.state, "the log does not give the state again"


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=120, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
