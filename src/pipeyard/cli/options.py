"""Options that commands of different kinds share."""

import click

from pipeyard.cli.terminal import MODES

progress_option = click.option(
    "--progress", type=click.Choice(MODES), default="auto", help="How progress is shown on stderr."
)
json_option = click.option("--json", "as_json", is_flag=True, help="The result as one JSON document on stdout.")
platform_option = click.option("--platform", metavar="OS/ARCH", help="Of a multi-platform image, the one for this.")
all_platforms_option = click.option(
    "--all", "all_platforms", is_flag=True, help="All platforms of the image (otherwise this machine's)."
)
referrers_option = click.option(
    "--referrers", is_flag=True, help="Also signatures, SBOMs and whatever else refers to the image."
)
approve_option = click.option("--approve", is_flag=True, help="Approve every manual approval beforehand.")
