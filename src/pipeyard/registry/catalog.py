"""What repositories hold: manifests, tags, links to blobs. One database, so that a publication is one transaction."""

from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from pipeyard.errors import InputError, RegistryError
from pipeyard.oci import Digest
from pipeyard.registry.database import Database
from pipeyard.registry.manifests import ManifestFacts
from pipeyard.registry.reference import is_repository_name, is_tag

if TYPE_CHECKING:
    import sqlite3


class RepositoryRecord(Struct, frozen=True, kw_only=True):
    name: str
    created_ms: int
    immutable: bool  # tags, once set, stay
    lifecycle: str  # ECR's policy document, or empty
    exclusions: tuple[str, ...] = ()  # tags for which the opposite of `immutable` holds; `*` is any characters

    def fixes(self, tag: str) -> bool:
        """Whether a tag stays where it is, once it was set."""
        return self.immutable != any(_matches(pattern, tag) for pattern in self.exclusions)


class StoredManifest(Struct, frozen=True, kw_only=True):
    digest: Digest
    media_type: str
    data: bytes


class ImageRecord(Struct, frozen=True, kw_only=True):
    """One manifest of a repository as lists of images show it."""

    digest: Digest
    media_type: str
    artifact_type: str
    subject: Digest | None
    tags: tuple[str, ...]
    image_bytes: int  # manifest, configuration and layers; of an index: all its images that are here
    pushed_ms: int
    pulled_ms: int  # 0: never
    parents: tuple[Digest, ...] = ()  # indexes of this repository that hold it


class Catalog:
    """Questions and changes, each one transaction. Safe for any number of threads and processes."""

    def __init__(self, path: Path) -> None:
        self.database = Database(path)

    def close(self) -> None:
        self.database.close()

    # Repositories

    def repository(self, name: str) -> RepositoryRecord | None:
        with self.database.reading() as db:
            row = db.execute(
                f"SELECT {_REPOSITORY} FROM repository WHERE name = ?",  # noqa: S608  (a constant)
                (name,),
            ).fetchone()
        return _repository(row) if row else None

    def repositories(self, after: str = "", limit: int = -1) -> tuple[RepositoryRecord, ...]:
        """In the order of their names."""
        with self.database.reading() as db:
            rows = db.execute(
                f"SELECT {_REPOSITORY} FROM repository WHERE name > ? ORDER BY name LIMIT ?",  # noqa: S608  (a constant)
                (after, limit),
            ).fetchall()
        return tuple(_repository(row) for row in rows)

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
            repository = _id(db, name)
            if immutable is not None:
                db.execute("UPDATE repository SET immutable = ? WHERE id = ?", (int(immutable), repository))
            if lifecycle is not None:
                db.execute("UPDATE repository SET lifecycle = ? WHERE id = ?", (lifecycle, repository))
            if exclusions is not None:
                db.execute("UPDATE repository SET exclusions = ? WHERE id = ?", (" ".join(exclusions), repository))

    # Blobs

    def link(self, name: str, digests: Iterable[Digest], now_ms: int) -> None:
        """Makes blobs of the store readable in a repository, which is created when missing.

        A power failure may undo it until the next `put`, which is when a client is told that its image is stored.
        """
        with self.database.writing(durable=False) as db:
            _link(db, _make(db, name, now_ms), digests, now_ms)

    def linked(self, name: str, digest: Digest) -> bool:
        with self.database.reading() as db:
            return db.execute(
                "SELECT 1 FROM link JOIN repository ON id = repository WHERE name = ? AND digest = ?", (name, digest)
            ).fetchone() is not None  # fmt: skip

    def names(self, name: str, digest: Digest) -> bool:
        """Whether a manifest of the repository refers to a blob or manifest."""
        with self.database.reading() as db:
            row = db.execute(
                "SELECT 1 FROM child JOIN manifest ON manifest.id = manifest"
                " JOIN repository ON repository.id = repository WHERE child.digest = ? AND repository.name = ? LIMIT 1",
                (digest, name),
            ).fetchone()
        return row is not None

    def holders(self, digest: Digest) -> tuple[str, ...]:
        """Repositories in which a blob is readable."""
        with self.database.reading() as db:
            rows = db.execute(
                "SELECT name FROM link JOIN repository ON id = repository WHERE digest = ? ORDER BY name", (digest,)
            ).fetchall()
        return tuple(row[0] for row in rows)

    def unlink(self, name: str, digest: Digest) -> bool:
        """Takes a blob out of a repository; False when it is not in it.

        Raises RegistryError (405, UNSUPPORTED) while a manifest of the repository needs it.
        """
        with self.database.writing() as db:
            repository = _id(db, name)
            row = db.execute(
                "SELECT manifest.digest FROM child JOIN manifest ON id = manifest"
                " WHERE child.digest = ? AND repository = ?",
                (digest, repository),
            ).fetchone()
            if row:
                raise RegistryError(
                    f"manifest {row[0]} needs blob {digest}: delete the manifest first", status=405, code="UNSUPPORTED"
                )
            done = db.execute("DELETE FROM link WHERE repository = ? AND digest = ?", (repository, digest))
            return done.rowcount > 0

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
    ) -> tuple[Digest, ...]:
        """Stores manifests, children first, and points all tags at the last one: everything, or nothing.

        `absent` tells that a blob's bytes are not in the store: asked within the transaction, which the collection's
        deletions cannot overlap. A blob must also be linked in this repository; `adopt` links blobs first. Gives
        what the manifests refer to and is not here, which `sparse` permits; without it that is a RegistryError
        (MANIFEST_BLOB_UNKNOWN). A subject may be missing always. Raises RegistryError (DENIED) when an immutable
        tag would move.
        """
        for tag in tags:
            if not is_tag(tag):
                raise RegistryError(f"{tag[:200]!r} is not a tag", status=400, code="MANIFEST_INVALID")
        missing: list[Digest] = []
        with self.database.writing() as db:
            repository = _make(db, name, now_ms)
            _link(db, repository, adopt, now_ms)
            row_id = 0
            for facts in manifests:
                missing += [blob for blob in facts.blobs if absent(blob) or not _has_link(db, repository, blob)]
                missing += [digest for digest in facts.manifests if _manifest_id(db, repository, digest) is None]
                if missing and not sparse:
                    listed = ", ".join(dict.fromkeys(missing))
                    raise RegistryError(
                        f"{facts.digest} refers to what {name} does not have: {listed}",
                        status=400,
                        code="MANIFEST_BLOB_UNKNOWN",
                    )
                row_id = _insert(db, repository, facts, now_ms)
            for tag in dict.fromkeys(tags):
                _point(db, name, repository, tag, row_id, now_ms)
        return tuple(dict.fromkeys(missing))

    def manifest(self, name: str, key: str) -> StoredManifest | None:
        """By tag, or by digest when `key` contains a colon."""
        question = _BY_DIGEST if ":" in key else _BY_TAG
        with self.database.reading() as db:
            row = db.execute(question, (name, key)).fetchone()
        return StoredManifest(digest=row[0], media_type=row[1], data=row[2]) if row else None

    def tags(self, name: str, after: str = "", limit: int = -1) -> tuple[str, ...]:
        """In the order of their bytes. Raises RegistryError (NAME_UNKNOWN)."""
        with self.database.reading() as db:
            rows = db.execute(
                "SELECT name FROM tag WHERE repository = ? AND name > ? ORDER BY name LIMIT ?",
                (_id(db, name), after, limit),
            ).fetchall()
        return tuple(row[0] for row in rows)

    def tagged(self, name: str) -> tuple[tuple[str, Digest], ...]:
        """Tags and what they point at, in the order in which they were set. Raises RegistryError (NAME_UNKNOWN)."""
        with self.database.reading() as db:
            rows = db.execute(
                "SELECT name, digest FROM tag JOIN manifest ON id = tag.manifest WHERE tag.repository = ?"
                " ORDER BY tagged_ms, name",
                (_id(db, name),),
            ).fetchall()
        return tuple((row[0], row[1]) for row in rows)

    def referrers(self, name: str, subject: Digest) -> tuple[StoredManifest, ...]:
        """Manifests whose subject it is, oldest first; the subject itself need not exist."""
        with self.database.reading() as db:
            rows = db.execute(
                "SELECT digest, media_type, data FROM manifest JOIN repository ON repository.id = repository"
                " WHERE name = ? AND subject = ? ORDER BY manifest.id",
                (name, subject),
            ).fetchall()
        return tuple(StoredManifest(digest=row[0], media_type=row[1], data=row[2]) for row in rows)

    def images(self, name: str) -> tuple[ImageRecord, ...]:
        """Every manifest of a repository, newest first. Raises RegistryError (NAME_UNKNOWN)."""
        with self.database.snapshot() as db:
            repository = _id(db, name)
            tags: dict[int, list[str]] = {}
            for row_id, tag in db.execute("SELECT manifest, name FROM tag WHERE repository = ?", (repository,)):
                tags.setdefault(row_id, []).append(tag)
            parents: dict[str, list[Digest]] = {}
            for child, parent in db.execute(
                "SELECT child.digest, manifest.digest FROM child JOIN manifest ON id = manifest"
                " WHERE repository = ? AND is_manifest",
                (repository,),
            ):
                parents.setdefault(child, []).append(parent)
            rows = db.execute(
                "SELECT id, digest, media_type, artifact_type, subject, image_bytes, pushed_ms, pulled_ms"
                " FROM manifest WHERE repository = ? ORDER BY pushed_ms DESC, id DESC",
                (repository,),
            ).fetchall()
        return tuple(
            ImageRecord(
                digest=row[1],
                media_type=row[2],
                artifact_type=row[3],
                subject=row[4],
                tags=tuple(sorted(tags.get(row[0], ()))),
                image_bytes=row[5],
                pushed_ms=row[6],
                pulled_ms=row[7],
                parents=tuple(parents.get(row[1], ())),
            )
            for row in rows
        )

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
            done = db.execute("DELETE FROM tag WHERE repository = ? AND name = ?", (_id(db, name), tag))
            return done.rowcount > 0

    def delete_manifests(self, name: str, digests: Iterable[Digest]) -> int:
        """With the tags that point at them, in one transaction. Gives how many there were.

        Raises RegistryError (405, UNSUPPORTED) while an index that is not deleted with them holds one of them.
        """
        chosen = tuple(dict.fromkeys(digests))
        with self.database.writing() as db:
            repository = _id(db, name)
            count = 0
            for digest in chosen:
                done = db.execute("DELETE FROM manifest WHERE repository = ? AND digest = ?", (repository, digest))
                count += done.rowcount
            for digest in chosen:
                row = db.execute(
                    "SELECT manifest.digest FROM child JOIN manifest ON id = manifest"
                    " WHERE child.digest = ? AND repository = ?",
                    (digest, repository),
                ).fetchone()
                if row and count:
                    raise RegistryError(
                        f"index {row[0]} holds manifest {digest}: delete the index first",
                        status=405,
                        code="UNSUPPORTED",
                    )
            return count

    # Collection

    def release_links(self, unused_since_ms: int, in_use: Callable[[Digest], bool]) -> tuple[tuple[str, Digest], ...]:
        """Forgets links that are older, that no manifest of their repository needs and that are not `in_use`."""
        with self.database.writing(durable=False) as db:
            rows = db.execute(
                "SELECT repository, name, digest FROM link JOIN repository ON id = repository WHERE linked_ms <= ?"
                " AND NOT EXISTS (SELECT 1 FROM child JOIN manifest ON manifest.id = child.manifest"
                " WHERE child.digest = link.digest AND manifest.repository = link.repository)",
                (unused_since_ms,),
            ).fetchall()
            chosen = [row for row in rows if not in_use(row[2])]
            db.executemany("DELETE FROM link WHERE repository = ? AND digest = ?", [(row[0], row[2]) for row in chosen])
        return tuple((row[1], row[2]) for row in chosen)

    def needed(self, db: "sqlite3.Connection", digest: Digest) -> bool:
        """Whether a repository links a blob; asked inside `writing`, so that nothing can come between."""
        return db.execute("SELECT 1 FROM link WHERE digest = ? LIMIT 1", (digest,)).fetchone() is not None


_BY_DIGEST = (
    "SELECT digest, media_type, data FROM manifest WHERE repository = (SELECT id FROM repository WHERE name = ?)"
    " AND digest = ?"
)
_BY_TAG = (
    "SELECT digest, media_type, data FROM manifest WHERE id = (SELECT manifest FROM tag"
    " WHERE repository = (SELECT id FROM repository WHERE name = ?) AND name = ?)"
)


_REPOSITORY = "name, created_ms, immutable, lifecycle, exclusions"


def _repository(row: tuple[str, int, int, str, str]) -> RepositoryRecord:
    return RepositoryRecord(
        name=row[0],
        created_ms=row[1],
        immutable=bool(row[2]),
        lifecycle=row[3],
        exclusions=tuple(row[4].split()),  # ECR's filters have no spaces
    )


def _matches(pattern: str, tag: str) -> bool:
    return fnmatchcase(tag, pattern.replace("[", "[[]").replace("?", "[?]"))


def _id(db: "sqlite3.Connection", name: str) -> int:
    row = db.execute("SELECT id FROM repository WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise RegistryError(f"there is no repository {name}", status=404, code="NAME_UNKNOWN")
    return int(row[0])


def _make(db: "sqlite3.Connection", name: str, now_ms: int) -> int:
    db.execute("INSERT OR IGNORE INTO repository (name, created_ms) VALUES (?, ?)", (name, now_ms))
    return _id(db, name)


def _link(db: "sqlite3.Connection", repository: int, digests: Iterable[Digest], now_ms: int) -> None:
    db.executemany(
        "INSERT INTO link VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET linked_ms = excluded.linked_ms",
        [(repository, digest, now_ms) for digest in digests],
    )


def _has_link(db: "sqlite3.Connection", repository: int, digest: Digest) -> bool:
    found = db.execute("SELECT 1 FROM link WHERE repository = ? AND digest = ?", (repository, digest)).fetchone()
    return found is not None


def _manifest_id(db: "sqlite3.Connection", repository: int, digest: Digest) -> int | None:
    row = db.execute("SELECT id FROM manifest WHERE repository = ? AND digest = ?", (repository, digest)).fetchone()
    return int(row[0]) if row else None


def _insert(db: "sqlite3.Connection", repository: int, facts: ManifestFacts, now_ms: int) -> int:
    children_bytes = sum(
        int(row[0]) if row else 0
        for digest in facts.manifests
        for row in [
            db.execute(
                "SELECT image_bytes FROM manifest WHERE repository = ? AND digest = ?", (repository, digest)
            ).fetchone()
        ]
    )
    values = (facts.media_type, facts.artifact_type, facts.subject, facts.own_bytes + children_bytes, now_ms)
    row_id = _manifest_id(db, repository, facts.digest)
    if row_id is not None:
        # Pushed again: the bytes are the same, the time (and for an index perhaps the size) is new.
        db.execute(
            "UPDATE manifest SET media_type = ?, artifact_type = ?, subject = ?, image_bytes = ?, pushed_ms = ?"
            " WHERE id = ?",
            (*values, row_id),
        )
        return row_id
    done = db.execute(
        "INSERT INTO manifest (repository, digest, data, media_type, artifact_type, subject, image_bytes, pushed_ms)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (repository, facts.digest, facts.data, *values),
    )
    row_id = int(done.lastrowid or 0)
    children = [(digest, 0) for digest in facts.blobs] + [(digest, 1) for digest in facts.manifests]
    db.executemany(
        "INSERT OR IGNORE INTO child VALUES (?, ?, ?)", [(row_id, digest, kind) for digest, kind in children]
    )
    return row_id


def _point(db: "sqlite3.Connection", name: str, repository: int, tag: str, row_id: int, now_ms: int) -> None:
    row = db.execute("SELECT manifest FROM tag WHERE repository = ? AND name = ?", (repository, tag)).fetchone()
    if row and row[0] == row_id:
        return
    if row and _repository(
        db.execute(f"SELECT {_REPOSITORY} FROM repository WHERE id = ?", (repository,)).fetchone()  # noqa: S608
    ).fixes(tag):
        raise RegistryError(
            f"tag {tag} exists in {name} and cannot be moved, because the repository's tags are immutable",
            status=400,
            code="DENIED",
        )
    db.execute(
        "INSERT INTO tag VALUES (?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET manifest = excluded.manifest, tagged_ms = excluded.tagged_ms",
        (repository, tag, row_id, now_ms),
    )
