"""Brings the database's schema to the version of this code, and checks that it is there."""

import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import command
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError

from warehouse import revisions
from warehouse.database import describe, require_reachable
from warehouse.errors import (
    DatabaseUnavailableError,
    SchemaAheadError,
    SchemaVersionError,
    WarehouseError,
)
from warehouse.migrations import roles
from warehouse.revisions import EXAM, VERSION_TABLE, WAREHOUSE

logger = logging.getLogger(__name__)

# A migration that cannot get its lock at once lets everybody pass who queued up behind it, and
# tries again.
LOCK_TIMEOUT = "5s"
LOCK_TRIES = 6
LOCK_PAUSE_SECONDS = 5.0
_LOCK_NOT_AVAILABLE = "55P03"
_DEADLOCK = "40P01"
# "tuple concurrently updated": a table was granted on while dbt put another in its place.
_CATALOG_CHANGED = "XX000"
_DEPENDENT_OBJECTS = "2BP01"
_LOOK_SECONDS = 1.0


def migrate(engine: Engine, *, with_exam: bool = False) -> list[str]:
    """Migrate to the newest version, in one transaction; return the versions it is now at
    and was not before.

    `with_exam` also creates the exam application's tables, unless the application has made
    them itself. Concurrent calls wait for each other. A database that is ahead of this code by
    steps that expand is left as it is, so that a release can be rolled back.

    Raises DatabaseUnavailableError, WarehouseError when a lock is not to be had or `exam` holds
    something else, and SchemaAheadError when the database is ahead by more.
    """
    require_reachable(engine)
    return _trying_again(lambda: _migrate(engine, with_exam=with_exam))


def _migrate(engine: Engine, *, with_exam: bool) -> list[str]:
    with _migrating(engine) as connection:
        before = revisions.read_revisions(connection)
        if revisions.is_ahead(connection, before):
            logger.warning("the database is ahead of this code, by steps that only add to it")
            return []
        config = revisions.configuration(connection)
        command.upgrade(config, f"{WAREHOUSE}@head")
        if with_exam and not _is_exam_foreign(connection, before):
            command.upgrade(config, f"{EXAM}@head")
        revisions.write_window(connection)
        # Each time, on the newest tables: roles and tables of the application may have appeared.
        roles.apply(connection)
        roles.apply_exam(connection)
        return sorted(revisions.read_revisions(connection) - before)


def take_back(engine: Engine, *, with_exam: bool = False) -> list[str]:
    """Remove the schemas again, with their rows; return the revisions taken back.

    Refuses (WarehouseError) while objects of others, such as dbt's views, depend on them.
    """
    require_reachable(engine)
    return _trying_again(lambda: _take_back(engine, with_exam=with_exam))


def _take_back(engine: Engine, *, with_exam: bool) -> list[str]:
    with _migrating(engine) as connection:
        before = revisions.read_revisions(connection)
        config = revisions.configuration(connection)
        if with_exam and revisions.head(EXAM) in before:
            command.downgrade(config, f"{EXAM}@base")
        if before & revisions.branch_of(WAREHOUSE):
            command.downgrade(config, f"{WAREHOUSE}@base")
        after = revisions.read_revisions(connection)
        if not after:
            connection.execute(sa.text(f"drop table {VERSION_TABLE}"))
            connection.execute(sa.text("drop schema ops"))
        return sorted(before - after)


def require_current(engine: Engine) -> None:
    """Raise unless the database answers and this code works with its schema.

    That is the schema this code was written for, or a newer one whose further steps expand.
    """
    require_reachable(engine)
    with engine.connect() as connection:
        revisions.require(connection, describe(engine.url))


def wait_until_current(engine: Engine, seconds: float) -> None:
    """Wait until the database answers and this code works with its schema.

    Raises what is still wrong after `seconds`, and SchemaAheadError at once.
    """
    deadline = time.monotonic() + seconds
    said = ""
    while True:
        try:
            require_current(engine)
            return
        except SchemaAheadError:
            raise
        except (DatabaseUnavailableError, SchemaVersionError) as error:
            left = deadline - time.monotonic()
            if left <= 0:
                raise
            if str(error) != said:
                said = str(error)
                logger.info("waiting: %s", said)
            time.sleep(min(_LOOK_SECONDS, left))


def has_exam_migrations(connection: Connection) -> bool:
    """Say whether the exam tables in this database were made by our migration."""
    return bool(revisions.read_revisions(connection) & revisions.branch_of(EXAM))


def _trying_again(work: Callable[[], list[str]]) -> list[str]:
    """Do work in a transaction of its own until it gets its locks, some times over."""
    for left in reversed(range(LOCK_TRIES)):
        try:
            return work()
        except DBAPIError as error:
            state = getattr(error.orig, "sqlstate", None)
            reason = str(error.orig).strip().splitlines()[0]
            if state in (_LOCK_NOT_AVAILABLE, _DEADLOCK, _CATALOG_CHANGED) and left:
                logger.warning("the migration did not get its locks (%s); once more", reason)
                time.sleep(random.uniform(0.5, 1.0) * LOCK_PAUSE_SECONDS)  # noqa: S311 - a pause
                continue
            raise _explained(state, reason) from error
    raise AssertionError("the last try returns or raises")


def _explained(state: str | None, reason: str) -> WarehouseError:
    if state == _LOCK_NOT_AVAILABLE:
        return WarehouseError(
            f"a migration waited {LOCK_TIMEOUT} for a lock, {LOCK_TRIES} times, and gave up; "
            "nothing was changed. Try again when no long transaction runs on these tables"
        )
    if state == _DEPENDENT_OBJECTS:
        return WarehouseError(
            f"not taken back, nothing was changed: {reason}. Drop what dbt built first "
            "(drop schema analytics cascade; drop schema analytics_state cascade)"
        )
    return WarehouseError(f"migration failed, nothing was changed: {reason}")


@contextmanager
def _migrating(engine: Engine) -> Iterator[Connection]:
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


def _is_exam_foreign(connection: Connection, found: set[str]) -> bool:
    """Say whether the application's own tables are there; refuse a schema that is neither."""
    if found & revisions.branch_of(EXAM):
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
