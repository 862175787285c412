"""`pipeyard validate`: each problem of a definition at its place, for people, scripts (JSON) and code scanning."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from pipeyard.cli.complaints import show_problems
from pipeyard.cli.inputs import DefinitionCommand, definition_inputs, inputs_from
from pipeyard.cli.start import settings_from
from pipeyard.errors import InputError, Place, Problem, counted


@click.command("validate", cls=DefinitionCommand)
@definition_inputs
@click.option("--json", "as_json", is_flag=True, help="The problems as one JSON document on stdout.")
@click.option("--sarif", "as_sarif", is_flag=True, help="The problems as SARIF 2.1.0 on stdout, for code scanning.")
def command(
    path: Path,
    parameters: tuple[str, ...],
    terraform_variables: tuple[str | Path, ...],
    as_json: bool,
    as_sarif: bool,
) -> int:
    """Check the pipelines that PATH declares, as the service would and further. Exit code 2 when there is an error."""
    from pipeyard.actions.catalogue import type_ids
    from pipeyard.definition.reading import read
    from pipeyard.definition.validate import in_order, validate

    inputs = inputs_from(settings_from(), parameters, terraform_variables, planning=True)
    pipelines: list[str] = []
    try:
        reading = read(path, inputs)
        found = list(reading.problems)
        if reading.definition is not None:
            pipelines = [pipeline.name for pipeline in reading.definition.pipelines]
            judged = validate(reading.definition, reading.places, implemented=type_ids())
            found += [problem for problem in judged if problem.place not in reading.open]
    except InputError as error:
        if not as_json and not as_sarif:
            raise
        found = [Problem("error", error.message, error.place or Place(str(path)), error.hint, "not-readable")]
    problems = in_order(found)
    errors = sum(problem.severity == "error" for problem in problems)
    if as_sarif:
        click.echo(json.dumps(sarif_document(problems), indent=2))
    elif as_json:
        click.echo(json.dumps(json_document(pipelines, problems), indent=2))
    else:
        show_problems(problems)
        warnings = len(problems) - errors
        click.echo(f"{', '.join(pipelines) or path}: {counted(errors, 'error')}, {counted(warnings, 'warning')}")
    return 2 if errors else 0


def json_document(pipelines: Sequence[str], problems: Sequence[Problem]) -> dict[str, Any]:
    """`{"valid", "pipelines", "problems": [{"severity", "rule", "message", "hint", "file", "line", "column"}]}`; a line
    or column of 0 is unknown."""
    return {
        "valid": all(problem.severity != "error" for problem in problems),
        "pipelines": list(pipelines),
        "problems": [
            {
                "severity": problem.severity,
                "rule": problem.rule,
                "message": problem.message,
                "hint": problem.hint,
                "file": problem.place.file,
                "line": problem.place.line,
                "column": problem.place.column,
            }
            for problem in problems
        ],
    }


def sarif_document(problems: Sequence[Problem]) -> dict[str, Any]:
    """Source: OASIS, "Static Analysis Results Interchange Format (SARIF) Version 2.1.0"."""
    from pipeyard import __version__
    from pipeyard.definition.rules.findings import RULES

    names = sorted({problem.rule for problem in problems if problem.rule})
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "pipeyard",
                        "version": __version__,
                        "rules": [
                            {"id": name, "shortDescription": {"text": RULES.get(name, name.replace("-", " "))}}
                            for name in names
                        ],
                    }
                },
                "results": [_result(problem) for problem in problems],
            }
        ],
    }


def _result(problem: Problem) -> dict[str, Any]:
    text = f"{problem.message} ({problem.hint})" if problem.hint else problem.message
    location: dict[str, Any] = {"artifactLocation": {"uri": _uri(problem.place.file)}}
    if problem.place.line:
        location["region"] = {"startLine": problem.place.line, "startColumn": max(problem.place.column, 1)}
    return {
        "ruleId": problem.rule or "not-readable",
        "level": problem.severity,
        "message": {"text": text},
        "locations": [{"physicalLocation": location}],
    }


def _uri(file: str) -> str:
    from urllib.parse import quote

    path = Path(file)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())
