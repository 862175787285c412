"""Where the engine's states, events and commands are kept.

open_store(url) -> Store      a database made ready, SQLite or PostgreSQL
Store                         what the engine asks of it
"""

from pipeyard.engine.store.contract import Applied, ExecutionRecord, Pending, Store

__all__ = ["Applied", "ExecutionRecord", "Pending", "Store", "open_store"]


def open_store(url: str) -> Store:
    """A store on the database of a SQLAlchemy URL, its tables made or migrated; any number of processes may open it.

    Raises InputError for a URL that names no database, and for a database that is out of reach or newer than we are.
    """
    # SQLAlchemy costs a quarter of a second to import.
    from pipeyard.engine.store.opening import open_engine
    from pipeyard.engine.store.sql import SqlStore

    return SqlStore(open_engine(url))
