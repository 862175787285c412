"""The catalog's SQLite file: its tables, and connections that threads and processes share fairly.

Plain `sqlite3` and not SQLAlchemy, against the house's rule for tables: this file is opened by every build that
publishes, sqlite3 imports in 5 ms and SQLAlchemy in 150, and there is no second database to be portable to.
Readers never wait (write-ahead log); writers of several processes take turns for up to `BUSY_S`.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pipeyard.errors import RegistryError

if TYPE_CHECKING:
    import sqlite3

BUSY_S = 60.0
_VERSION = 3
_SCHEMA = """
CREATE TABLE repository (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created_ms INTEGER NOT NULL,
    immutable INTEGER NOT NULL DEFAULT 0,
    lifecycle TEXT NOT NULL DEFAULT ''
);
CREATE TABLE manifest (
    id INTEGER PRIMARY KEY,
    repository INTEGER NOT NULL REFERENCES repository ON DELETE CASCADE,
    digest TEXT NOT NULL,
    media_type TEXT NOT NULL,
    artifact_type TEXT NOT NULL,
    subject TEXT,
    image_bytes INTEGER NOT NULL,
    pushed_ms INTEGER NOT NULL,
    pulled_ms INTEGER NOT NULL DEFAULT 0,
    data BLOB NOT NULL,
    UNIQUE (repository, digest)
);
CREATE INDEX manifest_subject ON manifest (repository, subject) WHERE subject IS NOT NULL;
CREATE TABLE child (
    manifest INTEGER NOT NULL REFERENCES manifest ON DELETE CASCADE,
    digest TEXT NOT NULL,
    is_manifest INTEGER NOT NULL,
    PRIMARY KEY (manifest, digest)
) WITHOUT ROWID;
CREATE INDEX child_digest ON child (digest);
CREATE TABLE tag (
    repository INTEGER NOT NULL REFERENCES repository ON DELETE CASCADE,
    name TEXT NOT NULL,
    manifest INTEGER NOT NULL REFERENCES manifest ON DELETE CASCADE,
    tagged_ms INTEGER NOT NULL,
    PRIMARY KEY (repository, name)
) WITHOUT ROWID;
CREATE INDEX tag_manifest ON tag (manifest);
CREATE TABLE link (
    repository INTEGER NOT NULL REFERENCES repository ON DELETE CASCADE,
    digest TEXT NOT NULL,
    linked_ms INTEGER NOT NULL,
    PRIMARY KEY (repository, digest)
) WITHOUT ROWID;
CREATE INDEX link_digest ON link (digest);
"""
_ANNOUNCEMENT = """
CREATE TABLE announcement (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    repository TEXT NOT NULL,
    tag TEXT NOT NULL,
    digest TEXT NOT NULL,
    at_ms INTEGER NOT NULL
)
"""

_TO_VERSION = {
    1: _SCHEMA,
    2: "ALTER TABLE repository ADD COLUMN exclusions TEXT NOT NULL DEFAULT ''",
    3: _ANNOUNCEMENT,
}


class Database:
    """Safe for any number of threads and processes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: list[sqlite3.Connection] = []  # append and pop are atomic: a connection has one user at a time
        self._opening = threading.Lock()  # guards _ready
        self._ready = False
        self._turn = threading.Lock()  # SQLite's own waiting polls with pauses; threads of one process need not

    def close(self) -> None:
        """Safe to call twice; what is asked later opens it again."""
        while self._idle:
            self._idle.pop().close()

    @contextmanager
    def reading(self) -> Iterator["sqlite3.Connection"]:
        """For single questions: each sees the last committed state."""
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._connect()
        try:
            yield connection
        finally:
            self._idle.append(connection)

    @contextmanager
    def snapshot(self) -> Iterator["sqlite3.Connection"]:
        """For several questions that must agree with each other."""
        with self.reading() as db:
            db.execute("BEGIN")
            try:
                yield db
            finally:
                db.execute("ROLLBACK")

    @contextmanager
    def writing(self, *, durable: bool = True) -> Iterator["sqlite3.Connection"]:
        """One transaction, alone; durable when the block is left well, and never happened otherwise."""
        with self._turn, self.reading() as db:
            db.execute("PRAGMA synchronous = FULL" if durable else "PRAGMA synchronous = NORMAL")
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException as error:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                if getattr(error, "sqlite_errorname", "") == "SQLITE_FULL":
                    raise full_disk() from error
                raise

    def _connect(self) -> "sqlite3.Connection":
        import sqlite3

        connection = sqlite3.connect(
            self._path, timeout=BUSY_S, isolation_level=None, check_same_thread=False, cached_statements=64
        )
        connection.execute("PRAGMA foreign_keys = ON")
        if not self._ready:
            with self._opening:
                if not self._ready:
                    _prepare(connection)
                    self._ready = True
        return connection


def full_disk() -> RegistryError:
    """For whatever could not be written: nothing of it was stored, and it may be tried again."""
    return RegistryError("the registry's disk is full", status=507, code="UNKNOWN", hint="pipeyard registry collect")


def _prepare(db: "sqlite3.Connection") -> None:
    db.execute("PRAGMA journal_mode = WAL")
    if db.execute("PRAGMA user_version").fetchone()[0] == _VERSION:
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        found = db.execute("PRAGMA user_version").fetchone()[0]
        if found > _VERSION:
            raise RegistryError(f"the registry's catalog has format {found}, this pipeyard knows {_VERSION}")
        for version in range(found + 1, _VERSION + 1):
            for statement in _TO_VERSION[version].split(";"):
                if statement.strip():
                    db.execute(statement)
        if found != _VERSION:
            db.execute(f"PRAGMA user_version = {_VERSION}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
