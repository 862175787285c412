"""`pipeyard pipelines`: the pipelines that have run here, each with its latest execution."""

import click

from pipeyard.cli.documents import write_json
from pipeyard.cli.results import status_text
from pipeyard.cli.start import environment, settings_from
from pipeyard.service import Pipeyard


@click.command("pipelines")
@click.option("--json", "as_json", is_flag=True, help="As a JSON list.")
def command(as_json: bool) -> int:
    """List the pipelines of this home."""
    found = Pipeyard(settings_from(), environment()).pipelines()
    if as_json:
        rows = [
            {"name": name, "latestExecution": latest and {"id": latest.execution.id, "status": latest.execution.status}}
            for name, latest in found
        ]
        write_json({"pipelines": rows})
        return 0
    for name, latest in found:
        ended = f"{status_text(latest.execution.status)}  {latest.execution.id}" if latest else "never ran"
        click.echo(f"{name}  {ended}")
    return 0
