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
    """PATH, --parameter, --var and --var-file of a DefinitionCommand; `inputs_from` takes what they give."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


class DefinitionCommand(click.Command):
    """A command whose `terraform_variables` hold --var and --var-file in the order given: the last one counts."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given = list(args)
        rest = super().parse_args(ctx, args)
        values = {name: iter(ctx.params[name]) for name in ("terraform_variables", "variable_files")}
        _, _, order = self.make_parser(ctx).parse_args(args=given)
        ctx.params["terraform_variables"] = tuple(next(values[one.name]) for one in order if one.name in values)
        del ctx.params["variable_files"]
        return rest


def inputs_from(
    settings: Settings,
    parameters: tuple[str, ...],
    terraform_variables: tuple[str | Path, ...],
    *,
    planning: bool = False,
) -> Inputs:
    """Raises InputError for an option that is not K=V."""
    folder = working_folder()
    return Inputs(
        parameters=pairs(parameters, "--parameter"),
        variables=tuple(
            folder / given if isinstance(given, Path) else next(iter(pairs((given,), "--var").items()))
            for given in terraform_variables
        ),
        environment={name: value for name, value in environment().items() if _is_terraforms(name)},
        account_id=settings.account_id,
        region=settings.region,
        imports=settings.imports,
        ssm=settings.ssm_parameters,
        planning=planning,
        strict=True,
    )


def _is_terraforms(name: str) -> bool:
    return name.startswith("TF_VAR_") or name == "TF_WORKSPACE"
