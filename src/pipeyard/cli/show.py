"""`pipeyard show`: what happened in an execution, with the log of each action."""

import click

from pipeyard.cli.documents import write_json
from pipeyard.cli.results import show_outcome
from pipeyard.cli.start import environment, settings_from
from pipeyard.service import Pipeyard


@click.command("show")
@click.argument("execution_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="One JSON document, without the logs.")
@click.option("--no-logs", is_flag=True, help="Leave the logs out.")
def command(execution_id: str, as_json: bool, no_logs: bool) -> int:
    """Show an execution. ID is its id or the beginning of it."""
    yard = Pipeyard(settings_from(), environment())
    outcome = yard.show(execution_id)
    if as_json:
        write_json(outcome)
        return 0
    show_outcome(outcome)
    for stage in () if no_logs else outcome.stages:
        for action in stage.actions:
            log = yard.log(action.action_execution_id) if action.action_execution_id else ""
            if log:
                click.echo(click.style(f"Log of {stage.name} / {action.name}", bold=True))
                click.echo("".join(f"  {line}\n" for line in log.splitlines()), nl=False)
    return 0
