"""`pipeyard registry collect`: gives back the disk space of what no image needs."""

import click

from pipeyard.cli.start import settings_from, stopped_by_signals


@click.command("collect")
@click.option(
    "--grace-hours",
    default=24.0,
    show_default=True,
    type=click.FloatRange(0),
    help="Younger content stays in any case.",
)
def command(grace_hours: float) -> int:
    """Removes blobs that no published image needs; builds, pushes and pulls may run meanwhile.

    Layers that only the build cache knows go too, once they were not used for that long.
    """
    from pipeyard.registry.collection import collect
    from pipeyard.service.embedded import open_content_store

    store = open_content_store(settings_from())
    try:
        with stopped_by_signals() as stop:
            done = collect(store, grace_s=grace_hours * 3600, stop=stop)
    finally:
        store.close()
    click.echo(f"{done.blobs} blobs with {done.bytes} bytes removed, {done.kept} kept")
    return 0
