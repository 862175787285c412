"""`pipeyard registry serve`: the embedded registry over HTTP."""

import importlib
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from pipeyard.cli.start import environment, settings_from
from pipeyard.errors import InputError
from pipeyard.settings import Settings

if TYPE_CHECKING:
    from contextlib import ExitStack

    from pipeyard.registry.server.proxying import Upstream

_UPKEEP_S = 3600.0


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=5000, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--anonymous", type=click.Choice(["pull", "push"]), help="What callers without credentials may do.")
@click.option("--tls-cert", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="PEM, with its chain.")
@click.option("--tls-key", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="PEM.")
@click.option("--require-blobs", is_flag=True, help="Refuse manifests that refer to what was not pushed.")
def command(
    host: str,
    port: int,
    anonymous: Literal["pull", "push"] | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    require_blobs: bool,
) -> int:
    """Serves the images under $PIPEYARD_HOME to Docker, Podman and every other client."""
    serve_registry(host, port, anonymous=anonymous, tls_cert=tls_cert, tls_key=tls_key, require_blobs=require_blobs)
    return 0


def serve_registry(
    host: str,
    port: int,
    *,
    anonymous: Literal["pull", "push"] | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    require_blobs: bool = False,
    with_aws: bool = False,
) -> None:
    """Serves until SIGINT or SIGTERM. Says on stderr where, and where the password is.

    `with_aws`: the AWS endpoint answers on the same port, and what arrives starts the pipelines that wait for it.
    Each hour lifecycle policies are carried out, and uploads removed that nobody goes on with.
    """
    from contextlib import ExitStack

    from pipeyard.registry.collection import expire_uploads
    from pipeyard.registry.lifecycle import enforce_all
    from pipeyard.registry.server.access import Access, User
    from pipeyard.registry.server.app import registry_app
    from pipeyard.registry.server.serving import bind, kept_secret, repeated, serve, tls_context
    from pipeyard.service.embedded import open_content_store, users_from

    if tls_key is not None and tls_cert is None:
        raise InputError("--tls-key without --tls-cert")
    settings = settings_from()
    root = settings.home / "registry"
    store = open_content_store(settings)
    users = users_from(settings)
    password_file = root / "password"
    own_user = not users and anonymous != "push"
    if own_user:
        users = (User(name="pipeyard", password=kept_secret(password_file)),)
        click.echo(f"user pipeyard, password in {password_file}", err=True)
    tls = tls_context(tls_cert, tls_key) if tls_cert else None
    listening = bind(host, port)
    shown = f"[{host}]" if ":" in host else host

    scheme = "https" if tls else "http"

    def ready() -> None:
        url = f"{scheme}://{shown}:{listening.getsockname()[1]}"
        click.echo(f"registry at {url}", err=True)
        if own_user:
            address = url.partition("//")[2]
            click.echo(f"log in: docker login {address} -u pipeyard --password-stdin < {password_file}", err=True)
        if with_aws:
            click.echo(f"AWS endpoint at {url} (AWS_ENDPOINT_URL), account {settings.account_id}", err=True)

    with ExitStack() as parts:
        parts.callback(store.close)
        endpoint = None
        if with_aws:
            # By name, as the table of commands: the front doors do not know each other.
            from pipeyard.service.arrivals import following

            aws = importlib.import_module("pipeyard.aws.opening")
            endpoint = aws.open_endpoint(
                settings, store, parts, scheme=scheme, sparse=not require_blobs, environ=environment()
            )
            parts.enter_context(following(settings, store, endpoint.engine))
            if endpoint.credentials is not None:
                click.echo(f"AWS access key in {endpoint.credentials} (AWS_SHARED_CREDENTIALS_FILE)", err=True)
        access = Access(
            users=users,
            anonymous=anonymous or "",
            verify=endpoint.verify if endpoint else None,
            secret=kept_secret(root / "token-key").encode(),
        )
        registry = registry_app(
            store,
            access,
            create="push" if settings.create_on_push else "explicit",
            sparse=not require_blobs,
            upstreams=_upstreams(settings, parts),
            redirect=settings.registry_redirect,
        )
        parts.enter_context(repeated(lambda: enforce_all(store), _UPKEEP_S, "lifecycle policies"))
        parts.enter_context(repeated(lambda: expire_uploads(store), _UPKEEP_S, "expiry of uploads"))
        serve(
            endpoint.wrap(registry) if endpoint else registry,
            listening,
            tls=tls,
            ready=ready,
            stop_signals=(signal.SIGINT, signal.SIGTERM),
        )


def _upstreams(settings: Settings, parts: "ExitStack") -> "Mapping[str, Upstream]":
    """The registries with `proxy = true`; the client is opened only for them."""
    hosts = [host for host, one in settings.registries.items() if one.proxy]
    if not hosts:
        return {}
    from pipeyard.registry.client import access_from, open_registries
    from pipeyard.registry.credentials import keychain_from
    from pipeyard.registry.server.upstreams import ClientUpstream

    environ = environment()
    reached = access_from(
        mirrors=settings.registry_mirrors,
        insecure=settings.insecure_registries,
        registries=settings.registries,
        environ=environ,
    )
    registries = parts.enter_context(open_registries(reached, keychain_from(environ)))
    return {host: ClientUpstream(registries, host) for host in hosts}
