"""The images of the catalog: manifests, the tags that point at them, and what lists of images show."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from msgspec import Struct

from pipeyard.errors import RegistryError
from pipeyard.oci import Digest
from pipeyard.registry.manifests import ManifestFacts
from pipeyard.registry.repositories import find_repository

if TYPE_CHECKING:
    import sqlite3


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


_MOST_BYTES = (1 << 63) - 1  # in a column; an index of hostile manifests may claim more
_BY_DIGEST = (
    "SELECT digest, media_type, data FROM manifest WHERE repository = (SELECT id FROM repository WHERE name = ?)"
    " AND digest = ?"
)
_BY_TAG = (
    "SELECT digest, media_type, data FROM manifest WHERE id = (SELECT manifest FROM tag"
    " WHERE repository = (SELECT id FROM repository WHERE name = ?) AND name = ?)"
)


def find_manifest(db: "sqlite3.Connection", name: str, key: str) -> StoredManifest | None:
    """By tag, or by digest when `key` contains a colon."""
    row = db.execute(_BY_DIGEST if ":" in key else _BY_TAG, (name, key)).fetchone()
    return StoredManifest(digest=row[0], media_type=row[1], data=row[2]) if row else None


def manifest_id(db: "sqlite3.Connection", repository: int, digest: Digest) -> int | None:
    row = db.execute("SELECT id FROM manifest WHERE repository = ? AND digest = ?", (repository, digest)).fetchone()
    return int(row[0]) if row else None


def list_referrers(db: "sqlite3.Connection", name: str, subject: Digest) -> tuple[StoredManifest, ...]:
    """Manifests whose subject it is, oldest first; the subject itself need not exist."""
    rows = db.execute(
        "SELECT digest, media_type, data FROM manifest JOIN repository ON repository.id = repository"
        " WHERE name = ? AND subject = ? ORDER BY manifest.id",
        (name, subject),
    )
    return tuple(StoredManifest(digest=row[0], media_type=row[1], data=row[2]) for row in rows)


def list_images(db: "sqlite3.Connection", repository: int) -> tuple[ImageRecord, ...]:
    """Every manifest of a repository, newest first; `db` is a snapshot."""
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


def insert_manifest(db: "sqlite3.Connection", repository: int, facts: ManifestFacts, now_ms: int) -> int:
    """Gives the row's id; the same manifest again keeps its row."""
    children_bytes = sum(
        int(row[0]) if row else 0
        for digest in facts.manifests
        for row in [
            db.execute(
                "SELECT image_bytes FROM manifest WHERE repository = ? AND digest = ?", (repository, digest)
            ).fetchone()
        ]
    )
    values = (
        facts.media_type,
        facts.artifact_type,
        facts.subject,
        min(facts.own_bytes + children_bytes, _MOST_BYTES),
        now_ms,
    )
    row_id = manifest_id(db, repository, facts.digest)
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


def point_tag(db: "sqlite3.Connection", tag: str, manifest: int, *, repository: int, name: str, now_ms: int) -> bool:
    """False when it points there already. `manifest` and `repository` are ids of rows, `name` is the repository's.

    Raises RegistryError (DENIED) when it is fixed elsewhere.
    """
    row = db.execute("SELECT manifest FROM tag WHERE repository = ? AND name = ?", (repository, tag)).fetchone()
    if row and row[0] == manifest:
        return False
    record = find_repository(db, name) if row else None
    if record is not None and record.fixes(tag):
        raise RegistryError(
            f"tag {tag} exists in {name} and cannot be moved, because the repository's tags are immutable",
            status=400,
            code="DENIED",
        )
    db.execute(
        "INSERT INTO tag VALUES (?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET manifest = excluded.manifest, tagged_ms = excluded.tagged_ms",
        (repository, tag, manifest, now_ms),
    )
    return True


def delete_manifests(db: "sqlite3.Connection", repository: int, digests: Iterable[Digest]) -> int:
    """With the tags that point at them. Gives how many there were.

    Raises RegistryError (405, UNSUPPORTED) while an index that is not deleted with them holds one of them.
    """
    chosen = tuple(dict.fromkeys(digests))
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
                f"index {row[0]} holds manifest {digest}: delete the index first", status=405, code="UNSUPPORTED"
            )
    return count
