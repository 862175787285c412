"""Executions carried out, with either driver, on both databases."""

import threading
from pathlib import Path

import pytest

from pipeyard.actions.contract import ActionRequest, ActionResult
from pipeyard.definition.model import ActionDeclaration, Definition, PipelineDeclaration
from pipeyard.engine import Engine, Refused, RuleNotMet, RuleRequest
from pipeyard.engine.scripted import perform_scripted
from pipeyard.engine.views import ExecutionView
from pipeyard.errors import ActionFailed
from pipeyard.threads import StopSignal
from tests.engine.conftest import EngineMaker, new_id, now_ms
from tests.engine.pipelines import action, approval, condition, pipeline, stage


def fetch(**script: str) -> ActionDeclaration:
    return action(
        "Fetch",
        category="Source",
        namespace="Source",
        outputs=("code",),
        configuration={"Variables": "CommitId=c0ffee", **script},
    )


def image(**script: str) -> ActionDeclaration:
    return action("Image", namespace="Build", inputs=("code",), configuration=script)


def site(*actions: ActionDeclaration) -> PipelineDeclaration:
    return pipeline(stage("Source", fetch()), stage("Build", *(actions or (image(),))))


def register(engine: Engine, declaration: PipelineDeclaration) -> None:
    engine.register(Definition(pipelines=(declaration,)), declaration)


def run(engine: Engine, declaration: PipelineDeclaration) -> ExecutionView:
    register(engine, declaration)
    return engine.wait(engine.start(declaration.name))


def test_a_pipeline_runs_to_its_end_and_hands_on_what_actions_put_out(make_engine: EngineMaker) -> None:
    with make_engine() as engine:
        view = run(engine, site(image(Variables="Tags=#{Source.CommitId}")))
    assert view.status == "Succeeded"
    assert [stage.status for stage in view.stages] == ["Succeeded", "Succeeded"]
    assert view.stages[1].actions[0].output_variables == {"Tags": "c0ffee"}
    assert view.stages[0].actions[0].output_variables == {"CommitId": "c0ffee"}


def test_a_failing_action_fails_its_execution_and_says_why(make_engine: EngineMaker) -> None:
    with make_engine() as engine:
        view = run(engine, site(image(Fail="no Dockerfile")))
    assert view.status == "Failed"
    assert view.stages[1].status == "Failed"
    error = view.stages[1].actions[0].error
    assert error is not None
    assert (error.message, error.place) == ("no Dockerfile", "")


def test_an_action_that_breaks_down_fails_instead_of_hanging(make_engine: EngineMaker) -> None:
    with make_engine() as engine:
        view = run(engine, site(image(Crash="oh")))
    error = view.stages[1].actions[0].error
    assert error is not None
    assert error.message == "RuntimeError: oh"


@pytest.mark.parametrize("variables", [{"Size": 3}, {"Text": "\udcff"}])
def test_an_action_that_puts_out_what_cannot_be_stored_fails(
    make_engine: EngineMaker, variables: dict[str, str]
) -> None:
    def careless(request: ActionRequest, stop: StopSignal) -> ActionResult:
        return ActionResult(variables=variables)

    with make_engine(perform=careless) as engine:
        view = run(engine, pipeline(stage("Source", fetch())))
    assert view.status == "Failed"
    assert view.stages[0].actions[0].error is not None


def test_a_variable_without_a_value_fails_the_action_that_uses_it(make_engine: EngineMaker) -> None:
    with make_engine() as engine:
        view = run(engine, site(image(Summary="#{Source.Nothing}")))
    error = view.stages[1].actions[0].error
    assert view.status == "Failed"
    assert error is not None
    assert "#{Source.Nothing} has no value" in error.message


def test_actions_of_one_run_order_run_at_the_same_time(make_engine: EngineMaker, tmp_path: Path) -> None:
    # Each waits for what the other leaves behind, so one after the other would never end.
    barrier = threading.Barrier(2)

    def meet(request: ActionRequest, stop: StopSignal) -> ActionResult:
        if request.stage == "Build":
            barrier.wait(20)
        return perform_scripted(request, stop)

    with make_engine(perform=meet) as engine:
        view = run(engine, site(action("A"), action("B")))
    assert view.status == "Succeeded"


def test_a_stop_ends_what_runs_and_the_execution_says_stopped(make_engine: EngineMaker, tmp_path: Path) -> None:
    stop = StopSignal()

    def watch(view: ExecutionView) -> None:
        if view.stages[1].status == "InProgress":
            stop.stop("interrupted")

    with make_engine() as engine:
        register(engine, site(image(Wait="stop")))
        view = engine.wait(engine.start("site"), stop, watch)
        assert view.status == "Stopped"
        assert view.stop_reason == "interrupted"
        assert view.stages[1].actions[0].status == "Abandoned"
        # Nothing of it is left over that would keep the next one out.
        assert run(engine, site()).status == "Succeeded"


def test_leaving_the_engine_stops_what_it_started(make_engine: EngineMaker) -> None:
    with make_engine() as engine:
        register(engine, site(image(Wait="stop")))
        execution_id = engine.start("site")
    view = engine.view(execution_id)
    assert view.status == "Stopped"


def test_a_stopped_or_failed_stage_can_be_retried_by_another_engine(make_engine: EngineMaker, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with make_engine() as first:
        register(first, site(image(Wait=str(gate))))
        execution_id = first.start("site")
    gate.touch()
    with make_engine() as second:
        second.retry(execution_id)
        view = second.wait(execution_id)
    assert view.status == "Succeeded"
    assert view.stages[1].attempt + view.stages[0].attempt >= 2


def test_an_engine_without_a_driver_approves_for_the_one_that_waits(make_engine: EngineMaker) -> None:
    asked = threading.Event()
    with make_engine(notify=lambda pipeline, ask: asked.set()) as engine:
        register(engine, pipeline(stage("Source", fetch()), stage("Gate", approval("Ask")), stage("Build", image())))
        execution_id = engine.start("site")
        assert asked.wait(20)
        visitor = Engine(engine.store, now_ms=now_ms, new_id=new_id)
        visitor.approve("site", "Gate", "Ask", approved=True, summary="fine", by="ann@example.com")
        view = engine.wait(execution_id)
        assert view.status == "Succeeded"
        assert view.stages[1].actions[0].summary == "fine"
        with pytest.raises(Refused) as refused:
            visitor.approve("site", "Gate", "Ask", approved=True, token="old")
        assert refused.value.code == "ApprovalAlreadyCompletedException"


def test_a_rejected_approval_fails_the_execution(make_engine: EngineMaker) -> None:
    asked = threading.Event()
    with make_engine(notify=lambda pipeline, ask: asked.set()) as engine:
        register(engine, pipeline(stage("Source", fetch()), stage("Gate", approval("Ask"))))
        execution_id = engine.start("site")
        assert asked.wait(20)
        engine.approve("site", "Gate", "Ask", approved=False, summary="not on a Friday")
        view = engine.wait(execution_id)
    assert view.status == "Failed"
    assert view.stages[1].actions[0].error is not None
    assert view.stages[1].actions[0].error.message == "rejected: not on a Friday"


def test_rules_decide_over_entry(make_engine: EngineMaker) -> None:
    def evaluate(request: RuleRequest, stop: StopSignal) -> str:
        if request.rule == "closed":
            raise RuleNotMet("the window is closed")
        return "ok"

    declared = pipeline(
        stage("Source", fetch()),
        stage("Skipped", action("Never"), entry=condition("open", "closed", result="SKIP")),
        stage("Build", image(), entry=condition("open", result="FAIL")),
    )
    with make_engine(evaluate=evaluate) as engine:
        view = run(engine, declared)
    assert view.status == "Succeeded"
    assert [stage.status for stage in view.stages] == ["Succeeded", "Skipped", "Succeeded"]


def test_a_failed_stage_rolls_back_to_its_last_success(make_engine: EngineMaker, tmp_path: Path) -> None:
    effects = tmp_path / "effects"
    effects.mkdir()
    failing = tmp_path / "failing"

    def fails_when_asked(request: ActionRequest, stop: StopSignal) -> ActionResult:

        if request.action == "Image" and failing.exists():
            failing.unlink()
            raise ActionFailed("bad release")
        return perform_scripted(request, stop)

    release = image(Effect=str(effects), Summary="#{codepipeline.PipelineExecutionId}")
    declared = pipeline(stage("Source", fetch()), stage("Build", release, failure_result="ROLLBACK"))
    with make_engine(perform=fails_when_asked) as engine:
        good = run(engine, declared)
        failing.touch()
        bad = run(engine, declared)
        records = engine.store.executions("site")
    assert (good.status, bad.status) == ("Succeeded", "Failed")
    rollback = records[0].execution
    assert (rollback.type, rollback.status, rollback.rollback_target) == ("ROLLBACK", "Succeeded", good.execution_id)
    assert rollback.trigger_detail == bad.execution_id


def test_a_timeout_fails_the_action_and_stops_its_work(make_engine: EngineMaker) -> None:
    # The clock jumps once the action waits, so that nobody waits for a minute.
    jumped = threading.Event()

    def clock() -> int:
        return now_ms() + (120_000 if jumped.is_set() else 0)

    slow = action("Image", configuration={"Wait": "stop"}, timeout=1)
    with make_engine(now_ms=clock) as engine:
        register(engine, site(slow))

        def watch(view: ExecutionView) -> None:
            if view.stages[1].status == "InProgress":
                jumped.set()

        view = engine.wait(engine.start("site"), watch=watch)
    error = view.stages[1].actions[0].error
    assert view.status == "Failed"
    assert error is not None
    assert error.code == "TimeoutError"


def test_what_cannot_be_granted_is_refused_in_the_services_words(make_engine: EngineMaker) -> None:
    with make_engine() as engine:
        with pytest.raises(Refused) as nothing:
            engine.start("site")
        register(engine, site())
        with pytest.raises(Refused) as unknown:
            engine.start("site", {"Nobody": "declared"})
        view = engine.wait(engine.start("site"))
        with pytest.raises(Refused) as ended:
            engine.stop(view.execution_id)
        with pytest.raises(Refused) as fine:
            engine.retry(view.execution_id)
    codes = [each.value.code for each in (nothing, unknown, ended, fine)]
    assert codes == [
        "PipelineNotFoundException",
        "ValidationException",
        "PipelineExecutionNotStoppableException",
        "StageNotRetryableException",
    ]


def test_a_secret_of_the_declaration_reaches_the_action_and_nothing_else(make_engine: EngineMaker) -> None:
    seen: list[str] = []

    def note(request: ActionRequest, stop: StopSignal) -> ActionResult:
        seen.append(request.configuration.get("OAuthToken", ""))
        return perform_scripted(request, stop)

    with make_engine(perform=note) as engine:
        view = run(engine, pipeline(stage("Source", fetch(OAuthToken="hunter2"))))
        assert seen == ["hunter2"]
        assert "hunter2" not in str(list(engine.store.events("site")))
        assert "hunter2" not in str(engine.store.state("site"))
        assert "hunter2" not in str(view)


def test_a_run_beside_a_run_waits_for_its_turn_and_goes_on_in_its_own_process(
    make_engine: EngineMaker, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if "dbos" in request.node.name:
        pytest.skip("DBOS has one instance per process; test_crashes has two processes")
    gate = tmp_path / "gate"
    with make_engine() as first, make_engine() as second:
        register(first, site(image(Wait=str(gate))))
        ahead = first.start("site")
        behind = second.start("site")
        gate.touch()
        assert first.wait(ahead).status == "Succeeded"
        assert second.wait(behind).status == "Succeeded"


def test_what_a_server_had_in_hand_when_it_ended_is_continued_by_the_next(
    make_engine: EngineMaker, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if "threads" in request.node.name:
        pytest.skip("threads without a durable engine forget")
    gate = tmp_path / "gate"
    effects = tmp_path / "effects"
    effects.mkdir()
    running = threading.Event()

    def watch(view: ExecutionView) -> None:
        if view.stages[1].status == "InProgress" and list(effects.iterdir()):
            running.set()

    with make_engine(lives_on=True) as first:
        register(first, site(image(Wait=str(gate), Effect=str(effects))))
        execution_id = first.start("site")
        deadline = threading.Event()
        while not running.is_set():
            watch(first.view(execution_id))
            deadline.wait(0.02)
    assert first.view(execution_id).status == "InProgress"
    gate.touch()
    with make_engine(lives_on=True) as second:
        assert second.wait(execution_id).status == "Succeeded"
