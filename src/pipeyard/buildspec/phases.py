"""Which command runs next, and what becomes of the build: a pure machine over a buildspec.

A failed command ends the commands of its phase, never its `finally`. A failed install or pre_build ends the build; a
failed build is followed by post_build, so that it can tell of it. Artifacts are attempted as soon as the build phase
was reached. ABORT ends the build at once, CONTINUE goes on to the next phase; neither makes a failed phase a good one.
Source: CodeBuild User Guide, "Build phase transitions" and `on-failure` in the buildspec reference.
"""

from typing import Literal

from msgspec import Struct, structs

from pipeyard.buildspec.model import PHASES, Buildspec, Phase, PhaseName, ShellCommand

Part = Literal["commands", "finally"]


class PhaseEnded(Struct, frozen=True):
    name: PhaseName
    succeeded: bool
    message: str = ""  # why it failed, in one line


class Progress(Struct, frozen=True, kw_only=True):
    """Where a build is. `phase` counts in PHASES; at their number the build is over."""

    phase: int = 0
    part: Part = "commands"
    index: int = 0  # of the command that runs, or is next
    failure: str = ""  # of the current phase: the first one
    ended: tuple[PhaseEnded, ...] = ()
    retry: bool = False  # the build is to be run again from its beginning

    @property
    def succeeding(self) -> bool:
        """CODEBUILD_BUILD_SUCCEEDING."""
        return not self.failure and all(phase.succeeded for phase in self.ended)

    @property
    def over(self) -> bool:
        return self.phase >= len(PHASES)

    @property
    def uploads(self) -> bool:
        """Whether artifacts are collected: the build phase was reached, and nobody aborted in it."""
        return any(phase.name == "post_build" for phase in self.ended)


def begin(spec: Buildspec) -> Progress:
    return _settled(spec, Progress())


def current(spec: Buildspec, progress: Progress) -> tuple[Phase, ShellCommand] | None:
    """The command to run now; None when the build is over."""
    if progress.over:
        return None
    phase = spec.phase(PHASES[progress.phase])
    assert phase is not None
    return phase, _commands(phase, progress.part)[progress.index]


def advance(spec: Buildspec, progress: Progress, status: int, told: str, *, attempts: int = 0) -> Progress:
    """After the current command ended with `status`; `told` is what it said (its first line is shown), `attempts`
    the retries so far.

    Total: after the end it gives the same progress back.
    """
    if progress.over:
        return progress
    if status == 0:
        return _settled(spec, structs.replace(progress, index=progress.index + 1), told, attempts)
    failure = progress.failure or told
    part: Part = "finally"
    index = progress.index + 1 if progress.part == "finally" else 0
    return _settled(spec, structs.replace(progress, failure=failure, part=part, index=index), told, attempts)


def _commands(phase: Phase | None, part: Part) -> tuple[ShellCommand, ...]:
    if phase is None:
        return ()
    return phase.commands if part == "commands" else phase.finally_


def _settled(spec: Buildspec, progress: Progress, told: str = "", attempts: int = 0) -> Progress:
    """Passes over everything in which there is no command left, to the next command or the end."""
    while not progress.over:
        phase = spec.phase(PHASES[progress.phase])
        if progress.index < len(_commands(phase, progress.part)):
            return progress
        if progress.part == "commands":
            progress = structs.replace(progress, part="finally", index=0)
        else:
            progress = _left(phase, progress, attempts)
    return progress


def _left(phase: Phase | None, progress: Progress, attempts: int) -> Progress:
    """The current phase is done: on to the next one, or to the end."""
    name = PHASES[progress.phase]
    ended = (*progress.ended, PhaseEnded(name, not progress.failure, progress.failure.split("\n", 1)[0]))
    goes_on, retry = True, False
    if progress.failure:
        on_failure = phase.on_failure if phase else None
        if on_failure is None:
            goes_on = name in ("build", "post_build")
        elif on_failure.action == "RETRY":
            retry = attempts < on_failure.retries and _matches(on_failure.pattern, progress.failure)
            goes_on = not retry and name in ("build", "post_build")
        else:
            goes_on = on_failure.action == "CONTINUE"
    return Progress(phase=progress.phase + 1 if goes_on else len(PHASES), ended=ended, retry=retry)


def _matches(pattern: str, text: str) -> bool:
    import re

    return re.search(pattern, text) is not None
