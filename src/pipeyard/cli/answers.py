"""`pipeyard approve`, `reject` and `stop`: a word to an execution that runs in another process."""

import click

from pipeyard.cli.start import environment, settings_from
from pipeyard.service import Pipeyard
from pipeyard.service.yard import find_execution


@click.command("approve")
@click.argument("pipeline")
@click.argument("stage")
@click.argument("action")
@click.option("--summary", default="", help="Why.")
def approve(pipeline: str, stage: str, action: str, summary: str) -> int:
    """Approve the manual approval ACTION that waits in STAGE of PIPELINE."""
    with Pipeyard(settings_from(), environment()).asking() as engine:
        engine.approve(pipeline, stage, action, approved=True, summary=summary)
    return 0


@click.command("reject")
@click.argument("pipeline")
@click.argument("stage")
@click.argument("action")
@click.option("--summary", default="", help="Why.")
def reject(pipeline: str, stage: str, action: str, summary: str) -> int:
    """Reject the manual approval ACTION that waits in STAGE of PIPELINE."""
    with Pipeyard(settings_from(), environment()).asking() as engine:
        engine.approve(pipeline, stage, action, approved=False, summary=summary)
    return 0


@click.command("stop")
@click.argument("execution_id", metavar="ID")
@click.option("--abandon", is_flag=True, help="Do not wait for the actions in progress.")
@click.option("--reason", default="", help="Why.")
def stop(execution_id: str, abandon: bool, reason: str) -> int:
    """Stop an execution. ID is its id or the beginning of it."""
    with Pipeyard(settings_from(), environment()).asking() as engine:
        record = find_execution(engine.store, execution_id)
        engine.stop(record.execution.id, abandon=abandon, reason=reason)
    return 0
