"""`pipeyard image tag`: further names for an image, where it is or elsewhere."""

import click

from pipeyard.cli.image_places import copy, opened_images, place, registry_options, show
from pipeyard.cli.options import json_option


@click.command("tag")
@click.argument("image")
@click.argument("targets", nargs=-1, required=True)
@json_option
@registry_options
def command(
    image: str, targets: tuple[str, ...], as_json: bool, mirrors: tuple[str, ...], insecure: tuple[str, ...]
) -> None:
    """Give an image further tags. Names without a host are the embedded registry's."""
    with opened_images(mirrors, insecure) as images:
        source = place(images, image)
        for target in [place(images, text) for text in targets]:
            show(copy(images, source, target, platform=None, referrers=False, progress="quiet"), as_json)
