"""Options that every command about a definition has, and what they become."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from pipeyard.cli.start import environment, pairs, working_folder
from pipeyard.definition.places import Inputs
from pipeyard.settings import Settings

Function = TypeVar("Function", bound=Callable[..., Any])

_OPTIONS = (
    click.argument("path", type=click.Path(path_type=Path), default="."),
    click.option("--parameter", "parameters", multiple=True, metavar="K=V", help="A CloudFormation parameter."),
    click.option("--var", "terraform_variables", multiple=True, metavar="K=V", help="A Terraform variable."),
    click.option(
        "--var-file", "variable_files", multiple=True, type=click.Path(path_type=Path), metavar="F",
        help="A file of Terraform variables.",
    ),
)  # fmt: skip


def definition_inputs(function: Function) -> Function:
    """PATH, --parameter, --var and --var-file; `inputs_from` takes what they give."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def inputs_from(
    settings: Settings,
    parameters: tuple[str, ...],
    terraform_variables: tuple[str, ...],
    variable_files: tuple[Path, ...],
    *,
    planning: bool = False,
) -> Inputs:
    """Raises InputError for an option that is not K=V."""
    folder = working_folder()
    return Inputs(
        parameters=pairs(parameters, "--parameter"),
        variables=pairs(terraform_variables, "--var"),
        variable_files=tuple(folder / file for file in variable_files),
        environment={name: value for name, value in environment().items() if _is_terraforms(name)},
        account_id=settings.account_id,
        region=settings.region,
        imports=settings.imports,
        ssm=settings.ssm_parameters,
        planning=planning,
    )


def _is_terraforms(name: str) -> bool:
    return name.startswith("TF_VAR_") or name == "TF_WORKSPACE"
