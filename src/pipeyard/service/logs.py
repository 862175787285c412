"""The log of an action: everything that it reported, as plain lines in a file of its own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeyard.plain_lines import PlainLines
from pipeyard.progress import Observer, Report


def log_path(home: Path, action_execution_id: str) -> Path:
    return home / "logs" / f"{action_execution_id.replace('/', '_')}.log"


@contextmanager
def action_log(home: Path, action_execution_id: str, clock_s: Callable[[], float]) -> Iterator[Observer]:
    """Writes an action's reports for the block. An action that is performed again continues its log."""
    path = log_path(home, action_execution_id)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.open("a", encoding="utf-8", errors="replace", buffering=1) as out:
        lines = PlainLines(out.write, clock_s)
        yield lines.observe
        lines.finish()


def read_log(home: Path, action_execution_id: str) -> str:
    """The log so far; empty when the action has not written any."""
    try:
        return log_path(home, action_execution_id).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def both(first: Observer, second: Observer) -> Observer:
    def observe(report: Report) -> None:
        first(report)
        second(report)

    return observe
