"""What a run leaves for the reader: what was published and how to get it, and each action's output variables."""

import click

from pipeyard.cli.terminal import size_text
from pipeyard.plain_lines import printable_text
from pipeyard.service.outcome import ActionOutcome, Outcome, PublishedImage

_COLOURS = {"Succeeded": "green", "Failed": "red", "Stopped": "yellow", "Superseded": "yellow", "InProgress": "cyan"}


def show_outcome(outcome: Outcome, *, brief: bool = False) -> None:
    """Writes an execution's result to stdout. `brief`: what was published, for who has just watched the actions."""
    click.echo(
        f"{click.style(outcome.pipeline, bold=True)} {status_text(outcome.status)}  {outcome.execution_id or ''}"
    )
    if outcome.reason:
        click.echo(f"  {printable_text(outcome.reason)}")
    for stage in () if brief else outcome.stages:
        click.echo(f"  {stage.name}  {status_text(stage.status)}")
        for action in stage.actions:
            show_action(action)
    if outcome.published:
        click.echo(click.style("Published", bold=True))
        for image in outcome.published:
            show_published(image)


def show_plan(outcome: Outcome) -> None:
    """Writes what would happen to stdout."""
    click.echo(click.style(f"{outcome.pipeline} would run", bold=True))
    for stage in outcome.stages:
        click.echo(f"  {stage.name}")
        for action in stage.actions:
            click.echo(f"    {action.name}  {click.style(action.provider, dim=True)}")
            for name, value in action.configuration.items():
                click.echo(f"      {name}: {_one_line(value)}")
            for command in action.commands:
                click.echo(f"      $ {_one_line(command)}")
    for image in outcome.published:
        click.echo(f"  would publish {', '.join(image.references)}")


def show_action(action: ActionOutcome) -> None:
    provider = click.style(action.provider, dim=True)
    click.echo(f"    {action.name}  {provider}  {status_text(action.status)}  {_one_line(action.summary)}".rstrip())
    if action.error is not None:
        where = printable_text(f"{action.error.place}: ") if action.error.place else ""
        first, *rest = action.error.message.splitlines() or [""]
        click.echo(f"      {where}{click.style('error:', fg='red')} {printable_text(first)}")
        for line in rest:
            click.echo(f"      {printable_text(line)}")
        if action.error.hint:
            click.echo(f"      hint: {printable_text(action.error.hint)}")
    for name, value in sorted(action.output_variables.items()):
        click.echo(f"      {click.style(name, dim=True)} = {_one_line(value)}")


def show_published(image: PublishedImage) -> None:
    for reference in image.references:
        click.echo(f"  {click.style(reference, fg='green')}")
    if image.digest is not None:
        size = f"  {size_text(image.size)}" if image.size is not None else ""
        click.echo(f"  {image.digest}{size}")


def status_text(status: str | None) -> str:
    return click.style(status or "not started", fg=_COLOURS.get(status or ""), dim=status is None)


def _one_line(text: str) -> str:
    first, _, more = text.partition("\n")
    clean = "".join(c for c in first if c.isprintable())
    return clean[:160] + (" ..." if more.strip() or len(clean) > 160 else "")
