"""`pipeyard retry`: an execution that failed or was stopped goes on where it ended."""

import click

from pipeyard.cli.results import show_outcome
from pipeyard.cli.run import write_json
from pipeyard.cli.start import become_builder, environment, settings_from, stopped_by_signals
from pipeyard.cli.terminal import MODES, observer_for
from pipeyard.service import Approval, Pipeyard


@click.command("retry")
@click.argument("execution_id", metavar="ID")
@click.option("--all-actions", is_flag=True, help="Also the actions of the stage that had succeeded.")
@click.option("--approve", is_flag=True, help="Approve every manual approval beforehand.")
@click.option("--json", "as_json", is_flag=True, help="The result as one JSON document on stdout.")
@click.option("--progress", type=click.Choice(MODES), default="auto", help="How progress is shown on stderr.")
def command(execution_id: str, all_actions: bool, approve: bool, as_json: bool, progress: str) -> int:
    """Resume an execution in the stage that it failed or was stopped in. ID is its id or the beginning of it."""

    def ask(approval: Approval) -> bool | None:
        return True if approve else None

    become_builder()
    with stopped_by_signals() as stop, observer_for(progress) as observe:
        yard = Pipeyard(settings_from(), environment(), observe)
        outcome = yard.retry(execution_id, all_actions=all_actions, stop=stop, ask=ask)
    if as_json:
        write_json(outcome)
    else:
        show_outcome(outcome)
    return 0 if outcome.status == "Succeeded" else 1
