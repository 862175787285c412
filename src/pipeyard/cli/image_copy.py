"""`pipeyard image copy`: from any registry to any other, the embedded one among them."""

import click

from pipeyard.cli.image_places import copy, opened_images, place, registry_options, show
from pipeyard.cli.options import all_platforms_option, json_option, platform_option, progress_option, referrers_option


@click.command("copy")
@click.argument("source")
@click.argument("target")
@all_platforms_option
@platform_option
@referrers_option
@progress_option
@json_option
@registry_options
def command(
    source: str,
    target: str,
    all_platforms: bool,
    platform: str | None,
    referrers: bool,
    progress: str,
    as_json: bool,
    mirrors: tuple[str, ...],
    insecure: tuple[str, ...],
) -> None:
    """Copy an image. Names without a host are the embedded registry's."""
    from pipeyard.oci import parse_platform

    with opened_images(mirrors, insecure) as images:
        published = copy(
            images,
            place(images, source),
            place(images, target),
            platform=None if all_platforms else parse_platform(platform or "local"),
            referrers=referrers,
            progress=progress,
        )
        show(published, as_json)
