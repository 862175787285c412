"""`pipeyard image sbom`: the packages that are in an image, as an SPDX document."""

import click

from pipeyard.cli.image_places import opened_images, place, registry_options
from pipeyard.cli.options import platform_option


@click.command("sbom")
@click.argument("image")
@platform_option
@registry_options
def command(image: str, platform: str | None, mirrors: tuple[str, ...], insecure: tuple[str, ...]) -> None:
    """List the packages in an image as SPDX 2.3 JSON. Names without a host are the embedded registry's."""
    from pipeyard.cli.start import stopped_by_signals
    from pipeyard.oci import parse_platform
    from pipeyard.service.bills import bill_of_image

    with opened_images(mirrors, insecure) as images, stopped_by_signals() as stop:
        document, notes = bill_of_image(images, place(images, image), parse_platform(platform or "local"), stop)
    for note in notes:
        click.echo(f"pipeyard: note: {note}", err=True)
    click.echo(document)
