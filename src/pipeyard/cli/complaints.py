"""Errors and problems as people read them: place, message, the line itself with a caret, and the next move."""

from collections.abc import Iterable
from pathlib import Path

import click

from pipeyard.errors import BuildFailed, InvalidDefinition, PipeyardError, Place, Problem
from pipeyard.plain_lines import printable, printable_text


def show_error(error: PipeyardError) -> None:
    """Writes an error to stderr. An InvalidDefinition shows each of its problems."""
    if isinstance(error, InvalidDefinition):
        show_problems(error.problems)
        click.echo(click.style("error: ", fg="red", bold=True) + printable_text(error.message), err=True)
        if error.hint:
            click.echo(f"  hint: {printable_text(error.hint)}", err=True)
        return
    _show("error", error.message, error.place, error.hint, "")
    if isinstance(error, BuildFailed) and error.output:
        click.echo("  last output:", err=True)
        for line in error.output.rstrip("\n").split("\n")[-20:]:
            click.echo(f"  | {printable(line.encode(errors='replace'))}", err=True)


def show_fault(error: Exception) -> None:
    """An error that nobody foresaw: where in pipeyard it happened, and how to report it."""
    import traceback

    from pipeyard.cli.start import environment

    if environment().get("PIPEYARD_TRACEBACK"):
        traceback.print_exception(error)
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    click.echo(
        click.style("fault in pipeyard: ", fg="red", bold=True)
        + printable_text(f"{type(error).__name__}: {error}{where}"),
        err=True,
    )
    click.echo("  hint: this is a bug; run again with PIPEYARD_TRACEBACK=1 and report what it prints", err=True)


def show_problems(problems: Iterable[Problem]) -> None:
    for problem in problems:
        _show(problem.severity, problem.message, problem.place, problem.hint, problem.rule)


def _show(severity: str, message: str, place: Place | None, hint: str, rule: str) -> None:
    where = printable_text(f"{place}: ") if place and place.file else ""
    label = severity + (f"[{rule}]" if rule else "")
    colour = "red" if severity == "error" else "yellow"
    click.echo(
        click.style(where, bold=True) + click.style(f"{label}: ", fg=colour, bold=True) + printable_text(message),
        err=True,
    )
    for line in _excerpt(place):
        click.echo(line, err=True)
    if hint:
        click.echo(f"  hint: {printable_text(hint)}", err=True)


def _excerpt(place: Place | None) -> list[str]:
    if place is None or place.line < 1:
        return []
    try:
        lines = Path(place.file).read_text(encoding="utf-8", errors="replace").splitlines()
        text = "".join(c if c.isprintable() else " " for c in lines[place.line - 1].expandtabs(4))
    except (OSError, IndexError):
        return []
    number = f"{place.line:>5}"
    out = [f"{number} | {text[:200]}"]
    if 0 < place.column <= min(len(text) + 1, 200):
        out.append(f"{' ' * len(number)} | {' ' * (place.column - 1)}^")
    return out
