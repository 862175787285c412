"""`pipeyard image push`: from the embedded registry to another."""

import click

from pipeyard.cli.image_places import copy, opened_images, place, registry_options, show
from pipeyard.cli.options import json_option, platform_option, progress_option, referrers_option


@click.command("push")
@click.argument("image")
@click.argument("target", required=False)
@platform_option
@referrers_option
@progress_option
@json_option
@registry_options
def command(
    image: str,
    target: str | None,
    platform: str | None,
    referrers: bool,
    progress: str,
    as_json: bool,
    mirrors: tuple[str, ...],
    insecure: tuple[str, ...],
) -> None:
    """Push an image of the embedded registry, with all its platforms.

    `push app:1 registry.example.com/team/app:1` says from where to where; `push registry.example.com/team/app:1` takes
    the embedded `team/app:1`.
    """
    from pipeyard.errors import InputError
    from pipeyard.oci import parse_platform
    from pipeyard.registry.reference import Reference

    with opened_images(mirrors, insecure) as images:
        source = place(images, image)
        goal = place(images, target) if target else source
        if not goal.host:
            raise InputError(f"{target or image} names no registry to push to", hint="write HOST/REPOSITORY[:TAG]")
        if source.host and target:
            raise InputError(
                f"{image} is not in the embedded registry", hint="`pipeyard image copy` goes from any to any registry"
            )
        published = copy(
            images,
            Reference("", source.repository, source.tag, source.digest),
            goal,
            platform=parse_platform(platform) if platform else None,
            referrers=referrers,
            progress=progress,
        )
        show(published, as_json)
