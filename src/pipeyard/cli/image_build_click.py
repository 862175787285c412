"""`pipeyard image build` for click: help, completion, complaints, and command lines that are not plain."""

from typing import Any

import click

from pipeyard.cli.build_dialects import explained, options_without_effect
from pipeyard.cli.build_options import BUILD_OPTIONS
from pipeyard.cli.image_build import build
from pipeyard.cli.option_table import for_click, spelled_out


class _WithBareOptions(click.Command):
    """Options whose value can be left out, and is never the next word: that is CONTEXT."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, spelled_out(args, BUILD_OPTIONS))
        except click.NoSuchOption as error:
            raise explained(error) from error


@click.command(cls=_WithBareOptions)
@click.argument("context", metavar="CONTEXT")
@for_click(BUILD_OPTIONS)
@options_without_effect
def command(**options: Any) -> int:
    """Build an image from the Dockerfile in CONTEXT: a folder, a git URL, the URL of an archive, or - for stdin."""
    return build(options)
