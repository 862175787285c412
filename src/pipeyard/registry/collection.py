"""Garbage collection that pushes, pulls and builds may run beside.

A blob's file is removed when no repository links it and nobody used it since the horizon: the grace period ago, or
the start of the oldest running build or upload, whichever is earlier. A link is forgotten when no manifest of its
repository needs it and the blob was not used since then either. Why nothing needed can go:

- Whoever relies on a blob has used it first (asked for its size, read it, wrote it), which refreshes its time; the
  removal looks at the time after the file was moved out of reach, and puts it back when it is fresh.
- A manifest is stored in one transaction that finds its blobs linked and present; removals happen inside
  transactions of the same database. So the two have an order, and whichever comes second sees the other.
"""

import os
from collections.abc import Iterator
from itertools import islice

from msgspec import Struct

from pipeyard.files import sweep_temporaries
from pipeyard.oci import Digest
from pipeyard.registry.leases import oldest_lease_ms
from pipeyard.registry.remote_blobs import RemoteBlobs
from pipeyard.registry.store import ContentStore
from pipeyard.registry.uploads import Uploads
from pipeyard.threads import NEVER, Stop

GRACE_S = 24 * 3600.0
IDLE_UPLOAD_S = 24 * 3600.0
_BATCH = 200  # blobs in one transaction; writers wait for one batch at most


class Collected(Struct, frozen=True, kw_only=True):
    blobs: int
    bytes: int
    links: int
    kept: int  # blobs that stay


def collect(
    store: ContentStore, *, grace_s: float = GRACE_S, idle_upload_s: float = IDLE_UPLOAD_S, stop: Stop = NEVER
) -> Collected:
    """Removes what nothing needs. Safe beside anything else on the store, also a second collection."""
    horizon_s = _horizon_s(store, grace_s, idle_upload_s)
    links = _release_links(store, horizon_s)
    blobs = freed = kept = 0
    candidates = _unused(store, horizon_s)
    while batch := list(islice(candidates, _BATCH)):
        stop.check()
        with store.catalog.database.writing(durable=False) as db:
            for digest, is_old in batch:
                if is_old and store.remote is not None and store.remote.used_s(digest):
                    # Its object stays, for now: only the disk's copy goes.
                    freed += store.files.discard_unused(digest, horizon_s)
                    continue
                size = 0
                if is_old and not store.catalog.needed(db, digest):
                    size = store.files.discard_unused(digest, horizon_s)
                freed += size
                removed = size > 0 or store.files.path(digest).exists() is False
                blobs += removed
                kept += not removed
    if store.remote is not None:
        objects, object_bytes, object_kept = _collect_objects(store, store.remote, horizon_s, stop)
        blobs, freed, kept = blobs + objects, freed + object_bytes, kept + object_kept
    sweep_temporaries(store.root / "incoming", max(grace_s, 3600.0), store.now_ms() / 1000)
    return Collected(blobs=blobs, bytes=freed, links=links, kept=kept)


def expire_uploads(store: ContentStore, idle_s: float = IDLE_UPLOAD_S) -> None:
    """Removes the uploads that nobody went on with for so long; what a server does by itself."""
    Uploads(store.files).living(store.now_ms() / 1000 - idle_s)


def _collect_objects(store: ContentStore, remote: RemoteBlobs, horizon_s: float, stop: Stop) -> tuple[int, int, int]:
    """Likewise for what an object store keeps; the objects are deleted after the transactions."""
    removed = freed = kept = 0
    candidates = remote.digests()
    while batch := list(islice(candidates, _BATCH)):
        stop.check()
        with store.catalog.database.writing(durable=False) as db:
            for digest in batch:
                # The file, where there is one, is what was used.
                fresh = store.files.path(digest).exists()
                size = 0 if fresh or store.catalog.needed(db, digest) else remote.release(digest, horizon_s)
                removed += size > 0
                freed += size
                kept += size == 0
    remote.sweep()
    return removed, freed, kept


def _horizon_s(store: ContentStore, grace_s: float, idle_upload_s: float) -> float:
    now_s = store.now_ms() / 1000
    # A blob of a push in progress may have come long before the upload that is under way now.
    uploads = Uploads(store.files).living(now_s - idle_upload_s)
    begun = [now_s - grace_s, *(note.started_ms / 1000 - grace_s for note in uploads)]
    lease = oldest_lease_ms(store.root / "leases")
    if lease is not None:
        begun.append(lease / 1000)
    return min(begun) - store.files.touch_after_s


def _release_links(store: ContentStore, horizon_s: float) -> int:
    released = store.catalog.release_links(int(horizon_s * 1000), lambda digest: _used_s(store, digest) > horizon_s)
    # A client that asked for one between our look and the commit was told that it is there: it shall be.
    for repository, digest in released:
        if _used_s(store, digest) > horizon_s:
            store.catalog.link(repository, [digest], store.now_ms())
    return len(released)


def _used_s(store: ContentStore, digest: Digest) -> float:
    remote = store.remote.used_s(digest) if store.remote is not None else 0.0
    try:
        return max(remote, os.stat(store.files.path(digest)).st_mtime)
    except FileNotFoundError:
        return remote


def _unused(store: ContentStore, horizon_s: float) -> Iterator[tuple[Digest, bool]]:
    for digest, found in store.files.digests():
        yield digest, found.st_mtime <= horizon_s
