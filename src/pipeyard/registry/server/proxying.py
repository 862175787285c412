"""Pull-through cache: what an upstream registry has can be pulled here, and is kept.

A repository `docker.io/library/alpine` here is `library/alpine` there (`localhost-5000/...` for a host with a port);
clients that use us as a mirror name the host in the query parameter `ns` (distribution-spec, "Registry Proxying"). A
tag is asked for upstream at most once in `fresh_s`; while upstream does not answer, what is here is served.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import BinaryIO, Protocol

from pipeyard.errors import PipeyardError, RegistryError
from pipeyard.oci import Digest, parse_digest
from pipeyard.registry.exchange import Document
from pipeyard.registry.manifests import examine
from pipeyard.registry.server.answers import Refusal
from pipeyard.registry.server.coming import Coming
from pipeyard.registry.store import ContentStore

FRESH_S = 300.0
_CHUNK = 1 << 18
_PARALLEL = 8

_log = logging.getLogger(__name__)


class Upstream(Protocol):
    """One registry behind. Methods raise a PipeyardError or OSError when it does not answer well."""

    def digest(self, repository: str, tag: str) -> Digest | None:
        """What a tag names now, or None when there is no such tag."""

    def manifest(self, repository: str, digest: Digest) -> Document | None: ...

    def blob_size(self, repository: str, digest: Digest) -> int | None:
        """Bytes of a blob, or None when there is none."""

    def blob(self, repository: str, digest: Digest, size: int) -> AbstractContextManager[BinaryIO]: ...


class Proxy:
    """`upstreams` by the host as it is written in references. Belongs to one event loop."""

    def __init__(self, store: ContentStore, upstreams: Mapping[str, Upstream], fresh_s: float = FRESH_S) -> None:
        self._store = store
        # A port's colon cannot be in a repository's name.
        self._prefixes = {host: host.replace(":", "-") for host in upstreams}
        self._upstreams = {self._prefixes[host]: upstream for host, upstream in upstreams.items()}
        self._fresh_ms = int(fresh_s * 1000)
        self._asked_ms: dict[tuple[str, str], int] = {}
        self._coming: dict[
            tuple[str, str], asyncio.Future[Coming | None]
        ] = {}  # what several clients wait for comes once
        self._blobs: dict[tuple[str, Digest], Coming] = {}  # on their way; single operations, each atomic
        self._fetches = ThreadPoolExecutor(_PARALLEL, thread_name_prefix="fetch")
        # Not the threads that serve uploads: a slow upstream must not hold them.
        self._threads = ThreadPoolExecutor(_PARALLEL, thread_name_prefix="upstream")

    def is_cached(self, name: str) -> bool:
        """Whether a repository is a cache, into which nobody pushes."""
        return name.partition("/")[0] in self._upstreams

    def local_name(self, name: str, namespace: str) -> str:
        """The repository here that a mirror's client means."""
        prefix = self._prefixes.get(namespace)
        return f"{prefix}/{name}" if prefix else name

    async def bring_manifest(self, name: str, key: str) -> None:
        """Afterwards the manifest is in the store, if it is anywhere. Raises Refusal (502)."""
        if self.is_cached(name):
            await self._once(name, key, lambda: self._fetch_manifest(name, key))

    async def bring_blob(self, name: str, digest: Digest, *, wanted: bool) -> Coming | None:
        """None for what is in the store, or nowhere; else a blob that can be read while it comes.

        It comes only if it is `wanted`; otherwise its size is known. Raises Refusal (404, 502).
        """
        if not self.is_cached(name):
            return None
        if self._store.size(digest) is not None and self._store.catalog.linked(name, digest):
            return None
        return await self._once(name, f"{digest} {wanted}", lambda: self._find_blob(name, digest, wanted))

    async def _once(self, name: str, key: str, work: Callable[[], Coming | None]) -> Coming | None:
        coming = self._coming.get((name, key))
        if coming is None:
            coming = asyncio.get_running_loop().run_in_executor(self._threads, work)
            self._coming[name, key] = coming
            coming.add_done_callback(lambda _: self._coming.pop((name, key), None))
        try:
            return await asyncio.shield(coming)  # one client that goes away does not take it from the others
        except (PipeyardError, OSError) as error:
            status, code = 502, "MANIFEST_UNKNOWN"
            if isinstance(error, RegistryError) and error.status in (404, 429):
                status, code = error.status, error.code or ("TOOMANYREQUESTS" if error.status == 429 else code)
            raise Refusal(status, code, f"{name.partition('/')[0]}: {error}") from error

    def _fetch_manifest(self, name: str, key: str) -> None:
        host, _, repository = name.partition("/")
        upstream = self._upstreams[host]
        here = self._store.catalog.manifest(name, key)
        by_digest = ":" in key
        now_ms = self._store.now_ms()
        if here is not None and (by_digest or now_ms - self._asked_ms.get((name, key), 0) < self._fresh_ms):
            return
        try:
            digest = parse_digest(key) if by_digest else upstream.digest(repository, key)
            if digest is None:
                if here is not None:
                    self._store.catalog.delete_tag(name, key)
                return
            self._asked_ms[name, key] = now_ms
            if here is not None and here.digest == digest:
                return
            document = upstream.manifest(repository, digest)
            if document is not None:
                facts = examine(document.data, document.media_type, digest)
                self._store.put(name, [facts], [] if by_digest else [key], adopt=True, sparse=True)
        except (PipeyardError, OSError) as error:
            if here is None:
                raise
            _log.warning("%s does not answer, serving what is here of %s: %s", host, name, error)

    def _find_blob(self, name: str, digest: Digest, wanted: bool) -> Coming | None:
        host, _, repository = name.partition("/")
        if self._store.size(digest) is not None:
            if self._store.catalog.names(name, digest):
                self._keep(name, digest)
            return (
                None  # else it is here for another repository: whether upstream would give it for this one, who knows
            )
        coming = self._blobs.get((name, digest))
        if coming is None:
            size = self._upstreams[host].blob_size(repository, digest)
            if size is None:
                raise RegistryError(f"{repository} has no blob {digest}", status=404, code="BLOB_UNKNOWN")
            coming = Coming(size, lambda start: self._store.read(digest, start))
            if wanted:
                self._blobs[name, digest] = coming
                self._fetches.submit(self._fetch_blob, name, digest, coming)
        return coming

    def _fetch_blob(self, name: str, digest: Digest, coming: Coming) -> None:
        """To its end, also when no client waits any more: the next one will."""
        host, _, repository = name.partition("/")
        try:
            with (
                self._upstreams[host].blob(repository, digest, coming.size) as source,
                self._store.writer(digest.partition(":")[0]) as out,
            ):
                while data := source.read(_CHUNK):
                    out.write(data)
                    coming.moved(out.flushed(), len(data))
                out.commit(expected=digest)
            self._keep(name, digest)
        except Exception as error:  # noqa: BLE001  (a thread's boundary: those who wait must hear of it)
            _log.warning("%s: blob %s did not come: %s", name, digest, error)
            coming.failed(error)
        else:
            coming.stored()
        finally:
            self._blobs.pop((name, digest), None)

    def _keep(self, name: str, digest: Digest) -> None:
        self._store.make_durable([digest])
        self._store.mount(name, digest)
