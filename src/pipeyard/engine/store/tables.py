"""The engine's tables. Every change here goes with a revision under `engine/migrations`, and HEAD names the newest."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, MetaData, String, Table, Text

HEAD = "0001"

metadata = MetaData()

# SQLite numbers rows by itself only when the key is its INTEGER; PostgreSQL shall not end at 2^31 events.
_Number = BigInteger().with_variant(Integer(), "sqlite")

pipelines = Table(
    "pipelines",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("version", Integer, nullable=False),  # 0: not defined, or deleted
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
)

definitions = Table(
    "definitions",
    metadata,
    Column("key", String(64), primary_key=True),  # SHA-256 of the body
    Column("body", Text, nullable=False),
)

versions = Table(
    "versions",
    metadata,
    Column("pipeline", String(200), primary_key=True),
    Column("created_ms", BigInteger, primary_key=True),  # a pipeline that was deleted may have a version 1 again
    Column("version", Integer, primary_key=True),
    Column("declaration", Text, nullable=False),
    Column("definition", String(64), nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("number", _Number, primary_key=True, autoincrement=True),
    Column("pipeline", String(200), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Index("events_of_pipeline", "pipeline", "number"),
)

commands = Table(
    "commands",
    metadata,
    Column("number", _Number, primary_key=True, autoincrement=True),
    Column("id", String(200), nullable=False, unique=True),
    Column("pipeline", String(200), nullable=False),
    Column("execution_id", String(64), nullable=False),
    Column("executor", String(64)),  # whose it is to carry out; NULL: anybody's
    Column("confirmed", Boolean, nullable=False),
    Column("lasting", Boolean, nullable=False),  # stays after its confirmation until the work that it started has ended
    Column("due_ms", BigInteger),  # of a timer
    Column("body", Text, nullable=False),
    Index("commands_to_do", "confirmed", "executor"),
    Index("commands_due", "due_ms"),
)

executions = Table(
    "executions",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("pipeline", String(200), nullable=False),
    Column("number", Integer, nullable=False),
    Column("status", String(16), nullable=False),
    Column("live", Boolean, nullable=False),
    Column("started_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Column("executor", String(64)),  # the process that it lives and dies with; NULL: it outlives processes
    Column("definition", String(64), nullable=False),
    Column("body", Text, nullable=False),
    Index("executions_of_pipeline", "pipeline", "started_ms"),
    Index("executions_of_executor", "executor", "live"),
)

actions = Table(
    "actions",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("execution_id", String(64), ForeignKey("executions.id"), nullable=False),
    Column("pipeline", String(200), nullable=False),
    Column("stage", String(120), nullable=False),
    Column("action", String(120), nullable=False),
    Column("status", String(16), nullable=False),
    Column("started_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Index("actions_of_pipeline", "pipeline", "started_ms"),
    Index("actions_of_execution", "execution_id"),
)

executors = Table(
    "executors",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("seen_ms", BigInteger, nullable=False),
)
