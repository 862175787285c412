"""`pipeyard image rm`: tags and images removed; what nothing refers to any more goes at the next prune."""

from typing import TYPE_CHECKING

import click

from pipeyard.cli.image_places import opened_images, place, registry_options

if TYPE_CHECKING:
    from pipeyard.registry.reference import Reference
    from pipeyard.service.images import Images


@click.command("rm")
@click.argument("names", nargs=-1, required=True, metavar="IMAGE...")
@registry_options
def command(names: tuple[str, ...], mirrors: tuple[str, ...], insecure: tuple[str, ...]) -> None:
    """Remove tags, or images by NAME@DIGEST with every tag they have.

    Removing the last tag removes the image, as in ECR. Names without a host are the embedded registry's.
    """
    from pipeyard.registry.client.origin import no_image

    with opened_images(mirrors, insecure) as images:
        for reference in [place(images, text) for text in names]:
            removed = _remove_remote(images, reference) if reference.host else _remove_embedded(images, reference)
            if not removed:
                raise no_image(reference)
            click.echo(f"removed {reference}")


def _remove_remote(images: "Images", reference: "Reference") -> bool:
    return images.registries.repository(reference, ("pull", "push", "delete")).delete(reference.key)


def _remove_embedded(images: "Images", reference: "Reference") -> bool:
    catalog = images.store.catalog
    name = reference.repository
    if catalog.repository(name) is None:
        return False
    if reference.digest is not None:
        return catalog.delete_manifests(name, [reference.digest]) > 0
    found = catalog.manifest(name, reference.tag)
    if found is None or not catalog.delete_tag(name, reference.tag):
        return False
    record = next((image for image in catalog.images(name) if image.digest == found.digest), None)
    if record is not None and not record.tags and not record.parents:
        catalog.delete_manifests(name, [found.digest])
    return True
