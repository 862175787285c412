"""A build from its first command to its artifacts, in a machine that somebody hands in."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from pipeyard.buildspec import phases, shell
from pipeyard.buildspec.artifacts import collect
from pipeyard.buildspec.caching import BuildCache
from pipeyard.buildspec.contract import (
    Bound,
    BuildOrder,
    BuildOutcome,
    BuiltArtifact,
    Job,
    Machine,
    Report,
)
from pipeyard.buildspec.model import Artifact
from pipeyard.buildspec.paths import BoundView
from pipeyard.buildspec.reports import read_reports
from pipeyard.buildspec.talking import Talk
from pipeyard.buildspec.variables import SOURCE_FOLDER, service_variables
from pipeyard.errors import PipeyardError
from pipeyard.progress import Observer, StepEnded, StepOutput, StepStarted, masking
from pipeyard.threads import Stop

_OUTPUT_TARGET = "/codebuild/output"
BIN = f"{shell.CONTROL}/bin"
SPARE_BIN = f"{shell.CONTROL}/spare-bin"


class BuildFolders:
    """The folders of one build, below an empty folder of ours; open as long as the build lives.

    They are reached through their descriptors: a sandbox that cannot mount moves them while the build runs.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._descriptors: dict[str, int] = {}
        for name in ("output", "control", "tmp"):
            (root / name).mkdir(parents=True)
            self._descriptors[name] = os.open(root / name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        os.chmod(root / "tmp", 0o1777)  # noqa: S103 -- as /tmp is everywhere
        self.bound = (
            Bound(target=_OUTPUT_TARGET, source=root / "output"),
            Bound(target=shell.CONTROL, source=root / "control"),
            Bound(target="/tmp", source=root / "tmp"),  # noqa: S108 -- the machine's own
        )

    def live(self, name: str) -> Path:
        """A folder as it can be reached now, wherever it was moved."""
        return Path(f"/proc/self/fd/{self._descriptors[name]}")

    def view(self) -> BoundView:
        """The shared folders as they can be reached now."""
        return BoundView(Bound(target=each.target, source=self.live(each.source.name)) for each in self.bound)

    def close(self) -> None:
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        self._descriptors.clear()


Begun = Callable[[BuildFolders], None]
"""Called before the first command: what serves the build's tools begins here."""


def run_build(
    order: BuildOrder, machine: Machine, workspace: Path, observe: Observer, stop: Stop, begun: Begun | None = None
) -> BuildOutcome:
    """Runs the build, again as often as its `on-failure: RETRY` wants. `workspace` is an empty folder of ours.

    A failed command is an outcome, not an exception. Raises Stopped, InputError for a machine without the shell, and
    what the machine raises when it fails itself.
    """
    masked = masking(observe, order.secrets)
    attempt = 0
    while True:
        outcome, again = _Build(order, machine, workspace / f"attempt-{attempt}", masked, stop, begun).run(attempt)
        if not again:
            return outcome
        attempt += 1
        shutil.rmtree(workspace / f"attempt-{attempt - 1}", ignore_errors=True)


class _Build:
    """One attempt."""

    def __init__(
        self, order: BuildOrder, machine: Machine, root: Path, observe: Observer, stop: Stop, begun: Begun | None
    ) -> None:
        self._order = order
        self._spec = order.spec
        self._machine = machine
        self._observe = observe
        self._stop = stop
        self._begun = begun
        self._folders = BuildFolders(root)
        self._source = root / "output" / "src1" / "src"

    def run(self, attempt: int) -> tuple[BuildOutcome, bool]:
        try:
            self._lay_out()
            cache = self._cache()
            if cache is not None and (count := cache.restore()):
                self._tell("download-source", f"restored {count} cached files")
            if self._begun is not None:
                self._begun(self._folders)
            talk = Talk(self._spec, self._folders.live("control"), self._observe, attempt, self._shell())
            bound = (*self._folders.bound, *(cache.bound(_OUTPUT_TARGET) if cache is not None else ()))
            self._machine.run(
                Job(
                    arguments=("/bin/sh", f"{shell.CONTROL}/boot", self._shell()),
                    environment=self._environment(),
                    folder=SOURCE_FOLDER,
                    bound=bound,
                    seconds=self._order.seconds,
                ),
                talk.hear,
                self._stop,
            )
            progress = talk.over()
            if progress.retry:
                return BuildOutcome(status="FAILED", phases=progress.ended), True
            outcome = self._finished(progress, talk)
            if cache is not None and outcome.status == "SUCCEEDED":
                cache.save()
            return outcome, False
        finally:
            self._folders.close()

    def _shell(self) -> str:
        wanted = self._spec.env.shell or "sh"
        return "/bin/sh" if wanted == "sh" else wanted

    def _lay_out(self) -> None:
        output, control = self._folders.root / "output", self._folders.root / "control"
        (output / "src1").mkdir()
        shutil.copytree(self._order.source, self._source, symlinks=True)
        for name, source in self._order.secondary_sources.items():
            shutil.copytree(source, output / "src2" / name, symlinks=True)
        for folder, tools in (("bin", self._order.tools), ("spare-bin", self._order.spare_tools)):
            (control / folder).mkdir()
            for name, text in tools.items():
                (control / folder / name).write_text(text)
                (control / folder / name).chmod(0o755)

    def _environment(self) -> dict[str, str]:
        """The buildspec's variables never win over the project's, nor over the service's own."""
        machine = self._machine.environment
        found = {
            **machine,
            **service_variables(self._order.identity, self._machine.name, tuple(self._order.secondary_sources)),
            **self._order.variables,
        }
        first = [BIN] if self._order.tools else []
        last = [SPARE_BIN] if self._order.spare_tools else []
        found["PATH"] = ":".join([*first, found["PATH"], *last])
        return found

    def _cache(self) -> BuildCache | None:
        if self._order.cache is None or not self._spec.cache.paths:
            return None
        return BuildCache(self._spec.cache, self._order.cache, self._source, self._order.variables)

    def _finished(self, progress: phases.Progress, talk: Talk) -> BuildOutcome:
        error = next((f"{phase.name}: {phase.message}" for phase in progress.ended if not phase.succeeded), "")
        view = self._folders.view()
        reports: list[Report] = []
        for group in self._spec.reports:
            try:
                reports.append(read_reports(group, SOURCE_FOLDER, view))
            except PipeyardError as wrong:
                error = error or f"report group {group.name}: {wrong.message}"
                self._tell("upload-artifacts", f"report group {group.name}: {wrong.message}")
        for report in reports:
            passed, all_cases = report.count("SUCCEEDED"), len(report.cases)
            self._tell("upload-artifacts", f"report {report.group}: {passed} of {all_cases} test cases succeeded")
        primary: BuiltArtifact | None = None
        secondary: dict[str, BuiltArtifact] = {}
        if progress.uploads:
            try:
                primary, secondary = self._artifacts(view, talk)
            except PipeyardError as wrong:
                self._tell("upload-artifacts", wrong.message)
                error = error or f"upload_artifacts: {wrong.message}"
        self._observe(StepEnded("upload-artifacts", error=""))
        return BuildOutcome(
            status="FAILED" if error else "SUCCEEDED",
            phases=progress.ended,
            exported=talk.exported(),
            artifact=primary,
            secondary=secondary,
            reports=tuple(reports),
            error=error,
        )

    def _artifacts(self, view: BoundView, talk: Talk) -> tuple[BuiltArtifact | None, dict[str, BuiltArtifact]]:
        artifacts = self._spec.artifacts
        names = talk.artifact_names()

        def collected(number: int, artifact: Artifact) -> BuiltArtifact:
            target = self._folders.root / f"artifact-{number}"
            target.mkdir()
            found = collect(artifact, SOURCE_FOLDER, view, target, names[number])
            self._tell("upload-artifacts", f"found {found.files} matching files")
            return found

        primary = collected(0, artifacts.primary) if artifacts.primary is not None else None
        return primary, {
            name: collected(number, artifact) for number, (name, artifact) in enumerate(artifacts.secondary.items(), 1)
        }

    def _tell(self, step: str, text: str) -> None:
        self._observe(StepStarted(step, step.upper().replace("-", "_")))
        self._observe(StepOutput(step, f"[Container] {text}\n".encode()))
