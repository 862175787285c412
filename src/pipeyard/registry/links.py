"""The links of the catalog: which blobs of the store are readable in which repository."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from pipeyard.errors import RegistryError
from pipeyard.oci import Digest

if TYPE_CHECKING:
    import sqlite3


def link_blobs(db: "sqlite3.Connection", repository: int, digests: Iterable[Digest], now_ms: int) -> None:
    db.executemany(
        "INSERT INTO link VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET linked_ms = excluded.linked_ms",
        [(repository, digest, now_ms) for digest in digests],
    )


def has_link(db: "sqlite3.Connection", repository: int, digest: Digest) -> bool:
    found = db.execute("SELECT 1 FROM link WHERE repository = ? AND digest = ?", (repository, digest)).fetchone()
    return found is not None


def is_linked(db: "sqlite3.Connection", name: str, digest: Digest) -> bool:
    found = db.execute(
        "SELECT 1 FROM link JOIN repository ON id = repository WHERE name = ? AND digest = ?", (name, digest)
    ).fetchone()
    return found is not None


def is_named(db: "sqlite3.Connection", name: str, digest: Digest) -> bool:
    """Whether a manifest of the repository refers to a blob or manifest."""
    row = db.execute(
        "SELECT 1 FROM child JOIN manifest ON manifest.id = manifest"
        " JOIN repository ON repository.id = repository WHERE child.digest = ? AND repository.name = ? LIMIT 1",
        (digest, name),
    ).fetchone()
    return row is not None


def holders_of(db: "sqlite3.Connection", digest: Digest) -> tuple[str, ...]:
    """Repositories in which a blob is readable."""
    rows = db.execute(
        "SELECT name FROM link JOIN repository ON id = repository WHERE digest = ? ORDER BY name", (digest,)
    )
    return tuple(row[0] for row in rows)


def unlink_blob(db: "sqlite3.Connection", repository: int, digest: Digest) -> bool:
    """False when it is not in it. Raises RegistryError (405, UNSUPPORTED) while a manifest there needs it."""
    row = db.execute(
        "SELECT manifest.digest FROM child JOIN manifest ON id = manifest WHERE child.digest = ? AND repository = ?",
        (digest, repository),
    ).fetchone()
    if row:
        raise RegistryError(
            f"manifest {row[0]} needs blob {digest}: delete the manifest first", status=405, code="UNSUPPORTED"
        )
    done = db.execute("DELETE FROM link WHERE repository = ? AND digest = ?", (repository, digest))
    return done.rowcount > 0


def forget_links(
    db: "sqlite3.Connection", unused_since_ms: int, in_use: Callable[[Digest], bool]
) -> tuple[tuple[str, Digest], ...]:
    """Those that are older, that no manifest of their repository needs and that are not `in_use`."""
    rows = db.execute(
        "SELECT repository, name, digest FROM link JOIN repository ON id = repository WHERE linked_ms <= ?"
        " AND NOT EXISTS (SELECT 1 FROM child JOIN manifest ON manifest.id = child.manifest"
        " WHERE child.digest = link.digest AND manifest.repository = link.repository)",
        (unused_since_ms,),
    ).fetchall()
    chosen = [row for row in rows if not in_use(row[2])]
    db.executemany("DELETE FROM link WHERE repository = ? AND digest = ?", [(row[0], row[2]) for row in chosen])
    return tuple((row[1], row[2]) for row in chosen)
