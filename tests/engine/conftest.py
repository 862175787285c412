"""Databases and engines for the tests of this folder."""

import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from pipeyard.engine import DbosDriver, Engine, LockedRoll, ThreadDriver
from pipeyard.engine.scripted import perform_scripted
from pipeyard.engine.store import Store, open_store
from tests.engine.postgres import programs, server


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    folder = programs()
    if folder is None:
        pytest.skip("no PostgreSQL server program on this machine")
    with server(folder) as url:
        yield url


@pytest.fixture
def empty_postgres(postgres: str) -> str:
    name = f"yard_{uuid.uuid4().hex}"
    admin = sa.create_engine(postgres, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    admin.dispose()
    return postgres.replace("/postgres?", f"/{name}?")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/pipeyard.sqlite"
    url: str = request.getfixturevalue("empty_postgres")
    return url


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    opened = open_store(database)
    yield opened
    opened.close()


def now_ms() -> int:
    return int(time.time() * 1000)


def new_id() -> str:
    return str(uuid.uuid4())


EngineMaker = Callable[..., Engine]


@pytest.fixture(params=["threads", "dbos"])
def make_engine(request: pytest.FixtureRequest, store: Store, database: str, tmp_path: Path) -> EngineMaker:
    """Makes engines on one store, with either driver, that perform what actions' configurations say."""

    def make(**options: object) -> Engine:
        sqlite = database.startswith("sqlite")
        url = f"sqlite:///{tmp_path}/dispatch.sqlite" if sqlite else database
        driver = ThreadDriver() if request.param == "threads" else DbosDriver(url)
        settings = {
            "now_ms": now_ms,
            "new_id": new_id,
            "driver": driver,
            "roll": LockedRoll(tmp_path / "executors"),
            "perform": perform_scripted,
        }
        return Engine(store, **(settings | options))  # type: ignore[arg-type]  # options are Engine's own

    return make
