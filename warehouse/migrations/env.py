"""Alembic's entry: runs on the connection that `warehouse.schema` hands over."""

from alembic import context

VERSION_TABLE = "schema_version"
VERSION_SCHEMA = "ops"


def run() -> None:
    """Run the migrations in the caller's transaction; the caller commits."""
    connection = context.config.attributes["connection"]
    context.configure(
        connection=connection,
        version_table=VERSION_TABLE,
        version_table_schema=VERSION_SCHEMA,
    )
    context.run_migrations()


run()
