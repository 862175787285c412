"""`pipeyard run`: a definition becomes an execution, shown while it goes on."""

from pathlib import Path

import click

from pipeyard.cli.complaints import show_problems
from pipeyard.cli.documents import write_json
from pipeyard.cli.inputs import DefinitionCommand, definition_inputs, inputs_from
from pipeyard.cli.options import approve_option, json_option, progress_option
from pipeyard.cli.results import show_outcome, show_plan
from pipeyard.cli.start import become_builder, environment, pairs, settings_from, stopped_by_signals, working_folder
from pipeyard.cli.terminal import observer_for
from pipeyard.errors import Problem
from pipeyard.service.outcome import Outcome
from pipeyard.service.preflight import RunRequest

_SOURCE = "ACTION=FOLDER|URL[#REF]"


@click.command("run", cls=DefinitionCommand)
@definition_inputs
@click.option("--pipeline", default="", metavar="NAME", help="Which pipeline, when the definition has several.")
@click.option(
    "--source",
    "sources",
    multiple=True,
    metavar=_SOURCE,
    help="The git repository of a source action; of an ECR source, an image's name; of an S3 source, a file or folder.",
)
@click.option("--variable", "variables", multiple=True, metavar="NAME=VALUE", help="A pipeline variable.")
@click.option("--publish", metavar="embedded|ecr|HOST[/PREFIX]", help="Where images go. Default: embedded.")
@click.option("--until", default="", metavar="STAGE", help="The last stage to run.")
@approve_option
@click.option("--plan", "only_plan", is_flag=True, help="Show what would happen; publish nothing.")
@json_option
@progress_option
def command(
    path: Path,
    parameters: tuple[str, ...],
    terraform_variables: tuple[str | Path, ...],
    pipeline: str,
    sources: tuple[str, ...],
    variables: tuple[str, ...],
    publish: str | None,
    until: str,
    approve: bool,
    only_plan: bool,
    as_json: bool,
    progress: str,
) -> int:
    """Run the pipeline that PATH declares: a CloudFormation template, a Terraform folder, a cdk.out, or a pipeline's
    JSON. PATH is a file or a folder."""
    settings = settings_from()
    inputs = inputs_from(settings, parameters, terraform_variables, planning=only_plan)
    request = RunRequest(
        pipeline=pipeline,
        sources=pairs(sources, "--source", form=_SOURCE, hint="--plan shows the source actions"),
        variables=pairs(variables, "--variable"),
        publish=publish or "",
        until=until,
    )
    if only_plan:
        from pipeyard.definition.reading import read
        from pipeyard.service.preflight import plan

        outcome, problems = plan(read(path, inputs), request, settings)
        show_problems(problems)
        _show(outcome, as_json=as_json, planned=True)
        return 2 if _has_errors(problems) else 0

    become_builder()
    from pipeyard.service.yard import Pipeyard, agree, nobody

    with stopped_by_signals() as stop, observer_for(progress) as observe:
        yard = Pipeyard(settings, environment(), observe)
        ready = yard.prepare(path, inputs, request, working_folder(), stop)
        show_problems(ready.warnings)
        outcome = yard.run(ready, stop, agree if approve else nobody)
    _show(outcome, as_json=as_json, planned=False)
    return 0 if outcome.status == "Succeeded" else 1


def _has_errors(problems: tuple[Problem, ...]) -> bool:
    return any(problem.severity == "error" for problem in problems)


def _show(outcome: Outcome, *, as_json: bool, planned: bool) -> None:
    if as_json:
        write_json(outcome)
    elif planned:
        show_plan(outcome)
    else:
        show_outcome(outcome, brief=outcome.status == "Succeeded")
