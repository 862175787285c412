"""Progress on stderr: live on a terminal, plain lines in a pipe or a CI log, JSON lines for programs."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from msgspec import Struct

from pipeyard.progress import Observer, Report, StepEnded, StepOutput, StepStarted, Transferred, Warned

MODES = ("auto", "plain", "json", "quiet")


@contextmanager
def observer_for(mode: str, stream: TextIO | None = None) -> Iterator[Observer]:
    """The observer of one command, for the block. `auto` is live on a terminal and plain elsewhere.

    Everything goes to stderr (or `stream`); results belong on stdout and are printed after the block.
    """
    out = stream or sys.stderr
    match mode:
        case "json":
            yield JsonLines(out).observe
        case "quiet":
            yield Warnings(out).observe
        case "auto" if out.isatty():
            from pipeyard.cli.live import live_observer

            with live_observer(out) as observe:
                yield observe
        case _:
            lines = PlainLines(out, time.monotonic)
            yield lines.observe
            lines.finish()


def size_text(size: float) -> str:
    """Bytes as people read them: `512 B`, `3.1 MB` (powers of ten, as registries show them)."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError("unreachable")


def duration_text(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f}s"
    return f"{int(seconds // 60)}m{int(seconds % 60):02d}s"


class JsonLines:
    """One JSON object a report, with its kind in `type`; output is text, undecodable bytes replaced."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lock = threading.Lock()  # keeps lines whole

    def observe(self, report: Report) -> None:
        import json

        fields = {name: getattr(report, name) for name in report.__struct_fields__}
        if isinstance(report, StepOutput):
            fields["data"] = report.data.decode(errors="replace")
        with self._lock:
            self._out.write(json.dumps({"type": type(report).__name__, **fields}) + "\n")
            self._out.flush()


class Warnings:
    """Only what the user should know although everything goes well."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def observe(self, report: Report) -> None:
        if isinstance(report, Warned):
            self._out.write(warning_text(report) + "\n")


def warning_text(report: Warned) -> str:
    return (f"{report.place}: " if report.place else "") + f"warning: {report.message}"


class _Step(Struct):
    number: int
    depth: int
    title: str
    started_s: float
    pending: bytes = b""  # the beginning of a line whose end has not come yet


class PlainLines:
    """Each step has a number, and each line says whose it is, since steps run side by side."""

    def __init__(self, out: TextIO, clock_s: Callable[[], float]) -> None:
        self._out = out
        self._clock_s = clock_s
        self._steps: dict[str, _Step] = {}
        self._lock = threading.Lock()  # guards steps and the order of lines
        self._count = 0

    def observe(self, report: Report) -> None:
        with self._lock:
            match report:
                case StepStarted(step, title, parent):
                    self._count += 1
                    depth = self._steps[parent].depth + 1 if parent in self._steps else 0
                    self._steps[step] = _Step(self._count, depth, title, self._clock_s())
                    self._line(self._steps[step], title)
                case StepOutput(step, data) if step in self._steps:
                    self._output(self._steps[step], data)
                case StepEnded(step, cached, error, detail) if step in self._steps:
                    known = self._steps[step]
                    if known.pending:
                        self._output(known, b"\n")
                    word = "ERROR" if error else "CACHED" if cached else "DONE"
                    spent = "" if cached else f" {duration_text(self._clock_s() - known.started_s)}"
                    rest = error.splitlines()[0] if error else detail
                    self._line(known, f"{word}{spent}" + (f" {rest}" if rest else ""))
                case StepOutput(_, data):
                    self._out.write(data.decode(errors="replace"))
                case Warned():
                    self._out.write(warning_text(report) + "\n")
                case Transferred() | StepEnded():
                    return
            self._out.flush()

    def finish(self) -> None:
        with self._lock:
            for step in self._steps.values():
                if step.pending:
                    self._output(step, b"\n")
            self._out.flush()

    def _output(self, step: _Step, data: bytes) -> None:
        *whole, step.pending = (step.pending + data).split(b"\n")
        for line in whole:
            self._line(step, "| " + printable(line))

    def _line(self, step: _Step, text: str) -> None:
        self._out.write(f"{'  ' * step.depth}#{step.number} {text}\n")


def printable(line: bytes) -> str:
    """A line of foreign output without what could move the cursor or recolour the terminal.

    Only the text after the last carriage return is kept: that is what a terminal would show of a progress bar.
    """
    text = line.decode(errors="replace").rstrip("\r").rpartition("\r")[2]
    return "".join(c for c in _without_escapes(text) if c == "\t" or c.isprintable())


def _without_escapes(text: str) -> str:
    import re

    return re.sub(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])", "", text)
