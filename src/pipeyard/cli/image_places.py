"""What the commands that move images share: their options, and which repository a name means.

A name with a host is that registry's; a name without one is the embedded registry's, and so is one with the host of
the account's own ECR, which the embedded registry stands for.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pipeyard.cli.build_options import REGISTRY_OPTIONS
from pipeyard.cli.option_table import for_click
from pipeyard.cli.start import environment, pairs, settings_from

if TYPE_CHECKING:
    from pipeyard.oci import Descriptor, Platform
    from pipeyard.progress import Observer
    from pipeyard.registry.client.copying import Shelf
    from pipeyard.registry.exchange import Destination, Published
    from pipeyard.registry.reference import Reference
    from pipeyard.service.images import Images
    from pipeyard.threads import StopSignal

Command = TypeVar("Command", bound=Callable[..., Any])
STEP = "copy"


def registry_options(command: Command) -> Command:
    """--registry-mirror and --insecure-registry, as `mirrors` and `insecure`."""
    return for_click(REGISTRY_OPTIONS)(command)


@contextmanager
def opened_images(mirrors: tuple[str, ...], insecure: tuple[str, ...]) -> Iterator["Images"]:
    """The parts that the settings choose, for one command."""
    from pipeyard.service.images import open_images

    settings = settings_from(
        registry_mirrors=pairs(mirrors, "--registry-mirror") or None, insecure_registries=insecure or None
    )
    with open_images(settings, environment()) as images:
        yield images


def place(images: "Images", text: str, default_tag: str = "latest") -> "Reference":
    """Which image a name means; an empty host is the embedded registry. Raises InputError."""
    from pipeyard.registry.reference import Reference, parse_place

    found = parse_place(text, default_tag)
    return Reference("", found.repository, found.tag, found.digest) if found.host == images.own_host else found


def shelf(images: "Images", reference: "Reference", stop: "StopSignal") -> "Shelf":
    if reference.host:
        return images.registries.repository(reference, stop=stop)
    from pipeyard.registry.client.shelves import StoreShelf

    return StoreShelf(images.store, reference.repository)


def destination(images: "Images", reference: "Reference", stop: "StopSignal", observe: "Observer") -> "Destination":
    """To be closed by the caller."""
    if reference.host:
        return images.registries.destination(reference, stop, observe, STEP)
    from pipeyard.registry.embedded import StoreDestination

    return StoreDestination(images.store, reference.repository)


def copy(
    images: "Images",
    source: "Reference",
    target: "Reference",
    *,
    platform: "Platform | None",
    referrers: bool,
    progress: str,
) -> "Published":
    """Copies under the target's tag, with progress on stderr. A stop, or a failure, leaves no tag behind."""
    from pipeyard.cli.start import stopped_by_signals
    from pipeyard.cli.terminal import observer_for
    from pipeyard.errors import PipeyardError
    from pipeyard.oci import short_digest
    from pipeyard.progress import StepEnded, StepStarted, Transferred
    from pipeyard.registry.client.copying import copy_image

    with stopped_by_signals() as stop, observer_for(progress) as observe:

        def moved(blob: "Descriptor", done: int) -> None:
            if not target.host:  # a remote destination tells what it sends, and that counts
                observe(Transferred(STEP, done, blob.size, short_digest(blob.digest)))

        observe(StepStarted(STEP, f"copy {source} to {target}"))
        receiver = destination(images, target, stop, observe)
        try:
            with images.store.lease():
                copied = copy_image(
                    shelf(images, source, stop),
                    source,
                    receiver,
                    (target.tag,) if target.tag else (),
                    platform=platform,
                    with_referrers=referrers,
                    moved=moved,
                )
        except PipeyardError as error:
            observe(StepEnded(STEP, error=error.message))
            raise
        finally:
            receiver.close()
        observe(StepEnded(STEP, detail=f"{copied.referrers} referrers" if copied.referrers else ""))
        return copied.published


def show(published: "Published", as_json: bool) -> None:
    """Writes to stdout what is there now."""
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode(published).decode())
        return
    from pipeyard.cli.terminal import size_text

    for reference in published.references or (f"{published.repository}@{published.digest}",):
        click.echo(click.style(reference, fg="green"))
    click.echo(f"{published.digest}  {size_text(published.size)}")
