"""`pipeyard image copy`: from any registry to any other, the embedded one among them."""

import click

from pipeyard.cli.image_places import (
    copy,
    json_option,
    opened_images,
    place,
    platform_option,
    progress_option,
    registry_options,
    show,
)


@click.command("copy")
@click.argument("source")
@click.argument("target")
@click.option("--all", "all_platforms", is_flag=True, help="All platforms of the image (otherwise this machine's).")
@platform_option
@click.option("--referrers", is_flag=True, help="Also signatures, SBOMs and whatever else refers to the image.")
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
