"""Run by Alembic: applies revisions on the connection that the opening process locked."""

from alembic import context

from pipeyard.engine.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    version_table="pipeyard_version",
    render_as_batch=True,
)
context.run_migrations()
