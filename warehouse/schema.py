"""Brings the database's schema to the version of this code, and checks that it is there."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError

from warehouse.database import describe, require_reachable
from warehouse.errors import SchemaVersionError, WarehouseError
from warehouse.migrations import roles

logger = logging.getLogger(__name__)

WAREHOUSE = "warehouse"
EXAM = "exam"
VERSION_TABLE = "ops.schema_version"
# A migration that cannot get its lock at once gives up, instead of holding up every reader
# behind it.
LOCK_TIMEOUT = "5s"
_LOCK_NOT_AVAILABLE = "55P03"
_DEPENDENT_OBJECTS = "2BP01"


def migrate(engine: Engine, *, with_exam: bool = False) -> list[str]:
    """Migrate to the newest version, in one transaction; return the versions it is now at
    and was not before.

    `with_exam` also creates the exam application's tables, unless the application has made
    them itself. Concurrent calls wait for each other.

    Raises DatabaseUnavailableError, WarehouseError when a lock is not to be had or `exam` holds
    something else, and SchemaVersionError when the database is ahead of this code.
    """
    require_reachable(engine)
    with _migrating(engine) as connection:
        before = _revisions(connection)
        _refuse_unknown(before)
        config = _config(connection)
        command.upgrade(config, f"{WAREHOUSE}@head")
        if with_exam and not _is_exam_foreign(connection, before):
            command.upgrade(config, f"{EXAM}@head")
        # Each time, on the newest tables: roles and tables of the application may have appeared.
        roles.apply(connection)
        roles.apply_exam(connection)
        return sorted(_revisions(connection) - before)


def take_back(engine: Engine, *, with_exam: bool = False) -> list[str]:
    """Remove the schemas again, with their rows; return the revisions taken back.

    Refuses (WarehouseError) while objects of others, such as dbt's views, depend on them.
    """
    require_reachable(engine)
    with _migrating(engine) as connection:
        before = _revisions(connection)
        config = _config(connection)
        if with_exam and _head(EXAM) in before:
            command.downgrade(config, f"{EXAM}@base")
        if before & _branch(WAREHOUSE):
            command.downgrade(config, f"{WAREHOUSE}@base")
        after = _revisions(connection)
        if not after:
            connection.execute(sa.text(f"drop table {VERSION_TABLE}"))
            connection.execute(sa.text("drop schema ops"))
        return sorted(before - after)


def require_current(engine: Engine) -> None:
    """Raise unless the database answers and its schema is what this code was written for."""
    require_reachable(engine)
    with engine.connect() as connection:
        found = _revisions(connection) & _known()
        unknown = _revisions(connection) - _known()
    needed = _head(WAREHOUSE)
    if needed not in found:
        here = ", ".join(sorted((found & _branch(WAREHOUSE)) | unknown)) or "no version"
        raise SchemaVersionError(
            f"the database at {describe(engine.url)} is at {here}, the code needs {needed}: "
            "run python -m warehouse migrate"
        )


def has_exam_migrations(connection: Connection) -> bool:
    """Say whether the exam tables in this database were made by our migration."""
    return bool(_revisions(connection) & _branch(EXAM))


@contextmanager
def _migrating(engine: Engine) -> Iterator[Connection]:
    try:
        with engine.connect() as connection, connection.begin():
            connection.execute(
                sa.text("select pg_advisory_xact_lock(hashtextextended('seedtest:migrate', 0))")
            )
            # After the advisory lock, which may take as long as somebody else's migration.
            connection.execute(sa.text(f"set local lock_timeout = '{LOCK_TIMEOUT}'"))
            # Alembic's own table lies here. Asked first, because `create schema if not
            # exists` needs a privilege on the database even where there is nothing to do.
            if connection.execute(sa.text("select to_regnamespace('ops') is null")).scalar_one():
                connection.execute(sa.text("create schema ops"))
            yield connection
    except DBAPIError as error:
        state = getattr(error.orig, "sqlstate", None)
        reason = str(error.orig).strip().splitlines()[0]
        if state == _LOCK_NOT_AVAILABLE:
            raise WarehouseError(
                f"a migration waited {LOCK_TIMEOUT} for a lock and gave up; nothing was changed. "
                "Try again when no long transaction runs on these tables"
            ) from error
        if state == _DEPENDENT_OBJECTS:
            raise WarehouseError(
                f"not taken back, nothing was changed: {reason}. Drop what dbt built first "
                "(drop schema analytics cascade; drop schema analytics_state cascade)"
            ) from error
        raise WarehouseError(f"migration failed, nothing was changed: {reason}") from error


def _script() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config(None))


def _config(connection: Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _branch(name: str) -> set[str]:
    return {script.revision for script in _script().iterate_revisions(f"{name}@head", "base")}


def _known() -> set[str]:
    return _branch(WAREHOUSE) | _branch(EXAM)


def _head(branch: str) -> str:
    script = _script().get_revision(f"{branch}@head")
    return str(script.revision)


def _revisions(connection: Connection) -> set[str]:
    exists = connection.execute(
        sa.text("select to_regclass(:name) is not null"), {"name": VERSION_TABLE}
    )
    if not exists.scalar_one():
        return set()
    rows = connection.execute(sa.text(f"select version_num from {VERSION_TABLE}"))  # noqa: S608 - a constant
    return set(rows.scalars())


def _refuse_unknown(revisions: set[str]) -> None:
    unknown = revisions - _known()
    if unknown:
        raise SchemaVersionError(
            f"the database is at {', '.join(sorted(unknown))}, which this code does not know: "
            "it is older than the database. Update the code"
        )


def _is_exam_foreign(connection: Connection, revisions: set[str]) -> bool:
    """Say whether the application's own tables are there; refuse a schema that is neither."""
    if revisions & _branch(EXAM):
        return False
    tables: int = connection.execute(
        sa.text(
            "select count(*) from pg_catalog.pg_class "
            "where relnamespace = to_regnamespace('exam') and relkind in ('r', 'p', 'v', 'm', 'f')"
        )
    ).scalar_one()
    if not tables:
        return False
    has_results: bool = connection.execute(
        sa.text("select to_regclass('exam.exam_results') is not null")
    ).scalar_one()
    if not has_results:
        raise WarehouseError(
            f"schema exam holds {tables} relations that these migrations did not make, and no "
            "exam_results: --with-exam creates the tables in an empty schema only"
        )
    logger.info("schema exam holds the application's own tables; they are left alone")
    return True
