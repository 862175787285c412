"""Every registry out there, opened once: the stack of transports, and repositories over it."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from msgspec import Struct

from pipeyard.progress import Observer, ignore
from pipeyard.registry.blobs import BlobStore
from pipeyard.registry.client.authentication import authenticated
from pipeyard.registry.client.destination import RemoteDestination
from pipeyard.registry.client.messages import Transport
from pipeyard.registry.client.origin import RemoteOrigin
from pipeyard.registry.client.repository import Repository
from pipeyard.registry.client.retries import Backoff, retrying
from pipeyard.registry.client.routes import addressed, api_host, mirrored, plain, redirected
from pipeyard.registry.client.uploads import Patience
from pipeyard.registry.client.wire import Network, Wire
from pipeyard.registry.reference import Reference
from pipeyard.settings import RegistrySettings
from pipeyard.threads import NEVER, Stop

if TYPE_CHECKING:
    from pipeyard.registry.credentials import Keychain


class Access(Struct, frozen=True, kw_only=True):
    """How registries are reached. Hosts as written in references."""

    mirrors: Mapping[str, str] = {}  # host -> base URL that is asked first
    addresses: Mapping[str, str] = {}  # host -> base URL where it really is, for pushing too
    insecure: frozenset[str] = frozenset()  # plain HTTP, or TLS that nobody verifies
    network: Network = Network()
    backoff: Backoff = Backoff()
    uploads: int = 4  # blobs on their way to one registry at a time, for all destinations together


def access_from(
    *,
    mirrors: Mapping[str, str],
    insecure: tuple[str, ...],
    registries: Mapping[str, RegistrySettings],
    environ: Mapping[str, str],
) -> Access:
    """What settings and environment say; `environ` is looked at for proxies and SSL_CERT_FILE alone."""
    from pipeyard import __version__

    open_hosts = frozenset({*insecure, *(host for host, one in registries.items() if one.insecure)})
    all_mirrors = {host: one.mirror for host, one in registries.items() if one.mirror}
    all_mirrors.update(mirrors)
    proxies = {
        scheme: found
        for scheme in ("http", "https")
        if (found := _either(environ, f"{scheme}_proxy") or _either(environ, "all_proxy"))
    }
    network = Network(
        ca_file=environ.get("SSL_CERT_FILE", ""),
        ca_files={api_host(host): one.ca_file for host, one in registries.items() if one.ca_file},
        unverified=frozenset(api_host(host) for host in open_hosts),
        proxies=proxies,
        no_proxy=_either(environ, "no_proxy"),
        user_agent=f"pipeyard/{__version__}",
    )
    addresses = {api_host(host): one.address for host, one in registries.items() if one.address}
    return Access(mirrors=all_mirrors, addresses=addresses, insecure=open_hosts, network=network)


def _either(environ: Mapping[str, str], name: str) -> str:
    """Lower case first, as curl and Go do."""
    return environ.get(name) or environ.get(name.upper(), "")


class Registries:
    """All registries but the embedded one, over connections that are shared. Thread-safe."""

    def __init__(self, send: Transport, access: Access) -> None:
        self._send = send
        self._access = access
        self._lock = threading.Lock()  # guards _turns
        self._turns: dict[str, threading.Semaphore] = {}

    def repository(self, reference: Reference, access: tuple[str, ...] = ("pull",), stop: Stop = NEVER) -> Repository:
        return Repository(reference.host, reference.repository, self._send, access=access, stop=stop)

    def origin(self, stop: Stop = NEVER, observe: Observer = ignore, kept: BlobStore | None = None) -> RemoteOrigin:
        """For one build or copy: it remembers what references meant. What it fetches stays in the store `kept`."""
        return RemoteOrigin(lambda reference: self.repository(reference, stop=stop), observe, kept)

    def destination(
        self, reference: Reference, stop: Stop = NEVER, observe: Observer = ignore, step: str = "publish"
    ) -> RemoteDestination:
        """For one image; to be closed by the caller."""
        return RemoteDestination(
            self.repository(reference, ("pull", "push"), stop),
            stop=stop,
            observe=observe,
            step=step,
            uploads=self._access.uploads,
            turns=self._turns_at(reference.host),
            patience=Patience(policy=self._access.backoff),
        )

    def _turns_at(self, host: str) -> threading.Semaphore:
        with self._lock:
            return self._turns.setdefault(host, threading.Semaphore(self._access.uploads))


@contextmanager
def open_registries(access: Access, keychain: "Keychain") -> Iterator[Registries]:
    """The client of all registries for the time of the block; connections are kept until its end."""
    insecure = frozenset(api_host(host) for host in access.insecure)
    wire = Wire(access.network)
    send = addressed(retrying(plain(wire, insecure), access.backoff, now_s=time.time), access.addresses)
    try:
        yield Registries(mirrored(redirected(authenticated(send, keychain)), access.mirrors), access)
    finally:
        wire.close()
