"""Progress on a terminal: a tree of steps that moves while they run and stays, folded, when they have ended."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from msgspec import Struct, field
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from pipeyard.cli.terminal import size_text
from pipeyard.plain_lines import duration_text, printable, printable_text, warning_text
from pipeyard.progress import Observer, Report, StepEnded, StepOutput, StepStarted, Transferred, Warned

_TAIL = 4  # lines of output shown under a running step
_KEPT = 20  # lines kept in case the step fails


class _Step(Struct):
    title: str
    depth: int
    started_s: float
    spinner: Spinner
    children: list[str] = field(default_factory=list)
    moved: dict[str, tuple[int, int]] = field(default_factory=dict)  # item -> done, total
    lines: list[str] = field(default_factory=list)
    pending: bytes = b""
    ended_s: float | None = None
    cached: bool = False
    error: str = ""
    detail: str = ""


@contextmanager
def live_observer(out: TextIO) -> Iterator[Observer]:
    """Draws until the block ends; the last picture of each top step stays on the screen."""
    console = Console(file=out, highlight=False)
    tree = _Tree(console)
    with Live(tree, console=console, refresh_per_second=12, transient=True, vertical_overflow="ellipsis"):
        yield tree.observe
        tree.flush()


class _Tree:
    """The state of all steps; rich asks it for a picture twelve times a second, observers change it from any thread."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._steps: dict[str, _Step] = {}
        self._roots: list[str] = []
        self._lock = threading.RLock()  # guards steps and roots

    def observe(self, report: Report) -> None:
        with self._lock:
            match report:
                case StepStarted(step, title, parent):
                    above = self._steps.get(parent)
                    depth = above.depth + 1 if above else 0
                    self._steps[step] = _Step(
                        printable_text(title), depth, time.monotonic(), Spinner("dots", style="cyan")
                    )
                    (above.children if above else self._roots).append(step)
                case StepOutput(step, data) if step in self._steps:
                    known = self._steps[step]
                    *whole, known.pending = (known.pending + data).split(b"\n")
                    known.lines = [*known.lines, *(printable(line) for line in whole)][-_KEPT:]
                case Transferred(step, done, total, item) if step in self._steps:
                    self._steps[step].moved[item] = (done, total)
                case StepEnded(step, cached, error, detail) if step in self._steps:
                    known = self._steps[step]
                    known.ended_s = time.monotonic()
                    known.cached, known.error, known.detail = cached, printable_text(error), printable_text(detail)
                    if known.pending:
                        known.lines.append(printable(known.pending))
                    if step in self._roots:
                        self._roots.remove(step)
                        self._console.print(self._picture(step, final=True))
                case Warned():
                    self._console.print(Text(warning_text(report), style="yellow"))
                case _:
                    return

    def flush(self) -> None:
        with self._lock:
            for root in self._roots:
                self._console.print(self._picture(root, final=True))
            self._roots.clear()

    def __rich__(self) -> RenderableType:
        with self._lock:
            return Group(*(self._picture(root, final=False) for root in self._roots))

    def _picture(self, name: str, *, final: bool) -> RenderableType:
        step = self._steps[name]
        rows: list[RenderableType] = [self._row(step, final=final)]
        rows += [self._picture(child, final=final) for child in step.children]
        if step.error or (step.ended_s is None and not final):
            shown = step.lines if step.error else step.lines[-_TAIL:]
            rows += [Text(f"{'  ' * (step.depth + 1)}│ {line}", style="dim", no_wrap=True) for line in shown]
        return Group(*rows)

    def _row(self, step: _Step, *, final: bool) -> RenderableType:
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(width=2 * step.depth + 1, justify="right")
        table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        table.add_column(justify="right", no_wrap=True, style="dim")
        style = "bold" if step.depth == 0 else ""
        title = Text(step.title, style=style, no_wrap=True, overflow="ellipsis")
        mark: RenderableType
        if step.error:
            mark = Text("✗", style="bold red")
            title.append(f"  {step.error.splitlines()[0]}", style="red")
        elif step.cached:
            mark = Text("•", style="blue")
        elif step.ended_s is not None:
            mark = Text("✓", style="bold green")
        else:
            mark = Text("·") if final else step.spinner
        if step.detail and not step.error:
            title.append(f"  {step.detail}", style="dim")
        table.add_row(mark, title, self._right(step))
        return table

    @staticmethod
    def _right(step: _Step) -> str:
        if step.cached:
            return "cached"
        parts = []
        moving = [(done, total) for done, total in step.moved.values() if step.ended_s is None and done < total]
        if moving:
            parts.append(f"{size_text(sum(d for d, _ in moving))} of {size_text(sum(t for _, t in moving))}")
        elif step.moved and step.ended_s is not None:
            parts.append(size_text(sum(done for done, _ in step.moved.values())))
        parts.append(duration_text((step.ended_s or time.monotonic()) - step.started_s))
        return "  ".join(parts)
