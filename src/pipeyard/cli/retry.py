"""`pipeyard retry`: an execution that failed or was stopped goes on where it ended."""

import click

from pipeyard.cli.documents import write_json
from pipeyard.cli.options import approve_option, json_option, progress_option
from pipeyard.cli.results import show_outcome
from pipeyard.cli.start import become_builder, environment, settings_from, stopped_by_signals
from pipeyard.cli.terminal import observer_for
from pipeyard.service import Pipeyard
from pipeyard.service.yard import agree, nobody


@click.command("retry")
@click.argument("execution_id", metavar="ID")
@click.option("--all-actions", is_flag=True, help="Also the actions of the stage that had succeeded.")
@approve_option
@json_option
@progress_option
def command(execution_id: str, all_actions: bool, approve: bool, as_json: bool, progress: str) -> int:
    """Resume an execution in the stage that it failed or was stopped in. ID is its id or the beginning of it."""
    become_builder()
    with stopped_by_signals() as stop, observer_for(progress) as observe:
        yard = Pipeyard(settings_from(), environment(), observe)
        outcome = yard.retry(execution_id, all_actions=all_actions, stop=stop, ask=agree if approve else nobody)
    if as_json:
        write_json(outcome)
    else:
        show_outcome(outcome, brief=outcome.status == "Succeeded")
    return 0 if outcome.status == "Succeeded" else 1
