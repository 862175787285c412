"""`pipeyard migrate`: from a CodeBuild project that builds an image to ECRBuildAndPublish, as a diff."""

from pathlib import Path

import click

from pipeyard.cli.inputs import DefinitionCommand, definition_inputs, inputs_from
from pipeyard.cli.start import settings_from, working_folder


@click.command("migrate", cls=DefinitionCommand)
@definition_inputs
@click.option("--source", "sources", multiple=True, metavar="FOLDER", help="Where the buildspec files are.")
@click.option("--write", is_flag=True, help="Change the files; without it, they are only looked at.")
def command(
    path: Path,
    parameters: tuple[str, ...],
    terraform_variables: tuple[str | Path, ...],
    sources: tuple[str, ...],
    write: bool,
) -> int:
    """Propose ECRBuildAndPublish for the CodeBuild actions of PATH that build and push an image. The diff goes to
    stdout, reasons and notes to stderr."""
    from pipeyard.definition.reading import read
    from pipeyard.files import replace_file
    from pipeyard.service.migration import migrate

    settings = settings_from()
    here = working_folder()
    folders = [here / source for source in sources]
    beside = (here / path) if path.is_dir() else (here / path).parent
    folders += [beside, *_checkout(beside)]
    found = migrate(read(path, inputs_from(settings, parameters, terraform_variables)), folders, here)
    for finding in found.findings:
        if finding.reasons:
            click.echo(f"{finding.place}: {finding.action} stays with CodeBuild:", err=True)
            for reason in finding.reasons:
                click.echo(f"  {reason}", err=True)
        for note in finding.notes:
            click.echo(f"{finding.place}: note: {note}", err=True)
    if not found.findings:
        click.echo("no action is performed by CodeBuild", err=True)
    click.echo(found.diff, nl=False)
    if write:
        for file, text in found.texts.items():
            with replace_file(file, durable=True, mode=file.stat().st_mode & 0o777) as out:
                out.write(text.encode())
    return 0 if found.texts or not found.findings else 1


def _checkout(folder: Path) -> list[Path]:
    """The root of the git checkout that a folder lies in."""
    return [parent for parent in folder.resolve().parents if (parent / ".git").exists()][:1]
