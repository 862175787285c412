"""`pipeyard image pull`: from another registry into the embedded one."""

import click

from pipeyard.cli.image_places import copy, opened_images, place, registry_options, show
from pipeyard.cli.options import all_platforms_option, json_option, platform_option, progress_option, referrers_option


@click.command("pull")
@click.argument("image")
@click.argument("target", required=False)
@all_platforms_option
@platform_option
@referrers_option
@progress_option
@json_option
@registry_options
def command(
    image: str,
    target: str | None,
    all_platforms: bool,
    platform: str | None,
    referrers: bool,
    progress: str,
    as_json: bool,
    mirrors: tuple[str, ...],
    insecure: tuple[str, ...],
) -> None:
    """Pull an image into the embedded registry, as TARGET or under its own name without the host.

    A name without a host is Docker Hub's, as everywhere.
    """
    from pipeyard.errors import InputError
    from pipeyard.oci import parse_platform
    from pipeyard.registry.reference import DEFAULT_HOST, Reference, parse_reference

    with opened_images(mirrors, insecure) as images:
        source = parse_reference(image)
        name = source.repository
        if source.host == DEFAULT_HOST:
            name = name.removeprefix("library/")  # `pull alpine` gives what `FROM alpine` and `image ls` call alpine
        goal = place(images, target) if target else Reference("", name, source.tag)
        if goal.host:
            raise InputError(
                f"{target} is not in the embedded registry", hint="`pipeyard image copy` goes from any to any registry"
            )
        published = copy(
            images,
            source,
            goal,
            platform=None if all_platforms else parse_platform(platform or "local"),
            referrers=referrers,
            progress=progress,
        )
        show(published, as_json)
