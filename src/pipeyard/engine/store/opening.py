"""Opening a database: SQLite as several processes need it, PostgreSQL as it is, and both migrated before use."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from pipeyard.engine.store.tables import HEAD, metadata
from pipeyard.errors import InputError
from pipeyard.files import locked

VERSION_TABLE = "pipeyard_version"
BUSY_S = 30  # how long a SQLite writer waits for another one
MIGRATION_LOCK = 0x70697065  # of PostgreSQL's advisory locks
WRITES = {"pipeyard_writes": True}


def open_engine(url: str) -> Engine:
    """An engine on a migrated database; any number of processes may do this at once.

    Raises InputError for a URL that names no database we know, or a database that cannot be reached or is newer.
    """
    try:
        parsed = sa.make_url(url)
        if parsed.get_backend_name() == "postgresql" and parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        sqlite = parsed.get_backend_name() == "sqlite"
        if sqlite and parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        engine = sa.create_engine(parsed, connect_args={"timeout": BUSY_S} if sqlite else {}, pool_pre_ping=not sqlite)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        hint = "sqlite:///FOLDER/FILE or postgresql://USER@HOST/DATABASE (with the extra pipeyard[postgres])"
        raise InputError(f"the database {url!r} cannot be opened: {error}", hint=hint) from error
    if sqlite:
        sa.event.listen(engine, "connect", _prepare_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
    try:
        _migrate(engine, Path(parsed.database) if sqlite and parsed.database else None)
    except DBAPIError as error:
        engine.dispose()
        raise InputError(f"the database {parsed!s} cannot be used: {error.orig}") from error
    except BaseException:
        engine.dispose()
        raise
    return engine


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that writes. On SQLite it takes the write lock at once: a reader that turns writer may fail."""
    with engine.connect().execution_options(**WRITES) as connection, connection.begin():
        yield connection


def _prepare_sqlite(connection: sqlite3.Connection, record: object) -> None:
    # Transactions are begun by _begin_sqlite and not, late, by the driver.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {BUSY_S * 1000}")
    connection.execute("PRAGMA journal_mode = WAL")
    # With WAL a process may die at any point; only a power failure can undo the last transactions, never half of one.
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("pipeyard_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _migrate(engine: Engine, file: Path | None) -> None:
    # Alembic costs 150 ms to import and nearly always has nothing to do, so the version is read without it.
    if _version(engine) == HEAD:
        return
    with _migration_lock(engine, file):
        found = _version(engine)
        if found == HEAD:
            return
        if found is not None and found > HEAD:
            hint = "use the newer pipeyard that wrote it"
            raise InputError(f"the database has tables of version {found}, newer than {HEAD}", hint=hint)
        if found is None:
            _create(engine)
        else:
            upgrade(engine)


def _create(engine: Engine) -> None:
    """Makes the newest tables at once: importing Alembic and walking its history is most of a first run's start.

    A test holds that `upgrade` from nothing makes the same.
    """
    with writing(engine) as connection:
        metadata.create_all(connection)
        version = sa.Table(VERSION_TABLE, sa.MetaData(), sa.Column("version_num", sa.String(32), primary_key=True))
        version.create(connection)
        connection.execute(sa.insert(version).values(version_num=HEAD))


def _version(engine: Engine) -> str | None:
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table(VERSION_TABLE):
            return None
        number = sa.column("version_num", sa.String)
        return connection.execute(sa.select(number).select_from(sa.table(VERSION_TABLE))).scalar()


@contextmanager
def _migration_lock(engine: Engine, file: Path | None) -> Iterator[None]:
    if file is not None:
        with locked(file.with_name(f"{file.name}.migration")):
            yield
    elif engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.select(sa.func.pg_advisory_lock(MIGRATION_LOCK)))
            try:
                yield
            finally:
                connection.execute(sa.select(sa.func.pg_advisory_unlock(MIGRATION_LOCK)))
    else:
        yield


def upgrade(engine: Engine) -> None:
    """Carries out the migrations that a database lacks; the caller holds the lock that keeps others from doing so."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parents[1] / "migrations"))
    with writing(engine) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
