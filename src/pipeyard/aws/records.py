"""What the services keep and no other room has a place for: small typed documents by kind, region and name.

Plain `sqlite3`, as in the registry's catalog: a few rows, several processes, no second database to be portable to.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec
from msgspec import Struct

from pipeyard.errors import PipeyardError

if TYPE_CHECKING:
    import sqlite3

BUSY_S = 60.0
_VERSION = 1
_SCHEMA = """CREATE TABLE record (
    number INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    document BLOB NOT NULL,
    UNIQUE (kind, region, name)
)"""

Kept = TypeVar("Kept", bound=Struct)


class Records:
    """Safe for any number of threads and processes. The file is made when first asked."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()  # guards _db, which one thread at a time uses
        self._db: sqlite3.Connection | None = None

    def close(self) -> None:
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    def get(self, kind: type[Kept], region: str, name: str) -> Kept | None:
        with self._open() as db:
            row = db.execute(
                "SELECT document FROM record WHERE kind = ? AND region = ? AND name = ?", (kind.__name__, region, name)
            ).fetchone()
        return msgspec.json.decode(row[0], type=kind) if row else None

    def all(self, kind: type[Kept], region: str) -> list[tuple[str, Kept]]:
        """Name and document, in the order in which they were first put."""
        with self._open() as db:
            rows = db.execute(
                "SELECT name, document FROM record WHERE kind = ? AND region = ? ORDER BY number",
                (kind.__name__, region),
            ).fetchall()
        return [(row[0], msgspec.json.decode(row[1], type=kind)) for row in rows]

    def everywhere(self, kind: type[Kept]) -> list[tuple[str, str, Kept]]:
        """Region, name and document, in the order in which they were first put."""
        with self._open() as db:
            rows = db.execute(
                "SELECT region, name, document FROM record WHERE kind = ? ORDER BY number", (kind.__name__,)
            ).fetchall()
        return [(row[0], row[1], msgspec.json.decode(row[2], type=kind)) for row in rows]

    def put(self, region: str, name: str, document: Struct) -> None:
        with self._open() as db:
            db.execute(
                "INSERT INTO record (kind, region, name, document) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (kind, region, name) DO UPDATE SET document = excluded.document",
                (type(document).__name__, region, name, msgspec.json.encode(document)),
            )

    def delete(self, kind: type[Struct], region: str, name: str) -> bool:
        with self._open() as db:
            done = db.execute(
                "DELETE FROM record WHERE kind = ? AND region = ? AND name = ?", (kind.__name__, region, name)
            )
            return done.rowcount > 0

    @contextmanager
    def changing(self) -> Iterator[None]:
        """What is read and put within the block is one transaction, alone; nothing of it stays after an exception."""
        with self._open() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    @contextmanager
    def _open(self) -> Iterator["sqlite3.Connection"]:
        import sqlite3

        with self._lock:
            if self._db is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._db = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
                _prepare(self._db)
            yield self._db


def _prepare(db: "sqlite3.Connection") -> None:
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("BEGIN IMMEDIATE")
    found = db.execute("PRAGMA user_version").fetchone()[0]
    if found == 0:
        db.execute(_SCHEMA)
        db.execute(f"PRAGMA user_version = {_VERSION}")
    db.execute("COMMIT")
    if found > _VERSION:
        raise PipeyardError(f"the AWS endpoint's records have format {found}, this pipeyard knows {_VERSION}")
