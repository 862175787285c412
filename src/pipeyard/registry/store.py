"""The content store: what builds write into, what the embedded registry serves. Publishing into it moves no bytes."""

import functools
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pipeyard.errors import RegistryError
from pipeyard.oci import Digest
from pipeyard.registry.blob_files import TOUCH_AFTER_S, BlobFiles, FileBlobWriter
from pipeyard.registry.leases import hold_lease
from pipeyard.registry.manifests import ManifestFacts

if TYPE_CHECKING:
    from pipeyard.registry.catalog import Catalog
    from pipeyard.registry.remote_blobs import ObjectStore, RemoteBlobs


def wall_clock_ms() -> int:
    return int(time.time() * 1000)


class ContentStore:
    """A BlobStore, and the catalog of repositories over it.

    Opening costs a few system calls: the catalog's database is opened when it is first asked. Safe for any number
    of threads and processes on one `root`. With `objects` blobs are kept there, and the disk is their cache; see
    remote_blobs.py. Tags that move are announced while somebody listens; see announcements.py.
    """

    def __init__(
        self,
        root: Path,
        *,
        now_ms: Callable[[], int] = wall_clock_ms,
        touch_after_s: float = TOUCH_AFTER_S,
        objects: "ObjectStore | None" = None,
    ) -> None:
        self.root = root
        self.now_ms = now_ms
        self.files = BlobFiles(root, touch_after_s)
        self.remote: RemoteBlobs | None = None
        if objects is not None:
            from pipeyard.registry import remote_blobs

            self.remote = remote_blobs.RemoteBlobs(self.files, objects)

    def close(self) -> None:
        if self.remote is not None:
            self.remote.close()
        if "catalog" in self.__dict__:
            self.catalog.close()

    @functools.cached_property
    def catalog(self) -> "Catalog":
        from pipeyard.registry.catalog import Catalog  # a build that is pushed elsewhere needs none

        return Catalog(self.root / "catalog.sqlite")

    # BlobStore

    def size(self, digest: Digest) -> int | None:
        size = self.files.size(digest)
        return self.remote.size(digest) if size is None and self.remote is not None else size

    def read(self, digest: Digest, start: int = 0) -> AbstractContextManager[BinaryIO]:
        if self.remote is not None and self.files.size(digest) is None:
            return self.remote.read(digest, start)
        return self.files.read(digest, start)

    def writer(self, algorithm: str = "sha256") -> AbstractContextManager[FileBlobWriter]:
        return self.files.writer(algorithm)

    def begin_to_keep(self, digest: Digest) -> None:
        """Starts what `make_durable` will wait for, where it takes long: a blob's way to an object store."""
        if self.remote is not None and self.remote.size(digest) is None:
            self.remote.begin(digest)

    def make_durable(self, digests: Sequence[Digest]) -> None:
        """Returns when these blobs survive a power failure. Raises RegistryError (BLOB_UNKNOWN) for a missing one."""
        if self.remote is not None:
            self.remote.keep(digests)
        else:
            self.files.make_durable(digests)

    # Publishing

    def lease(self) -> AbstractContextManager[None]:
        """While it is held, no blob that anybody wrote, read or asked for since its start is collected."""
        return hold_lease(self.root / "leases", self.now_ms())

    def put(
        self,
        repository: str,
        manifests: Sequence[ManifestFacts],
        tags: Sequence[str] = (),
        *,
        adopt: bool,
        sparse: bool = False,
    ) -> tuple[Digest, ...]:
        """Stores manifests (children first) and points all tags at the last: one transaction, durable when it returns.

        `adopt` makes the blobs of the store that the manifests need readable in the repository (a publication);
        without it they must be in the repository already (a client's push: knowing a digest is no right to read).
        Gives what is missing when `sparse` permits that. Raises RegistryError (MANIFEST_BLOB_UNKNOWN, DENIED).
        """
        here = [
            digest
            for facts in manifests
            for digest in facts.blobs
            if self.size(digest) is not None and (adopt or self.catalog.linked(repository, digest))
        ]
        from pipeyard.registry.announcements import is_listened

        self.make_durable(here)
        return self.catalog.put(
            repository,
            manifests,
            tags,
            self.now_ms(),
            absent=lambda digest: self.size(digest) is None,
            adopt=here if adopt else (),
            sparse=sparse,
            announced=bool(tags) and is_listened(self.root),
        )

    def mount(self, repository: str, digest: Digest) -> bool:
        """Makes a blob of the store readable in a repository; False when it is not in the store."""
        if self.size(digest) is None:
            return False
        self.begin_to_keep(digest)
        self.catalog.link(repository, [digest], self.now_ms())
        return True

    def blob_size(self, repository: str, digest: Digest) -> int:
        """Bytes of a blob that is readable in a repository. Raises RegistryError (BLOB_UNKNOWN)."""
        size = self.size(digest)  # before the link is looked up: the collection relies on that order
        if size is None or not self.catalog.linked(repository, digest):
            raise RegistryError(f"{repository} has no blob {digest}", status=404, code="BLOB_UNKNOWN")
        return size
