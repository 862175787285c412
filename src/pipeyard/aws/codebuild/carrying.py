"""Builds that StartBuild began, carried out in threads of this process: the API's document in, its changes out."""

import os
import shutil
import threading
import uuid
from collections.abc import Callable
from typing import Any

from pipeyard.aws.codebuild.asking import asked_build, refusal_of
from pipeyard.aws.codebuild.phases import PhaseList, PhaseStatus
from pipeyard.aws.logstreams import LogStreams
from pipeyard.aws.parts import BatchPlan, StartedBuild
from pipeyard.buildspec.contract import BuildTimedOut
from pipeyard.buildspec.model import PHASES
from pipeyard.errors import InvalidDefinition, PipeyardError, Stopped
from pipeyard.progress import Report, StepEnded, StepOutput, StepStarted, Warned, ignore
from pipeyard.service.project_builds import Part, ProjectBuilds, ProjectBuilt
from pipeyard.service.toolbox import workspace
from pipeyard.settings import Settings
from pipeyard.threads import StopSignal

_WORDS = {name: name.upper() for name in PHASES}
_CODES = {
    # Which word the service has for a failure of ours, by the part of the build that it happened in.
    "QUEUED": "CLIENT_ERROR",
    "PROVISIONING": "BUILD_CONTAINER_UNABLE_TO_PULL_IMAGE",
    "DOWNLOAD_SOURCE": "CLIENT_ERROR",
    "BUILDSPEC": "YAML_FILE_ERROR",
    "RUNNING": "CLIENT_ERROR",
    "UPLOAD_ARTIFACTS": "CLIENT_ERROR",
    "FINALIZING": "CLIENT_ERROR",
}


class BuildCarrier:
    """The endpoint's BuildRunner. `builds` is asked once something runs; `close` stops all and waits for them."""

    def __init__(
        self,
        settings: Settings,
        builds: Callable[[], ProjectBuilds],
        logs: LogStreams,
        now_ms: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._builds = builds
        self._logs = logs
        self._now_ms = now_ms
        self._places = threading.Semaphore(max(2, os.cpu_count() or 1))
        self._closing = StopSignal()
        self._lock = threading.Lock()  # guards _threads
        self._threads: set[threading.Thread] = set()

    def __call__(self, started: StartedBuild) -> Callable[[], None]:
        def carry_out(stop: StopSignal) -> None:
            try:
                carried = _Carried(started, stop, self._now_ms, self._logs)
            except OSError as error:
                phases = PhaseList(started.build["phases"], self._now_ms)
                phases.end("FAULT", "INTERNAL_SERVICE_ERROR", f"the build's log cannot be written: {error.strerror}")
                phases.complete()
                ended = {"currentPhase": "COMPLETED", "endTime": self._now_ms(), "phases": phases.listed()}
                started.update({**ended, "buildStatus": "FAULT", "buildComplete": True})
                return
            carried.run(self._settings, self._places, self._builds)

        return self._in_thread(carry_out, started.build["id"], "StopBuild")

    def plan(self, started: StartedBuild, stop: StopSignal) -> BatchPlan:
        with workspace(self._settings.home, f"batch-{uuid.uuid4().hex}") as folder:
            fetched, batch = self._builds().batch(asked_build(started, self._settings), folder, ignore, stop)
        return BatchPlan(batch=batch, resolved_version=fetched.resolved)

    def aside(self, work: Callable[[StopSignal], None], name: str) -> Callable[[], None]:
        return self._in_thread(work, name, "StopBuildBatch")

    def _in_thread(self, work: Callable[[StopSignal], None], name: str, reason: str) -> Callable[[], None]:
        """Starts a thread that `close` waits for; gives what asks it to stop, for that reason."""
        stop = StopSignal(self._closing)

        def guarded() -> None:
            try:
                work(stop)
            finally:
                stop.detach()
                with self._lock:
                    self._threads.discard(threading.current_thread())

        thread = threading.Thread(target=guarded, name=name)
        with self._lock:
            self._threads.add(thread)
        thread.start()
        return lambda: stop.stop(reason)

    def close(self) -> None:
        self._closing.stop("the server ends")
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join()


class _Carried:
    """One build."""

    def __init__(self, started: StartedBuild, stop: StopSignal, now_ms: Callable[[], int], logs: LogStreams) -> None:
        self._started = started
        self._stop = stop
        self._now_ms = now_ms
        self._phases = PhaseList(started.build["phases"], now_ms)
        self._part: Part | str = "QUEUED"
        self._lock = threading.Lock()  # guards _phases: steps of a build report from several threads
        told = started.build["logs"]
        self._log = logs.writer(started.region, told["groupName"], told["streamName"])

    def run(self, settings: Settings, places: threading.Semaphore, builds: Callable[[], ProjectBuilds]) -> None:
        document = self._started.build
        try:
            self._wait_for(places, document["queuedTimeoutInMinutes"] * 60)
            try:
                with workspace(settings.home, f"build-{uuid.uuid4().hex}") as folder:
                    asked = asked_build(self._started, settings)
                    built = builds().run(
                        asked, folder / "build", observe=self._observe, stop=self._stop, enter=self._enter
                    )
                    shutil.rmtree(folder / "build", ignore_errors=True)
                self._finished(built)
            finally:
                places.release()
        except Stopped:
            self._ended("STOPPED", "STOPPED")
        except BuildTimedOut as error:
            self._ended("TIMED_OUT", "TIMED_OUT", "BUILD_TIMED_OUT", error.message)
        except InvalidDefinition as error:
            told = "; ".join(f"{problem.place}: {problem.message}" for problem in error.problems) or error.message
            self._ended("FAILED", "FAILED", _CODES[self._part], told)
        except PipeyardError as error:
            self._ended("FAILED", "FAILED", _CODES[self._part], refusal_of(error))
        except Exception as error:  # noqa: BLE001 - the thread's boundary: the build's document tells of it
            self._ended("FAULT", "FAULT", "INTERNAL_SERVICE_ERROR", f"{type(error).__name__}: {error}")
        finally:
            self._log.close()

    def _wait_for(self, places: threading.Semaphore, seconds: float) -> None:
        waited = 0.0
        while not places.acquire(timeout=0.2):
            self._stop.check()
            waited += 0.2
            if waited > seconds:
                raise BuildTimedOut("the build waited longer than its queued timeout")

    def _enter(self, part: Part) -> None:
        self._stop.check()
        with self._lock:
            self._part = part
            match part:
                case "BUILDSPEC" | "RUNNING":
                    return
                case "UPLOAD_ARTIFACTS":
                    self._phases.pass_running()
            self._phases.begin(part)
            self._tell()
        if part == "UPLOAD_ARTIFACTS":
            self._log.say("Phase is UPLOAD_ARTIFACTS")

    def _observe(self, report: Report) -> None:
        match report:
            case StepStarted(step) if step in _WORDS:
                with self._lock:
                    self._phases.begin(_WORDS[step])
                    self._tell()
                self._log.say(f"Entering phase {_WORDS[step]}")
            case StepEnded(step, _, error) if step in _WORDS:
                with self._lock:
                    code = "COMMAND_EXECUTION_ERROR" if error else ""
                    self._phases.end("FAILED" if error else "SUCCEEDED", code, error)
                    self._tell()
            case StepOutput(_, data):
                self._log.write(data)
            case Warned(message, _, place):
                self._log.say(f"{place}: warning: {message}" if place else f"warning: {message}")
            case _:
                return

    def _tell(self) -> None:
        self._started.update({"currentPhase": self._phases.current, "phases": self._phases.listed()})

    def _finished(self, built: ProjectBuilt) -> None:
        outcome = built.build.outcome
        changes: dict[str, Any] = {}
        if outcome.exported:
            changes["exportedEnvironmentVariables"] = [
                {"name": name, "value": value} for name, value in outcome.exported.items()
            ]
        if built.source.resolved:
            changes["resolvedSourceVersion"] = built.source.resolved
        if built.artifacts is not None and built.artifacts.sha256:
            sums = {"sha256sum": built.artifacts.sha256, "md5sum": built.artifacts.md5}
            changes["artifacts"] = {**self._started.build["artifacts"], **sums}
        if outcome.status == "FAILED":
            self._ended("FAILED", "SUCCEEDED", changes=changes)
        else:
            self._ended("SUCCEEDED", "SUCCEEDED", changes=changes)

    def _ended(
        self,
        status: PhaseStatus,
        phase_status: PhaseStatus,
        code: str = "",
        message: str = "",
        changes: dict[str, Any] | None = None,
    ) -> None:
        if message:
            self._log.say(f"{self._phases.current}: {message}")
        with self._lock:
            self._phases.end(phase_status, code, message)
            self._phases.complete()
            self._started.update(
                {
                    **(changes or {}),
                    "buildStatus": status,
                    "buildComplete": True,
                    "currentPhase": "COMPLETED",
                    "endTime": self._now_ms(),
                    "phases": self._phases.listed(),
                }
            )
