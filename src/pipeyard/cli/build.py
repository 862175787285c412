"""`pipeyard build`: a buildspec alone, without a pipeline and without CodeBuild."""

import sys
from pathlib import Path
from shutil import copytree, rmtree

import click

from pipeyard.cli.start import become_builder, environment, pairs, settings_from, stopped_by_signals, working_folder
from pipeyard.cli.terminal import MODES, observer_for


@click.command("build")
@click.argument("path", type=click.Path(exists=True, file_okay=False, path_type=Path), default=".", required=False)
@click.option("--buildspec", default="", metavar="FILE", help="Within PATH. Default: buildspec.yml.")
@click.option(
    "--environment", "where", default="host", metavar="host|IMAGE", help="Where it runs. Default: this machine's tools."
)
@click.option("--env", "variables", multiple=True, metavar="NAME=VALUE", help="A variable over the buildspec's own.")
@click.option("--privileged", is_flag=True, help="With a docker that needs no Docker.")
@click.option("--publish", metavar="embedded|ecr|HOST[/PREFIX]", help="Where images pushed to ECR go.")
@click.option("--artifacts", type=click.Path(path_type=Path), metavar="FOLDER", help="Copy the artifacts there.")
@click.option("--batch", is_flag=True, help="Run the buildspec's batch.")
@click.option("--json", "as_json", is_flag=True, help="The result as one JSON document on stdout.")
@click.option("--progress", type=click.Choice(MODES), default="auto", help="How progress is shown on stderr.")
def command(
    path: Path,
    buildspec: str,
    where: str,
    variables: tuple[str, ...],
    privileged: bool,
    publish: str | None,
    artifacts: Path | None,
    batch: bool,
    as_json: bool,
    progress: str,
) -> int:
    """Run the buildspec of the folder PATH. Its files are copied first; nothing in PATH changes."""
    from pipeyard.buildspec.contract import BuildWish
    from pipeyard.service.builds import Builds
    from pipeyard.service.images import open_images
    from pipeyard.service.toolbox import workspace

    become_builder()
    settings = settings_from()
    given = pairs(variables, "--env")
    source = (working_folder() / path).resolve()
    wish = BuildWish(
        project=source.name or "build",
        source=source,
        buildspec=buildspec,
        environment=where,
        privileged=privileged,
        variables={name: ("PLAINTEXT", value) for name, value in given.items()},
        publish=publish or settings.publish,
        batch=batch,
    )
    with (
        open_images(settings, environment()) as images,
        stopped_by_signals() as stop,
        workspace(settings.home, f"build-{_unique()}") as folder,
    ):
        with observer_for(progress) as observe:
            build = Builds(images, environment()).run(wish, folder / "build", observe, stop)
        if artifacts is not None:
            target = working_folder() / artifacts
            made = build.outcome.secondary
            if build.outcome.artifact is not None:
                copytree(build.outcome.artifact.folder, target, symlinks=True, dirs_exist_ok=True)
            for name, artifact in made.items():
                copytree(artifact.folder, target / name, symlinks=True, dirs_exist_ok=True)
        rmtree(folder / "build", ignore_errors=True)
    if as_json:
        import json

        from msgspec import to_builtins

        document = to_builtins(build, enc_hook=str)
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    else:
        for name, value in build.outcome.exported.items():
            click.echo(f"{name}={value}")
        for published in build.published:
            for reference in published.references:
                click.echo(f"{reference}  {published.digest}")
        if build.outcome.status == "FAILED":
            click.echo(f"build failed: {build.outcome.error}", err=True)
    return 0 if build.outcome.status == "SUCCEEDED" else 1


def _unique() -> str:
    import uuid

    return uuid.uuid4().hex
