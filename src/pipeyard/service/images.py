"""Images with the parts that the settings choose: which store, which registries, which destination, which cache."""

import functools
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from msgspec import structs

from pipeyard.errors import InputError, RegistryError
from pipeyard.oci import Descriptor, Platform
from pipeyard.progress import Observer, ignore
from pipeyard.registry.embedded import StoreDestination, StoreOrigin
from pipeyard.registry.exchange import Destination, ImageOrigin, ResolvedImage
from pipeyard.registry.reference import DEFAULT_HOST, Reference, parse_reference
from pipeyard.registry.store import ContentStore
from pipeyard.settings import Settings
from pipeyard.threads import NEVER, Stop, StopSignal

if TYPE_CHECKING:
    from pipeyard.image.build import BuildRequest, Built, Publication
    from pipeyard.image.sandbox import Sandbox
    from pipeyard.registry.client import Registries
    from pipeyard.registry.credentials import Credential, Keychain

    Reopen = Callable[[Keychain], AbstractContextManager[Registries]]


class StoreFirst:
    """An ImageOrigin: the embedded registry for what it stands for, the other registries for the rest.

    It stands for the account's own ECR, whose host never answers here, and for short names that were published to it,
    as a local image goes before Docker Hub with Docker.
    """

    def __init__(
        self, store: ContentStore, others: "Callable[[], ImageOrigin]", own_host: str, *, short_names: bool = True
    ) -> None:
        self._short_names = short_names
        self._store = store
        self._local = StoreOrigin(store)
        self._others = functools.cache(others)
        self._own_host = own_host

    def resolve(self, reference: Reference, platform: Platform) -> ResolvedImage:
        local = self._in_store(reference)
        return self._local.resolve(local, platform) if local else self._others().resolve(reference, platform)

    def read(self, image: ResolvedImage, blob: Descriptor, start: int = 0) -> AbstractContextManager[BinaryIO]:
        if self._store.size(blob.digest) is not None:
            return self._local.read(image, blob, start)
        return self._others().read(image, blob, start)

    def _in_store(self, reference: Reference) -> Reference | None:
        if reference.host == self._own_host:
            return reference
        if (
            not self._short_names
            or reference.host != DEFAULT_HOST
            or not (self._store.root / "catalog.sqlite").exists()
        ):
            return None
        name = reference.repository.removeprefix("library/")
        local = structs.replace(reference, repository=name)
        return local if self._store.catalog.manifest(name, local.key) is not None else None


class Images:
    """Builds images and publishes them. Made by `open_images`; safe for any number of threads.

    The client of other registries is opened when something is asked of one: many builds never leave this machine.
    """

    def __init__(
        self,
        settings: Settings,
        store: ContentStore,
        registries: "Callable[[], Registries]",
        reopen: "Reopen | None" = None,
    ) -> None:
        self.settings = settings
        self.store = store
        self._registries = registries
        self._reopen = reopen

    @property
    def registries(self) -> "Registries":
        return self._registries()

    @contextmanager
    def with_logins(self, logins: "Keychain") -> "Iterator[Images]":
        """The same images for a block in which `logins` go before all other credentials of registries."""
        if self._reopen is None:
            yield self
            return
        with self._reopen(logins) as registries:
            yield Images(self.settings, self.store, lambda: registries, self._reopen)

    @property
    def own_host(self) -> str:
        """The ECR host that the embedded registry stands for."""
        return ecr_host(self.settings)

    def origin(self, stop: Stop = NEVER, observe: Observer = ignore, *, pull: bool = False) -> ImageOrigin:
        """Where base images come from. `pull`: short names, too, are those of Docker Hub alone."""

        def others() -> ImageOrigin:
            return self.registries.origin(stop, observe, kept=self.store)

        return StoreFirst(self.store, others, self.own_host, short_names=not pull)

    def destination(
        self,
        publish: str,
        repository: str,
        *,
        registry_type: str = "private",
        stop: Stop = NEVER,
        observe: Observer = ignore,
        step: str = "publish",
    ) -> Destination:
        """`publish` is `embedded`, `ecr`, or HOST[/PREFIX]; to be closed by the caller.

        Raises InputError for a `publish` that is none of these, RegistryError when ECR has no such repository.
        """
        if publish == "embedded":
            if not self.settings.create_on_push and self.store.catalog.repository(repository) is None:
                raise RegistryError(
                    f"there is no repository {repository}, and create_on_push is off",
                    code="NAME_UNKNOWN",
                    hint=f"create it: pipeyard registry create {repository}",
                )
            return StoreDestination(self.store, repository)
        if publish == "ecr":
            from pipeyard.service.ecr import EcrRegistry, session_clients

            registry = EcrRegistry(clients=session_clients(), create_repository=self.settings.create_repository)
            reference = registry.reference(repository, registry_type)
        else:
            reference = published_reference(publish, repository)
        return self.registries.destination(reference, stop, observe, step)

    def build(
        self,
        request: "BuildRequest",
        publications: "Sequence[Publication]",
        observe: Observer = ignore,
        stop: StopSignal | None = None,
        *,
        origin: ImageOrigin | None = None,
    ) -> "Built":
        """Builds with the local cache; `publications` are closed by the caller. Raises as `build_image` does.

        `origin` is where base images come from; without one, from the embedded and all other registries.
        """
        from pipeyard.image.build import BuildParts, build_image
        from pipeyard.service.bills import bill_of_built
        from pipeyard.service.clones import cloning

        own_stop = stop or StopSignal()
        cache = self.settings.home / "cache"
        cache.mkdir(parents=True, exist_ok=True)
        with self.store.lease():
            return build_image(
                request,
                BuildParts(
                    store=self.store,
                    cache=cache,
                    origin=origin or self.origin(own_stop, observe),
                    sandbox=_sandbox,
                    clone=cloning(self.settings.home / "git", own_stop),
                    bill=bill_of_built,
                    publications=publications,
                    observe=observe,
                    stop=own_stop,
                    now_s=time.time,
                    threads=os.cpu_count() or 1,
                    cache_limit=self.settings.cache_size_mb * 1_000_000,
                ),
            )


def _sandbox(folder: Path) -> "Sandbox":
    from pipeyard.image.sandbox import open_sandbox

    return open_sandbox(folder)


def ecr_host(settings: Settings) -> str:
    suffix = "amazonaws.com.cn" if settings.region.startswith("cn-") else "amazonaws.com"
    return f"{settings.account_id}.dkr.ecr.{settings.region}.{suffix}"


def published_reference(publish: str, repository: str) -> Reference:
    """HOST[/PREFIX] and a repository, as one reference without a tag. Raises InputError."""
    host, _, prefix = publish.removeprefix("https://").removeprefix("http://").rstrip("/").partition("/")
    if not re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+)(:\d{1,5})?", host) or host == "":
        raise InputError(
            f"cannot publish to {publish!r}",
            hint="write embedded, ecr, or HOST[:PORT][/PREFIX]",
        )
    if not ("." in host or ":" in host or host == "localhost"):
        raise InputError(f"{host!r} is no registry's host", hint="write embedded, ecr, or HOST[:PORT][/PREFIX]")
    name = f"{prefix}/{repository}" if prefix else repository
    parsed = parse_reference(f"{host}/{name}", default_tag="")
    return Reference(parsed.host, parsed.repository)


class _Logins:
    """A keychain that is made when a registry asks for the first login: most builds need none."""

    def __init__(self, make: "Callable[[], Keychain]") -> None:
        self._make = make
        self._lock = threading.Lock()  # guards _made
        self._made: Keychain | None = None

    def credential(self, host: str, repository: str) -> "Credential | None":
        with self._lock:
            if self._made is None:
                self._made = self._make()
        return self._made.credential(host, repository)


@contextmanager
def open_images(settings: Settings, environ: Mapping[str, str], store: ContentStore | None = None) -> Iterator[Images]:
    """Everything that builds and publishing need, for the block. `environ` says where credentials and proxies are."""
    from pipeyard.service.embedded import open_content_store
    from pipeyard.service.workspaces import working

    lock = threading.Lock()  # guards opened
    opened: list[Registries] = []
    with ExitStack() as parts:
        parts.enter_context(working(settings.home))
        if store is None:
            store = open_content_store(settings)
            parts.callback(store.close)

        def registries() -> "Registries":
            with lock:
                if not opened:
                    opened.append(parts.enter_context(_clients(settings, environ)))
                return opened[0]

        yield Images(settings, store, registries, lambda logins: _clients(settings, environ, logins))


def _clients(
    settings: Settings, environ: Mapping[str, str], logins: "Keychain | None" = None
) -> "AbstractContextManager[Registries]":
    """`logins` go before all other credentials."""
    from pipeyard.registry.client import access_from, open_registries

    access = access_from(
        mirrors=settings.registry_mirrors,
        insecure=settings.insecure_registries,
        registries=settings.registries,
        environ=environ,
    )

    def keychain() -> "Keychain":
        from pipeyard.registry.credentials import FirstOf, keychain_from
        from pipeyard.service.ecr import EcrKeychain, session_clients

        usual = EcrKeychain(session_clients(), otherwise=keychain_from(environ))
        return FirstOf([logins, usual]) if logins is not None else usual

    return open_registries(access, _Logins(keychain))
