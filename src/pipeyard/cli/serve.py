"""`pipeyard serve`: what this home holds, over HTTP on one port."""

from pathlib import Path
from typing import Literal

import click

from pipeyard.cli.registry_serve import serve_registry


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8470, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--anonymous", type=click.Choice(["pull", "push"]), help="What callers without credentials may do.")
@click.option("--tls-cert", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="PEM, with its chain.")
@click.option("--tls-key", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="PEM.")
def command(
    host: str,
    port: int,
    anonymous: Literal["pull", "push"] | None,
    tls_cert: Path | None,
    tls_key: Path | None,
) -> int:
    """Serve the published images under /v2/, and ECR, STS, CodeBuild and CodePipeline to AWS clients."""
    serve_registry(host, port, anonymous=anonymous, tls_cert=tls_cert, tls_key=tls_key, with_aws=True)
    return 0
