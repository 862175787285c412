"""The transitions between the phases of a build, as the service documents them."""

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeyard.buildspec.batch import BatchStep, Verdict
from pipeyard.buildspec.batch import advance as advance_batch
from pipeyard.buildspec.model import PHASES, BatchBuild, Buildspec, OnFailure, Phase, PhaseName, ShellCommand
from pipeyard.buildspec.phases import Progress, advance, begin, current
from pipeyard.errors import Place

HERE = Place("buildspec.yml", 1)


def phase(
    name: PhaseName, *commands: str, finally_: tuple[str, ...] = (), on_failure: OnFailure | None = None
) -> Phase:
    return Phase(
        name=name,
        place=HERE,
        commands=tuple(ShellCommand(text, HERE) for text in commands),
        finally_=tuple(ShellCommand(text, HERE) for text in finally_),
        on_failure=on_failure,
    )


def run(spec: Buildspec, failing: set[str], attempts: int = 0) -> tuple[list[str], Progress]:
    progress, ran = begin(spec), []
    while (found := current(spec, progress)) is not None:
        text = found[1].text
        ran.append(text)
        status = 1 if text in failing else 0
        progress = advance(spec, progress, status, f"{text} failed" if status else "", attempts=attempts)
    return ran, progress


def all_phases(**on_failure: OnFailure) -> Buildspec:
    return Buildspec(
        version="0.2",
        phases=tuple(
            phase(name, f"{name} 1", f"{name} 2", finally_=(f"{name} last",), on_failure=on_failure.get(name))
            for name in PHASES
        ),
    )


def test_a_failed_command_ends_the_commands_of_its_phase_and_not_its_finally() -> None:
    ran, progress = run(all_phases(), {"install 1"})
    assert ran == ["install 1", "install last"]
    assert not progress.succeeding
    assert not progress.uploads


def test_post_build_runs_after_a_failed_build() -> None:
    ran, progress = run(all_phases(), {"build 2"})
    assert ran[-3:] == ["post_build 1", "post_build 2", "post_build last"]
    assert not progress.succeeding
    assert progress.uploads


def test_nothing_runs_after_a_failed_pre_build() -> None:
    ran, _ = run(all_phases(), {"pre_build 1"})
    assert ran[-1] == "pre_build last"


def test_abort_ends_a_build_that_would_go_on() -> None:
    ran, progress = run(all_phases(build=OnFailure(action="ABORT")), {"build 1"})
    assert ran[-1] == "build last"
    assert not progress.uploads


def test_continue_goes_on_where_a_build_would_end() -> None:
    ran, progress = run(all_phases(install=OnFailure(action="CONTINUE")), {"install 1"})
    assert ran[-1] == "post_build last"
    assert not progress.succeeding


def test_retry_asks_for_the_whole_build_again_while_attempts_and_pattern_allow() -> None:
    spec = all_phases(build=OnFailure(action="RETRY", retries=2, pattern="1 fai"))
    assert run(spec, {"build 1"})[1].retry
    assert run(spec, {"build 1"}, attempts=1)[1].retry
    assert not run(spec, {"build 1"}, attempts=2)[1].retry
    assert not run(spec, {"build 2"})[1].retry


def test_a_failure_in_finally_fails_the_phase() -> None:
    _, progress = run(all_phases(), {"build last"})
    assert [each.succeeded for each in progress.ended] == [True, True, False, True]


ON_FAILURE = st.one_of(
    st.none(),
    st.sampled_from(["ABORT", "CONTINUE"]).map(lambda action: OnFailure(action=action)),  # type: ignore[arg-type]
    st.builds(OnFailure, action=st.just("RETRY"), retries=st.integers(0, 3), pattern=st.just(".*")),
)


@st.composite
def specs(draw: st.DrawFn) -> Buildspec:
    chosen = [name for name in PHASES if draw(st.booleans())]
    return Buildspec(
        version="0.2",
        phases=tuple(
            phase(
                name,
                *(f"{name} {number}" for number in range(draw(st.integers(0, 3)))),
                finally_=tuple(f"{name} finally {number}" for number in range(draw(st.integers(0, 2)))),
                on_failure=draw(ON_FAILURE),
            )
            for name in chosen
        ),
    )


@given(specs(), st.data())
def test_every_build_ends_runs_nothing_twice_and_never_loses_a_failure(spec: Buildspec, data: st.DataObject) -> None:
    order = [command.text for each in spec.phases for command in (*each.commands, *each.finally_)]
    progress, ran, failed = begin(spec), [], False
    while (found := current(spec, progress)) is not None:
        ran.append(found[1].text)
        status = data.draw(st.sampled_from([0, 0, 1, 127]))
        failed = failed or status != 0
        progress = advance(spec, progress, status, "told", attempts=data.draw(st.integers(0, 3)))
    assert ran == [text for text in order if text in ran], "in the order of the file, each once"
    assert progress.succeeding is not failed
    assert advance(spec, progress, 1, "late") == progress
    begun = {text.split()[0] for text in ran}
    for each in spec.phases:  # a phase that began runs its finally to the end
        if each.name in begun:
            assert {command.text for command in each.finally_} <= set(ran)


@settings(deadline=None)
@given(st.data())
def test_a_batch_starts_each_build_once_after_its_predecessors_and_comes_to_an_end(data: st.DataObject) -> None:
    names = [f"b{number}" for number in range(data.draw(st.integers(1, 6)))]
    builds = tuple(
        BatchBuild(
            identifier=name,
            place=HERE,
            depend_on=tuple(other for other in names[:number] if data.draw(st.booleans())),
            ignore_failure=data.draw(st.booleans()),
        )
        for number, name in enumerate(names)
    )
    started: set[str] = set()
    ended: dict[str, Verdict] = {}
    while True:
        step: BatchStep = advance_batch(builds, frozenset(started), ended, fast_fail=data.draw(st.booleans()))
        for build in step.start:
            assert build.identifier not in started
            assert set(build.depend_on) <= set(ended)
            started.add(build.identifier)
        if step.over:
            break
        running = sorted(started - set(ended))
        ended[data.draw(st.sampled_from(running))] = data.draw(st.sampled_from(["SUCCEEDED", "FAILED"]))
