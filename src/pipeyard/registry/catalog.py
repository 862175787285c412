"""What repositories hold: manifests, tags, links to blobs. One database, so that a publication is one transaction.

Each question or change here is one transaction; what it says to the tables is beside it: repositories.py, links.py,
images.py, announcements.py.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeyard.errors import InputError, RegistryError
from pipeyard.oci import Digest
from pipeyard.registry.announcements import Announcement, announce, list_announcements
from pipeyard.registry.database import Database
from pipeyard.registry.images import (
    ImageRecord,
    StoredManifest,
    delete_manifests,
    find_manifest,
    insert_manifest,
    list_images,
    list_referrers,
    manifest_id,
    point_tag,
)
from pipeyard.registry.links import forget_links, has_link, holders_of, is_linked, is_named, link_blobs, unlink_blob
from pipeyard.registry.manifests import ManifestFacts
from pipeyard.registry.reference import is_repository_name, is_tag
from pipeyard.registry.repositories import (
    RepositoryRecord,
    configure_repository,
    find_repository,
    list_repositories,
    made_repository,
    repository_id,
)

if TYPE_CHECKING:
    import sqlite3


class Catalog:
    """Questions and changes, each one transaction. Safe for any number of threads and processes."""

    def __init__(self, path: Path) -> None:
        self.database = Database(path)

    def close(self) -> None:
        self.database.close()

    # Repositories

    def repository(self, name: str) -> RepositoryRecord | None:
        with self.database.reading() as db:
            return find_repository(db, name)

    def repositories(self, after: str = "", limit: int = -1) -> tuple[RepositoryRecord, ...]:
        """In the order of their names."""
        with self.database.reading() as db:
            return list_repositories(db, after, limit)

    def create_repository(self, name: str, now_ms: int) -> bool:
        """False when it exists. Raises InputError for a name that is none."""
        if not is_repository_name(name):
            raise InputError(f"{name[:300]!r} is not a repository name")
        with self.database.writing() as db:
            done = db.execute("INSERT OR IGNORE INTO repository (name, created_ms) VALUES (?, ?)", (name, now_ms))
            return done.rowcount > 0

    def delete_repository(self, name: str) -> bool:
        """With all manifests and tags; False when there is none."""
        with self.database.writing() as db:
            return db.execute("DELETE FROM repository WHERE name = ?", (name,)).rowcount > 0

    def configure(
        self,
        name: str,
        *,
        immutable: bool | None = None,
        lifecycle: str | None = None,
        exclusions: Sequence[str] | None = None,
    ) -> None:
        """Changes what is given. Raises RegistryError (NAME_UNKNOWN)."""
        with self.database.writing() as db:
            configure_repository(db, name, immutable=immutable, lifecycle=lifecycle, exclusions=exclusions)

    # Blobs

    def link(self, name: str, digests: Iterable[Digest], now_ms: int) -> None:
        """Makes blobs of the store readable in a repository, which is created when missing.

        A power failure may undo it until the next `put`, which is when a client is told that its image is stored.
        """
        with self.database.writing(durable=False) as db:
            link_blobs(db, made_repository(db, name, now_ms), digests, now_ms)

    def linked(self, name: str, digest: Digest) -> bool:
        with self.database.reading() as db:
            return is_linked(db, name, digest)

    def names(self, name: str, digest: Digest) -> bool:
        """Whether a manifest of the repository refers to a blob or manifest."""
        with self.database.reading() as db:
            return is_named(db, name, digest)

    def holders(self, digest: Digest) -> tuple[str, ...]:
        """Repositories in which a blob is readable."""
        with self.database.reading() as db:
            return holders_of(db, digest)

    def unlink(self, name: str, digest: Digest) -> bool:
        """Takes a blob out of a repository; False when it is not in it.

        Raises RegistryError (405, UNSUPPORTED) while a manifest of the repository needs it.
        """
        with self.database.writing() as db:
            return unlink_blob(db, repository_id(db, name), digest)

    # Manifests and tags

    def put(
        self,
        name: str,
        manifests: Sequence[ManifestFacts],
        tags: Sequence[str],
        now_ms: int,
        *,
        absent: Callable[[Digest], bool],
        adopt: Iterable[Digest] = (),
        sparse: bool = False,
        announced: bool = False,
    ) -> tuple[Digest, ...]:
        """Stores manifests, children first, and points all tags at the last one: everything, or nothing.

        `absent` tells that a blob's bytes are not in the store: asked within the transaction, which the collection's
        deletions cannot overlap. A blob must also be linked in this repository; `adopt` links blobs first. Gives
        what the manifests refer to and is not here, which `sparse` permits; without it that is a RegistryError
        (MANIFEST_BLOB_UNKNOWN). A subject may be missing always. Raises RegistryError (DENIED) when an immutable
        tag would move. `announced`: each tag that moves, or is new, is announced in the same transaction.
        """
        for tag in tags:
            if not is_tag(tag):
                raise RegistryError(f"{tag[:200]!r} is not a tag", status=400, code="MANIFEST_INVALID")
        missing: list[Digest] = []
        with self.database.writing() as db:
            repository = made_repository(db, name, now_ms)
            link_blobs(db, repository, adopt, now_ms)
            row_id = 0
            for facts in manifests:
                missing += [blob for blob in facts.blobs if absent(blob) or not has_link(db, repository, blob)]
                missing += [digest for digest in facts.manifests if manifest_id(db, repository, digest) is None]
                if missing and not sparse:
                    listed = ", ".join(dict.fromkeys(missing))
                    raise RegistryError(
                        f"{facts.digest} refers to what {name} does not have: {listed}",
                        status=400,
                        code="MANIFEST_BLOB_UNKNOWN",
                    )
                row_id = insert_manifest(db, repository, facts, now_ms)
            for tag in dict.fromkeys(tags):
                moved = point_tag(db, tag, row_id, repository=repository, name=name, now_ms=now_ms)
                if moved and announced:
                    announce(db, repository=name, tag=tag, digest=manifests[-1].digest, at_ms=now_ms)
        return tuple(dict.fromkeys(missing))

    def manifest(self, name: str, key: str) -> StoredManifest | None:
        """By tag, or by digest when `key` contains a colon."""
        with self.database.reading() as db:
            return find_manifest(db, name, key)

    def holds(self, name: str, digest: Digest) -> bool:
        """Whether a manifest is in a repository."""
        with self.database.reading() as db:
            found = find_repository(db, name) is not None
            return found and manifest_id(db, repository_id(db, name), digest) is not None

    def tags(self, name: str, after: str = "", limit: int = -1) -> tuple[str, ...]:
        """In the order of their bytes. Raises RegistryError (NAME_UNKNOWN)."""
        with self.database.reading() as db:
            rows = db.execute(
                "SELECT name FROM tag WHERE repository = ? AND name > ? ORDER BY name LIMIT ?",
                (repository_id(db, name), after, limit),
            ).fetchall()
        return tuple(row[0] for row in rows)

    def tagged(self, name: str) -> tuple[tuple[str, Digest], ...]:
        """Tags and what they point at, in the order in which they were set. Raises RegistryError (NAME_UNKNOWN)."""
        with self.database.reading() as db:
            rows = db.execute(
                "SELECT name, digest FROM tag JOIN manifest ON id = tag.manifest WHERE tag.repository = ?"
                " ORDER BY tagged_ms, name",
                (repository_id(db, name),),
            ).fetchall()
        return tuple((row[0], row[1]) for row in rows)

    def referrers(self, name: str, subject: Digest) -> tuple[StoredManifest, ...]:
        """Manifests whose subject it is, oldest first; the subject itself need not exist."""
        with self.database.reading() as db:
            return list_referrers(db, name, subject)

    def images(self, name: str) -> tuple[ImageRecord, ...]:
        """Every manifest of a repository, newest first. Raises RegistryError (NAME_UNKNOWN)."""
        with self.database.snapshot() as db:
            return list_images(db, repository_id(db, name))

    def note_pull(self, name: str, digest: Digest, now_ms: int) -> None:
        with self.database.writing(durable=False) as db:
            db.execute(
                "UPDATE manifest SET pulled_ms = ? WHERE digest = ? AND repository ="
                " (SELECT id FROM repository WHERE name = ?)",
                (now_ms, digest, name),
            )

    def delete_tag(self, name: str, tag: str) -> bool:
        """The manifest stays. False when there is no such tag."""
        with self.database.writing() as db:
            done = db.execute("DELETE FROM tag WHERE repository = ? AND name = ?", (repository_id(db, name), tag))
            return done.rowcount > 0

    def delete_manifests(self, name: str, digests: Iterable[Digest]) -> int:
        """With the tags that point at them, in one transaction. Gives how many there were.

        Raises RegistryError (405, UNSUPPORTED) while an index that is not deleted with them holds one of them.
        """
        with self.database.writing() as db:
            return delete_manifests(db, repository_id(db, name), digests)

    # Announcements

    def announcements(self, limit: int = 100) -> tuple[Announcement, ...]:
        """Tags that moved while somebody listened and that nobody has acted on, oldest first."""
        with self.database.reading() as db:
            return list_announcements(db, limit)

    def settle(self, announcement: Announcement) -> None:
        """It was acted on. Doing so again, or for one that another process settled, changes nothing."""
        with self.database.writing() as db:
            db.execute("DELETE FROM announcement WHERE number = ?", (announcement.number,))

    # Collection

    def release_links(self, unused_since_ms: int, in_use: Callable[[Digest], bool]) -> tuple[tuple[str, Digest], ...]:
        """Forgets links that are older, that no manifest of their repository needs and that are not `in_use`."""
        with self.database.writing(durable=False) as db:
            return forget_links(db, unused_since_ms, in_use)

    def needed(self, db: "sqlite3.Connection", digest: Digest) -> bool:
        """Whether a repository links a blob; asked inside `writing`, so that nothing can come between."""
        return db.execute("SELECT 1 FROM link WHERE digest = ? LIMIT 1", (digest,)).fetchone() is not None
