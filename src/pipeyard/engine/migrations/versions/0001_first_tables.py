"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "pipelines",
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("updated_ms", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
    )
    op.create_table(
        "definitions",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "versions",
        sa.Column("pipeline", sa.String(200), primary_key=True),
        sa.Column("created_ms", sa.BigInteger, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("declaration", sa.Text, nullable=False),
        sa.Column("definition", sa.String(64), nullable=False),
    )
    op.create_table(
        "events",
        sa.Column("number", _Number, primary_key=True, autoincrement=True),
        sa.Column("pipeline", sa.String(200), nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index("events_of_pipeline", "events", ["pipeline", "number"])
    op.create_table(
        "commands",
        sa.Column("number", _Number, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(200), nullable=False, unique=True),
        sa.Column("pipeline", sa.String(200), nullable=False),
        sa.Column("execution_id", sa.String(64), nullable=False),
        sa.Column("executor", sa.String(64)),
        sa.Column("confirmed", sa.Boolean, nullable=False),
        sa.Column("lasting", sa.Boolean, nullable=False),
        sa.Column("due_ms", sa.BigInteger),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index("commands_to_do", "commands", ["confirmed", "executor"])
    op.create_index("commands_due", "commands", ["due_ms"])
    op.create_table(
        "executions",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("pipeline", sa.String(200), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("live", sa.Boolean, nullable=False),
        sa.Column("started_ms", sa.BigInteger, nullable=False),
        sa.Column("updated_ms", sa.BigInteger, nullable=False),
        sa.Column("executor", sa.String(64)),
        sa.Column("definition", sa.String(64), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index("executions_of_pipeline", "executions", ["pipeline", "started_ms"])
    op.create_index("executions_of_executor", "executions", ["executor", "live"])
    op.create_table(
        "actions",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("execution_id", sa.String(64), sa.ForeignKey("executions.id"), nullable=False),
        sa.Column("pipeline", sa.String(200), nullable=False),
        sa.Column("stage", sa.String(120), nullable=False),
        sa.Column("action", sa.String(120), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("started_ms", sa.BigInteger, nullable=False),
        sa.Column("updated_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("actions_of_pipeline", "actions", ["pipeline", "started_ms"])
    op.create_index("actions_of_execution", "actions", ["execution_id"])
    op.create_table(
        "executors",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("seen_ms", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    for table in ("executors", "actions", "executions", "commands", "events", "versions", "definitions", "pipelines"):
        op.drop_table(table)
