"""`pipeyard executions`: what ran of a pipeline, newest first."""

from datetime import UTC, datetime

import click

from pipeyard.cli.documents import write_json
from pipeyard.cli.results import status_text
from pipeyard.cli.start import environment, settings_from
from pipeyard.service import Pipeyard


@click.command("executions")
@click.argument("pipeline", required=False)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1), help="How many.")
@click.option("--json", "as_json", is_flag=True, help="As ListPipelineExecutions gives them.")
def command(pipeline: str | None, limit: int, as_json: bool) -> int:
    """List the executions of PIPELINE, or of all pipelines."""
    yard = Pipeyard(settings_from(), environment())
    records = yard.executions(pipeline, limit)
    if as_json:
        summaries = [
            {
                "pipelineExecutionId": record.execution.id,
                "status": record.execution.status,
                "startTime": _time(record.execution.started_ms),
                "lastUpdateTime": _time(record.execution.updated_ms),
                "executionMode": record.execution.mode,
            }
            for record in records
        ]
        write_json({"pipelineExecutionSummaries": summaries})
        return 0
    for record in records:
        execution = record.execution
        click.echo(f"{_time(execution.started_ms)}  {execution.id}  {record.pipeline}  {status_text(execution.status)}")
    if not records:
        click.echo("nothing has run yet", err=True)
    return 0


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
