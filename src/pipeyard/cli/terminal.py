"""Progress on stderr: live on a terminal, plain lines in a pipe or a CI log, JSON lines for programs."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from pipeyard.plain_lines import PlainLines, warning_text
from pipeyard.progress import Observer, Report, StepOutput, Warned

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
            lines = PlainLines(_flushing(out), time.monotonic)
            yield lines.observe
            lines.finish()


def _flushing(out: TextIO) -> Callable[[str], object]:
    def write(text: str) -> None:
        out.write(text)
        out.flush()

    return write


def size_text(size: float) -> str:
    """Bytes as people read them: `512 B`, `3.1 MB` (powers of ten, as registries show them)."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError("unreachable")


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
