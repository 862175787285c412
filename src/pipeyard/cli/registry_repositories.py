"""`pipeyard registry create|immutable|lifecycle`: what ECR's users set on a repository, without the AWS endpoint."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeyard.cli.start import settings_from
from pipeyard.errors import InputError

if TYPE_CHECKING:
    from pipeyard.registry.lifecycle import Expiry
    from pipeyard.registry.store import ContentStore


@click.command("create")
@click.argument("repository")
@click.option("--immutable", is_flag=True, help="Tags, once set, stay.")
def create(repository: str, immutable: bool) -> None:
    """Creates a repository; needed where create_on_push is off."""
    with _store() as store:
        if not store.catalog.create_repository(repository, store.now_ms()):
            raise InputError(f"the repository {repository} exists already")
        if immutable:
            store.catalog.configure(repository, immutable=True)
    click.echo(f"created {repository}")


@click.command("immutable")
@click.argument("repository")
@click.option("--off", is_flag=True, help="Let tags move again.")
@click.option("--except", "exceptions", multiple=True, metavar="TAG", help="Tags, `*` is any text, that are different.")
def immutable(repository: str, off: bool, exceptions: tuple[str, ...]) -> None:
    """Fixes the tags of a repository, or lets them move again."""
    with _repository(repository) as store:
        store.catalog.configure(repository, immutable=not off, exclusions=exceptions)
    but = f", except {', '.join(exceptions)}" if exceptions else ""
    click.echo(f"tags of {repository} {'can move' if off else 'stay'}{but}")


@click.command("lifecycle")
@click.argument("repository")
@click.option("--policy", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="ECR's JSON document.")
@click.option("--preview", "only_preview", is_flag=True, help="Show what would expire; keep and delete nothing.")
@click.option("--enforce", "now", is_flag=True, help="Carry the policy out now; a server does it each hour.")
@click.option("--remove", is_flag=True, help="Take the policy away.")
def lifecycle(repository: str, policy: Path | None, only_preview: bool, now: bool, remove: bool) -> None:
    """Sets, shows, previews or carries out a repository's lifecycle policy."""
    from pipeyard.registry.lifecycle import enforce, parse_policy, preview

    if remove and (policy or only_preview or now):
        raise InputError("--remove goes with no other option")
    if only_preview and now:
        raise InputError("--preview shows and --enforce does: choose one")
    with _repository(repository) as store:
        record = store.catalog.repository(repository)
        text = policy.read_text(encoding="utf-8") if policy else record.lifecycle if record else ""
        if remove:
            store.catalog.configure(repository, lifecycle="")
            click.echo(f"{repository} has no lifecycle policy any more")
            return
        if not text:
            raise InputError(f"{repository} has no lifecycle policy", hint="give one: --policy FILE")
        parsed = parse_policy(text)
        if only_preview:
            _show(preview(parsed, store.catalog.images(repository), store.now_ms()), "would expire")
            return
        if policy:
            store.catalog.configure(repository, lifecycle=text)
            click.echo(f"{repository} has the lifecycle policy of {policy}")
        if now:
            _show(enforce(store, repository), "expired")
        elif not policy:
            click.echo(text)


def _show(due: "tuple[Expiry, ...]", happened: str) -> None:
    for each in due:
        if each.action != "expire":
            continue
        tags = ", ".join(each.image.tags) or "untagged"
        pushed = datetime.fromtimestamp(each.image.pushed_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
        click.echo(f"{each.image.digest}  {tags}  pushed {pushed}  {happened} by rule {each.rule_priority}")
    click.echo(f"{sum(each.action == 'expire' for each in due)} images {happened}")


@contextmanager
def _store() -> "Iterator[ContentStore]":
    from pipeyard.service.embedded import open_content_store

    store = open_content_store(settings_from())
    try:
        yield store
    finally:
        store.close()


@contextmanager
def _repository(name: str) -> "Iterator[ContentStore]":
    """The store, of which a repository is wanted. Raises InputError when it has none of that name."""
    with _store() as store:
        if store.catalog.repository(name) is None:
            raise InputError(f"there is no repository {name}", hint=f"create it: pipeyard registry create {name}")
        yield store
