"""Progress as plain lines of text: for pipes, CI logs and the log of an action."""

import threading
from collections.abc import Callable

from msgspec import Struct

from pipeyard.patterns import later
from pipeyard.progress import Report, StepEnded, StepOutput, StepStarted, Transferred, Warned

_ESCAPES = later(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])")


def duration_text(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f}s"
    return f"{int(seconds // 60)}m{int(seconds % 60):02d}s"


def warning_text(report: Warned) -> str:
    return printable_text((f"{report.place}: " if report.place else "") + f"warning: {report.message}")


class _Step(Struct):
    number: int
    depth: int
    title: str
    started_s: float
    pending: bytes = b""  # the beginning of a line whose end has not come yet


class PlainLines:
    """Each step has a number, and each line says whose it is, since steps run side by side."""

    def __init__(self, write: Callable[[str], object], clock_s: Callable[[], float]) -> None:
        self._write = write
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
                    self._line(self._steps[step], printable_text(title))
                case StepOutput(step, data) if step in self._steps:
                    self._output(self._steps[step], data)
                case StepEnded(step, cached, error, detail) if step in self._steps:
                    known = self._steps[step]
                    if known.pending:
                        self._output(known, b"\n")
                    word = "ERROR" if error else "CACHED" if cached else "DONE"
                    spent = "" if cached else f" {duration_text(self._clock_s() - known.started_s)}"
                    rest = error.splitlines()[0] if error else detail
                    self._line(known, f"{word}{spent}" + (f" {printable_text(rest)}" if rest else ""))
                case StepOutput(_, data):
                    self._write(printable_text(data.decode(errors="replace")))
                case Warned():
                    self._write(warning_text(report) + "\n")
                case Transferred() | StepEnded():
                    return

    def finish(self) -> None:
        with self._lock:
            for step in self._steps.values():
                if step.pending:
                    self._output(step, b"\n")

    def _output(self, step: _Step, data: bytes) -> None:
        *whole, step.pending = (step.pending + data).split(b"\n")
        for line in whole:
            self._line(step, "| " + printable(line))

    def _line(self, step: _Step, text: str) -> None:
        self._write(f"{'  ' * step.depth}#{step.number} {text}\n")


def printable(line: bytes) -> str:
    """A line of foreign output without what could move the cursor or recolour the terminal.

    Only the text after the last carriage return is kept: that is what a terminal would show of a progress bar.
    """
    text = line.decode(errors="replace").rstrip("\r").rpartition("\r")[2]
    return printable_text(text).replace("\n", "")


def printable_text(text: str) -> str:
    """Foreign text that is no output, such as a title or an error, likewise: lines stay, and nothing is hidden.

    Titles come from Dockerfiles, details from commit messages, errors from whoever wrote the file that is wrong.
    """
    if text.isprintable():
        return text
    return "".join(c for c in _ESCAPES.sub("", text) if c in "\t\n" or c.isprintable())
