"""The phases of a build as BatchGetBuilds tells them: one after the other, each with its end and why it failed."""

from collections.abc import Callable
from typing import Any, Literal

PhaseStatus = Literal["SUCCEEDED", "FAILED", "FAULT", "TIMED_OUT", "STOPPED"]

_RUNNING = ("INSTALL", "PRE_BUILD", "BUILD", "POST_BUILD")


def ended(start_ms: int, end_ms: int) -> dict[str, int]:
    """The members that a phase has once it has ended."""
    return {"endTime": end_ms, "durationInSeconds": (end_ms - start_ms) // 1000}


class PhaseList:
    """Not for two threads at once. Times are UTC milliseconds."""

    def __init__(self, phases: list[dict[str, Any]], now_ms: Callable[[], int]) -> None:
        self._phases = list(phases)
        self._now_ms = now_ms

    @property
    def current(self) -> str:
        phase: str = self._phases[-1]["phaseType"]
        return phase

    def begin(self, phase: str) -> None:
        """Ends what is open as succeeded. Of the buildspec's phases, those that it has no commands for took no time."""
        self.end()
        if phase in _RUNNING:
            self._pass_over(_RUNNING[: _RUNNING.index(phase)])
        self._phases.append({"phaseType": phase, "startTime": self._now_ms()})

    def end(self, status: PhaseStatus = "SUCCEEDED", code: str = "", message: str = "") -> None:
        """Of the open phase; nothing when it has ended already."""
        last = self._phases[-1]
        if "phaseStatus" in last:
            return
        now_ms = self._now_ms()
        contexts = [{"statusCode": code, "message": message}] if code else []
        self._phases[-1] = {
            **last,
            "phaseStatus": status,
            **ended(last["startTime"], now_ms),
            "contexts": contexts,
        }

    def pass_running(self) -> None:
        """The buildspec's phases are over, and none of them aborted the build."""
        self.end()
        self._pass_over(_RUNNING)

    def _pass_over(self, phases: tuple[str, ...]) -> None:
        since = max((n for n, each in enumerate(self._phases) if each["phaseType"] == "DOWNLOAD_SOURCE"), default=0)
        told = {each["phaseType"] for each in self._phases[since:]}
        for phase in phases:
            if phase not in told:
                self._phases.append({"phaseType": phase, "startTime": self._now_ms()})
                self.end()

    def complete(self) -> None:
        """COMPLETED has a beginning and no end, as the service shows it."""
        self._phases.append({"phaseType": "COMPLETED", "startTime": self._now_ms()})

    def listed(self) -> list[dict[str, Any]]:
        return list(self._phases)
