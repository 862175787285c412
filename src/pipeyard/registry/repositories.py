"""The repositories of the catalog: their rows, and what is set for each."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from pipeyard.errors import RegistryError
from pipeyard.registry.wildcards import fits

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
        return self.immutable != any(fits(pattern, tag) for pattern in self.exclusions)


_COLUMNS = "name, created_ms, immutable, lifecycle, exclusions"


def find_repository(db: "sqlite3.Connection", name: str) -> RepositoryRecord | None:
    row = db.execute(f"SELECT {_COLUMNS} FROM repository WHERE name = ?", (name,)).fetchone()  # noqa: S608  (a constant)
    return _record(row) if row else None


def list_repositories(db: "sqlite3.Connection", after: str, limit: int) -> tuple[RepositoryRecord, ...]:
    """In the order of their names; a negative `limit` is none."""
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM repository WHERE name > ? ORDER BY name LIMIT ?",  # noqa: S608  (a constant)
        (after, limit),
    )
    return tuple(_record(row) for row in rows)


def repository_id(db: "sqlite3.Connection", name: str) -> int:
    """Raises RegistryError (NAME_UNKNOWN)."""
    row = db.execute("SELECT id FROM repository WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise RegistryError(f"there is no repository {name}", status=404, code="NAME_UNKNOWN")
    return int(row[0])


def made_repository(db: "sqlite3.Connection", name: str, now_ms: int) -> int:
    """The id of a repository, which is made when missing."""
    db.execute("INSERT OR IGNORE INTO repository (name, created_ms) VALUES (?, ?)", (name, now_ms))
    return repository_id(db, name)


def configure_repository(
    db: "sqlite3.Connection",
    name: str,
    *,
    immutable: bool | None,
    lifecycle: str | None,
    exclusions: Sequence[str] | None,
) -> None:
    """Changes what is given. Raises RegistryError (NAME_UNKNOWN)."""
    repository = repository_id(db, name)
    if immutable is not None:
        db.execute("UPDATE repository SET immutable = ? WHERE id = ?", (int(immutable), repository))
    if lifecycle is not None:
        db.execute("UPDATE repository SET lifecycle = ? WHERE id = ?", (lifecycle, repository))
    if exclusions is not None:
        db.execute("UPDATE repository SET exclusions = ? WHERE id = ?", (" ".join(exclusions), repository))


def _record(row: tuple[str, int, int, str, str]) -> RepositoryRecord:
    return RepositoryRecord(
        name=row[0],
        created_ms=row[1],
        immutable=bool(row[2]),
        lifecycle=row[3],
        exclusions=tuple(row[4].split()),  # ECR's filters have no spaces
    )
