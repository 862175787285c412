"""`pipeyard demo`: the main job, from nothing, offline, and pleasant to watch."""

import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeyard.cli.options import progress_option
from pipeyard.cli.results import show_published
from pipeyard.cli.start import become_builder, environment, settings_from, stopped_by_signals
from pipeyard.cli.terminal import observer_for
from pipeyard.plain_lines import duration_text

if TYPE_CHECKING:
    from pipeyard.service.demo.walk import DemoRun, DemoWalk


@click.command("demo")
@click.option("--folder", type=click.Path(path_type=Path), help="Work here and keep everything.")
@click.option("--classic", is_flag=True, help="Before and after: CodeBuild with docker, then migrated, compared.")
@progress_option
def command(folder: Path | None, classic: bool, progress: str) -> int:
    """See a small web service go from a git repository to a published image that answers, twice; offline."""
    become_builder()
    kept = folder is not None
    where = folder.absolute() if folder else Path(tempfile.mkdtemp(prefix="pipeyard-demo-"))
    if kept and where.exists() and any(where.iterdir()):
        raise click.UsageError(f"{where} is not empty")
    try:
        return _show_classic(where, progress) if classic else _show(where, progress, kept=kept)
    finally:
        if not kept:
            shutil.rmtree(where, ignore_errors=True)


def _show(folder: Path, progress: str, *, kept: bool) -> int:
    from pipeyard.service.demo.walk import DemoWalk

    settings = settings_from(home=str(folder / "home"))
    _say("A base image from this machine's own shell and Python, so that nothing has to be downloaded")
    with stopped_by_signals() as stop:
        with observer_for(progress) as observe:
            walk = DemoWalk(settings, environment(), folder, now_s=int(time.time()), stop=stop)
            walk.make_base(observe)
        click.echo(f"  {walk.project.template}   the pipeline, as for AWS")
        click.echo(f"  {walk.project.repository}   the service, a git repository")

        _say("pipeyard run pipeline.yaml --source Checkout=greeter")
        first = _run(walk, progress)
        if first.outcome.status != "Succeeded":
            return 1
        _say("The image's own entry point, started in the sandbox")
        click.echo(f"  it answers: {click.style(walk.ask_service(), fg='green')}")

        _say("One line of the service changes, is committed, and the pipeline runs again")
        commit = walk.change()
        click.echo(f"  commit {commit[:12]}")
        second = _run(walk, progress)
        if second.outcome.status != "Succeeded":
            return 1
        click.echo(f"  it answers: {click.style(walk.ask_service(), fg='green')}")
        click.echo(
            f"  rebuilt {second.steps - second.cached} of {second.steps} steps, {duration_text(second.seconds)} "
            f"after {duration_text(first.seconds)}; tags now: {', '.join(walk.tags())}"
        )
    if kept:
        _say("Yours to go on with")
        click.echo(f"  export PIPEYARD_HOME={settings.home}")
        click.echo(f"  pipeyard run {walk.project.template} --source Checkout={walk.project.repository}")
        click.echo(f"  pipeyard show {(second.outcome.execution_id or '')[:8]}")
    else:
        click.echo("\nKeep the files next time: pipeyard demo --folder DIR")
    return 0


def _show_classic(folder: Path, progress: str) -> int:
    """The pipeline with CodeBuild and docker, the migrated one, and whether both publish the same image."""
    from pipeyard.service.demo.classic import ClassicWalk

    settings = settings_from(home=str(folder / "home"))
    _say("A base image from this machine's own shell and Python, so that nothing has to be downloaded")
    with stopped_by_signals() as stop:
        with observer_for(progress) as observe:
            classic = ClassicWalk(settings, environment(), folder, now_s=int(time.time()), stop=stop)
            classic.walk.make_base(observe)

        _say("Before: a CodeBuild project whose buildspec calls docker, run without CodeBuild and without Docker")
        first = _run(classic.walk, progress)
        if first.outcome.status != "Succeeded":
            return 1
        before = classic.published("latest")

        _say("pipeyard migrate pipeline.yaml --write")
        click.echo(classic.migrate(), nl=False)

        _say("After: the pipeline that migrate wrote, with an empty build cache")
        classic.forget_cache()
        second = _run(classic.walk, progress)
        if second.outcome.status != "Succeeded":
            return 1
        after = classic.published("latest")

    _say("The two images")
    tags = [sorted(tag for image in ran.outcome.published for tag in image.tags) for ran in (first, second)]
    for word, image, names in (("before", before, tags[0]), ("after", after, tags[1])):
        click.echo(f"  {word:6} {image.digest}  {len(image.layers)} layers  {', '.join(names)}")
    if before == after and tags[0] == tags[1]:
        click.echo(f"  {click.style('the same image under the same tags', fg='green')}")
        return 0
    same = sum(one == other for one, other in zip(before.layers, after.layers, strict=False))
    click.echo(f"  they differ: {same} of {len(after.layers)} layers are the same")
    return 1


def _run(walk: "DemoWalk", progress: str) -> "DemoRun":
    with observer_for(progress) as observe:
        ran = walk.run(observe)
    for image in ran.outcome.published:
        show_published(image)
    for stage in ran.outcome.stages:
        for action in stage.actions:
            if action.error:
                click.echo(f"  {stage.name} / {action.name}: {action.error.message}", err=True)
                if action.error.hint:
                    click.echo(f"  hint: {action.error.hint}", err=True)
    return ran


def _say(text: str) -> None:
    click.echo(f"\n{click.style('▸', fg='cyan')} {click.style(text, bold=True)}")
