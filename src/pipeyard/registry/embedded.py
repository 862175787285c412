"""The embedded registry as origin of base images and destination of builds: all in the content store, nothing moves."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from threading import Lock
from typing import TYPE_CHECKING, BinaryIO

from msgspec import structs

from pipeyard.errors import InputError, RegistryError
from pipeyard.oci import (
    Descriptor,
    Digest,
    ImageIndex,
    ImageManifest,
    Platform,
    decode_config,
    decode_manifest,
)
from pipeyard.registry.choosing import choose, image_size
from pipeyard.registry.exchange import Document, Offer, Published, ResolvedImage, checked_config
from pipeyard.registry.growing import GrowingBlob
from pipeyard.registry.manifests import examine
from pipeyard.registry.reference import Reference, is_repository_name
from pipeyard.registry.store import ContentStore

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

_CHUNK = 1 << 20
_PARALLEL = 4


class StoreOrigin:
    """An ImageOrigin over the store; of a reference it looks at the repository, tag and digest, not at the host."""

    def __init__(self, store: ContentStore) -> None:
        self._store = store

    def resolve(self, reference: Reference, platform: Platform) -> ResolvedImage:
        found = self._store.catalog.manifest(reference.repository, reference.key)
        if found is None:
            raise InputError(f"{reference} is not in the embedded registry", hint=self._hint(reference.repository))
        root = Descriptor(media_type=found.media_type, digest=found.digest, size=len(found.data))
        descriptor, manifest = self._choose(reference, root, found.data, platform)
        for blob in (manifest.config, *manifest.layers):
            held = self._store.size(blob.digest)  # marks them as in use, for the collection
            if blob is manifest.config and held is not None:
                checked_config(structs.replace(blob, size=held), str(reference))
        with self._store.read(manifest.config.digest) as stream:
            config = decode_config(stream.read())
        return ResolvedImage(reference=reference, root=root, descriptor=descriptor, manifest=manifest, config=config)

    def read(self, image: ResolvedImage, blob: Descriptor, start: int = 0) -> AbstractContextManager[BinaryIO]:
        """Content of the store was verified when it was named."""
        return self._store.read(blob.digest, start)

    def _choose(
        self, reference: Reference, root: Descriptor, data: bytes, platform: Platform
    ) -> tuple[Descriptor, ImageManifest]:
        catalog, chosen = self._store.catalog, root
        document = decode_manifest(data, root.media_type)
        if isinstance(document, ImageIndex):
            chosen = choose(
                document, platform, str(reference), lambda digest: catalog.holds(reference.repository, digest)
            )
            stored = catalog.manifest(reference.repository, chosen.digest)
            if stored is None:
                raise InputError(
                    f"{reference} lists {chosen.digest} for {platform}, which is not in the embedded registry",
                    hint="push the image for that platform",
                )
            document = decode_manifest(stored.data, chosen.media_type)
            if isinstance(document, ImageIndex):
                raise InputError(f"{reference} is an index within an index, which is not an image")
        return chosen, document

    def _hint(self, repository: str) -> str:
        try:
            tags = self._store.catalog.tags(repository)
        except RegistryError:
            return "build or push it first"
        return f"{repository} has the tags {', '.join(tags[:10])}" if tags else "that repository has no tags"


class StoreDestination:
    """A Destination that is one repository of the store. `host` is how people will write it: `localhost:8470`."""

    def __init__(self, store: ContentStore, repository: str, host: str = "") -> None:
        if not is_repository_name(repository):
            raise InputError(f"{repository!r} is not a repository name", hint="lower-case letters, digits, . _ - and /")
        self._store = store
        self._repository = repository
        self._name = f"{host}/{repository}" if host else repository
        self._lock = Lock()  # guards _pool, _copies
        self._pool: ThreadPoolExecutor | None = None
        self._copies: dict[Digest, Future[None]] = {}

    def offer(self, blob: Offer) -> None:
        """Only what the store does not have is copied: layers of a base image that no RUN needed."""
        digest = blob.descriptor.digest
        with self._lock:
            if digest in self._copies:
                return
            if self._store.size(digest) is not None:
                self._store.begin_to_keep(digest)
                return
            if self._pool is None:
                from concurrent.futures import ThreadPoolExecutor

                self._pool = ThreadPoolExecutor(_PARALLEL, thread_name_prefix="publish")
            self._copies[digest] = self._pool.submit(self._copy, blob)

    def follow(self, blob: GrowingBlob) -> None:
        """It is being written to where it belongs."""

    def publish(self, documents: Sequence[Document], tags: Sequence[str]) -> Published:
        if not documents:
            raise RegistryError(f"nothing to publish in {self._repository}")
        copies = tuple(self._copies.values())
        if copies:
            from concurrent.futures import wait

            wait(copies)
        for copied in copies:
            copied.result()
        facts = [examine(document.data, document.media_type) for document in documents]
        chosen = tuple(dict.fromkeys(tags))
        self._store.put(self._repository, facts, chosen, adopt=True)
        return Published(
            repository=self._name,
            tags=chosen,
            digest=facts[-1].digest,
            size=image_size(documents),
            references=tuple(f"{self._name}:{tag}" for tag in chosen),
        )

    def close(self) -> None:
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)

    def _copy(self, blob: Offer) -> None:
        with blob.open(0) as source, self._store.writer(blob.descriptor.digest.partition(":")[0]) as out:
            while data := source.read(_CHUNK):
                out.write(data)
            out.commit(blob.descriptor.media_type, blob.descriptor.digest)
        self._store.begin_to_keep(blob.descriptor.digest)
