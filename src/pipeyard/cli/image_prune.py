"""`pipeyard image prune`: gives back the disk space of the build cache."""

import click

from pipeyard.cli.start import become_builder, settings_from
from pipeyard.errors import InputError


@click.command("prune")
@click.option("--all", "everything", is_flag=True, help="Keep nothing but what running builds use.")
@click.option(
    "--keep-storage", metavar="BYTES", help="Keep this much, such as 10g (default: the setting cache_size_mb)."
)
def command(everything: bool, keep_storage: str | None) -> int:
    """Removes what builds used longest ago from the cache; builds may run meanwhile, and published images stay.

    Layers that only the cache knew go with `pipeyard registry collect`.
    """
    from pipeyard.image.build.cache import BuildCache
    from pipeyard.image.dockerfile.quantities import parse_size

    become_builder()
    settings = settings_from()
    limit = 0 if everything else settings.cache_size_mb * 1_000_000
    if keep_storage is not None and not everything:
        wanted = parse_size(keep_storage)
        if wanted is None or wanted < 0:
            raise InputError(f"--keep-storage {keep_storage!r} is no number of bytes", hint="such as 512m or 10g")
        limit = wanted
    cache = BuildCache(settings.home / "cache")
    freed = 0
    if (cache.root / "records").is_dir():
        with cache.lease():
            freed = cache.prune(limit)
    click.echo(f"{freed} bytes removed")
    return 0
