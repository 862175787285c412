"""`pipeyard image ls`: what the embedded registry holds, or the tags of another registry's repository."""

from typing import TYPE_CHECKING

import click

from pipeyard.cli.image_places import opened_images, place, registry_options
from pipeyard.cli.options import json_option

if TYPE_CHECKING:
    from pipeyard.registry.images import ImageRecord
    from pipeyard.registry.reference import Reference
    from pipeyard.service.images import Images


@click.command("ls")
@click.argument("repository", required=False)
@click.option("--all", "untagged", is_flag=True, help="Also images without a tag.")
@json_option
@registry_options
def command(
    repository: str | None, untagged: bool, as_json: bool, mirrors: tuple[str, ...], insecure: tuple[str, ...]
) -> None:
    """List images of the embedded registry (or one repository of it), or the tags of HOST/REPOSITORY.

    The JSON has the shape of ECR's DescribeImages.
    """
    with opened_images(mirrors, insecure) as images:
        reference = place(images, repository, default_tag="") if repository else None
        if reference is not None and reference.host:
            _list_remote(images, reference, as_json)
        else:
            _list_embedded(images, reference, untagged, as_json)


def _list_remote(images: "Images", reference: "Reference", as_json: bool) -> None:
    tags = [tag for tag in images.registries.repository(reference).tags() if reference.tag in ("", tag)]
    if as_json:
        _echo_json([{"repositoryName": reference.name, "imageTags": [tag]} for tag in tags])
        return
    for tag in tags:
        click.echo(f"{reference.name}:{tag}")


def _list_embedded(images: "Images", reference: "Reference | None", untagged: bool, as_json: bool) -> None:
    catalog = images.store.catalog
    names = [reference.repository] if reference else [record.name for record in catalog.repositories()]
    wanted = reference.tag if reference else ""
    rows = [
        (name, record)
        for name in names
        for record in catalog.images(name)
        if (record.tags or (untagged and not record.parents)) and (not wanted or wanted in record.tags)
    ]
    if as_json:
        _echo_json([_details(name, record, images.settings.account_id) for name, record in rows])
        return
    if not rows:
        click.echo("no images; `pipeyard image build` and `pipeyard image pull` bring some", err=True)
        return
    _show_table([line for name, record in rows for line in _lines(name, record)])


def _lines(name: str, record: "ImageRecord") -> list[tuple[str, str, str, str]]:
    from datetime import UTC, datetime

    from pipeyard.cli.terminal import size_text
    from pipeyard.oci import short_digest

    pushed = datetime.fromtimestamp(record.pushed_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
    return [
        (f"{name}:{tag}" if tag else f"{name}@", short_digest(record.digest), size_text(record.image_bytes), pushed)
        for tag in record.tags or ("",)
    ]


def _show_table(lines: list[tuple[str, str, str, str]]) -> None:
    head = ("IMAGE", "DIGEST", "SIZE", "PUSHED (UTC)")
    widths = [max(len(line[column]) for line in [head, *lines]) for column in range(len(head))]
    for line in [head, *lines]:
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        click.echo(click.style(text, dim=True) if line is head else text)


def _details(name: str, record: "ImageRecord", account_id: str) -> dict[str, object]:
    """Source: ECR API, ImageDetail; its time is in seconds, as the AWS command line gives it."""
    details: dict[str, object] = {
        "registryId": account_id,
        "repositoryName": name,
        "imageDigest": record.digest,
        "imageTags": list(record.tags),
        "imageSizeInBytes": record.image_bytes,
        "imagePushedAt": record.pushed_ms / 1000,
        "imageManifestMediaType": record.media_type,
    }
    if record.artifact_type:
        details["artifactMediaType"] = record.artifact_type
    return details


def _echo_json(details: list[dict[str, object]]) -> None:
    import json

    click.echo(json.dumps({"imageDetails": details}, indent=2))
