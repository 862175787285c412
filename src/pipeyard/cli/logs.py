"""`pipeyard logs`: the log of an execution's actions, or of one of them."""

import click

from pipeyard.cli.start import environment, settings_from, stopped_by_signals
from pipeyard.errors import InputError
from pipeyard.service import Outcome, Pipeyard

_ENDED = frozenset({"Succeeded", "Failed", "Stopped", "Superseded", "Cancelled"})
_LOOK_S = 0.2


@click.command("logs")
@click.argument("execution_id", metavar="ID")
@click.option("--action", default="", metavar="NAME", help="Only this action's.")
@click.option("--follow", "-f", is_flag=True, help="Go on until the execution has ended.")
def command(execution_id: str, action: str, follow: bool) -> int:
    """Print the logs of an execution's actions in the order of their start."""
    yard = Pipeyard(settings_from(), environment())
    shown: dict[str, int] = {}
    with stopped_by_signals() as stop:
        while True:
            outcome = yard.show(execution_id)
            _check_name(outcome, action)
            _print_news(yard, outcome, action, shown)
            if not follow or outcome.status in _ENDED or stop.wait(_LOOK_S):
                return 0


def _check_name(outcome: Outcome, only: str) -> None:
    names = [action.name for stage in outcome.stages for action in stage.actions]
    if only and only not in names:
        raise InputError(f"the execution has no action {only!r}", hint=f"its actions are {', '.join(names)}")


def _print_news(yard: Pipeyard, outcome: Outcome, only: str, shown: dict[str, int]) -> None:
    for stage in outcome.stages:
        for action in stage.actions:
            if action.action_execution_id and only in ("", action.name):
                text = yard.log(action.action_execution_id)
                click.echo(text[shown.get(action.action_execution_id, 0) :], nl=False)
                shown[action.action_execution_id] = len(text)
