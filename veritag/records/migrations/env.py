"""Alembic's environment: runs on the connection that `Records.migrate` hands over."""

from alembic import context

from veritag.records.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    render_as_batch=True,
)
context.run_migrations()
