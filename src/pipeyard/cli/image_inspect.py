"""`pipeyard image inspect`: manifest, configuration, platforms and referrers of an image, without its layers."""

from typing import TYPE_CHECKING, Any

import click

from pipeyard.cli.image_places import opened_images, place, registry_options, shelf
from pipeyard.cli.options import platform_option

if TYPE_CHECKING:
    from pipeyard.oci import Descriptor
    from pipeyard.registry.client.copying import Inspected, Shelf


@click.command("inspect")
@click.argument("image")
@platform_option
@click.option("--raw", is_flag=True, help="The manifest's or index's own bytes.")
@click.option("--config", "only_config", is_flag=True, help="The image configuration alone.")
@registry_options
def command(
    image: str,
    platform: str | None,
    raw: bool,
    only_config: bool,
    mirrors: tuple[str, ...],
    insecure: tuple[str, ...],
) -> None:
    """Show an image as JSON. Names without a host are the embedded registry's."""
    import json

    from pipeyard.cli.start import stopped_by_signals
    from pipeyard.oci import ImageIndex, parse_platform
    from pipeyard.registry.client.copying import inspect_image

    with opened_images(mirrors, insecure) as images, stopped_by_signals() as stop:
        reference = place(images, image)
        source = shelf(images, reference, stop)
        wanted = parse_platform(platform) if platform else None
        found = inspect_image(source, reference, wanted)
        if only_config and isinstance(found.manifest, ImageIndex):
            found = inspect_image(source, reference, parse_platform("local"))
        if raw:
            click.echo(found.document.data, nl=False)
        elif only_config:
            click.echo(json.dumps(_config(source, found), indent=2))
        else:
            click.echo(
                json.dumps({"name": reference.name, "reference": str(reference), **_summary(source, found)}, indent=2)
            )


def _config(source: "Shelf", found: "Inspected") -> Any:
    import msgspec

    from pipeyard.oci import ImageIndex
    from pipeyard.registry.exchange import checked_config

    if isinstance(found.manifest, ImageIndex):
        return {}
    checked_config(found.manifest.config, found.root.digest)
    with source.read(found.manifest.config) as stream:
        data = stream.read()
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}  # an artifact, whose configuration is its own business


def _summary(source: "Shelf", found: "Inspected") -> dict[str, Any]:
    from pipeyard.oci import ImageIndex

    summary: dict[str, Any] = {"digest": found.root.digest, "mediaType": found.root.media_type}
    if found.manifest.artifact_type:
        summary["artifactType"] = found.manifest.artifact_type
    if found.manifest.annotations:
        summary["annotations"] = found.manifest.annotations
    if isinstance(found.manifest, ImageIndex):
        summary["manifests"] = [_described(member) for member in found.manifest.manifests]
    else:
        parts = (found.manifest.config, *found.manifest.layers)
        summary["size"] = found.root.size + sum(part.size for part in parts)
        summary["layers"] = [_described(layer) for layer in found.manifest.layers]
        summary["config"] = _config(source, found)
    if referrers := source.referrers(found.root.digest):
        summary["referrers"] = [_described(descriptor) for descriptor in referrers]
    return summary


def _described(descriptor: "Descriptor") -> Any:
    import msgspec

    return msgspec.to_builtins(descriptor)
