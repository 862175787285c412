"""The answers for the AWS endpoint are valid by botocore's own model, in every state that a pipeline comes through."""

from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from pipeyard.engine.events import Event, StageRetryRequested, TransitionDisabled
from pipeyard.engine.state import PipelineState
from pipeyard.engine.store import ExecutionRecord
from pipeyard.engine.views import (
    action_execution_details,
    get_pipeline_execution,
    get_pipeline_state,
    pipeline_execution_summary,
)
from tests.engine.pipelines import action, approval, condition, pipeline, source, stage
from tests.engine.test_rules import Play

MODEL = botocore.session.get_session().get_service_model("codepipeline")


def check(shape: str, answer: Any) -> None:
    report = ParamValidator().validate(answer, MODEL.shape_for(shape))
    assert not report.has_errors(), report.generate_report()


def members(shape: str, answer: dict[str, Any]) -> None:
    """Unknown members are dropped silently on the wire, so they are looked for here."""
    assert answer.keys() <= MODEL.shape_for(shape).members.keys()


def record(state: PipelineState, execution_id: str) -> ExecutionRecord:
    return ExecutionRecord(pipeline="site", execution=state.executions[execution_id], executor=None, definition="")


@pytest.fixture
def played() -> list[PipelineState]:
    """States on the way of two executions through conditions, a failure, a retry and an approval."""
    states: list[PipelineState] = []

    class Watched(Play):
        def happen(self, event: Event) -> Any:
            commands = super().happen(event)
            states.append(self.state)
            return commands

    build = stage("Build", action("Image"), entry=condition("clear", result="FAIL"))
    play = Watched(pipeline(source(), build, stage("Gate", approval("Ask")), variables={"Name": "yard"}))
    play.happen(TransitionDisabled(at_ms=5, stage="Gate", reason="freeze", by="ann@example.com"))
    play.start("e1")
    play.good("e1", "Fetch", "clear")
    play.start("e2")
    play.good("e2", "Fetch")
    play.bad("e1", "Image")
    play.good("e2", "clear")
    play.bad("e2", "Image")
    play.happen(StageRetryRequested(at_ms=7, execution_id="e2", stage="Build"))
    play.good("e2", "Image")
    return states


def test_every_answer_is_valid_by_the_services_model(played: list[PipelineState]) -> None:
    for state in played:
        answer = get_pipeline_state(state)
        check("GetPipelineStateOutput", answer)
        members("GetPipelineStateOutput", answer)
        for each in answer["stageStates"]:
            members("StageState", each)
        declaration = state.declaration
        assert declaration is not None
        for execution_id in state.executions:
            found = record(state, execution_id)
            check("PipelineExecution", get_pipeline_execution(found))
            members("PipelineExecution", get_pipeline_execution(found))
            summary = pipeline_execution_summary(found, declaration)
            check("PipelineExecutionSummary", summary)
            members("PipelineExecutionSummary", summary)
            for detail in action_execution_details(found, declaration):
                check("ActionExecutionDetail", detail)
                members("ActionExecutionDetail", detail)


def test_the_state_shows_who_waits_why_and_what_was_retried(played: list[PipelineState]) -> None:
    build, gate = get_pipeline_state(played[-1])["stageStates"][1:]
    assert build["retryStageMetadata"] == {"manualStageRetryAttempt": 1, "latestRetryTrigger": "ManualStageRetry"}
    assert gate["inboundExecution"]["pipelineExecutionId"] == "e2"
    assert gate["inboundTransitionState"]["disabledReason"] == "freeze"
    assert build["beforeEntryConditionState"]["latestExecution"]["status"] == "Succeeded"
