"""Finds where a student may be kept, from the database's own catalogue.

A table that is added later is found by its column, so that erasure stays whole; a test scans
every column of every table for what was missed.
"""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

SUPPRESSION_LIST = "ops.erased_students"
STUDENT_COLUMNS = ("student_id", "user_id")
# dbt's schema, and those that it makes beside it (stored failures of tests).
_MARTS = "(nspname = 'analytics' or nspname like 'analytics\\_%') and nspname <> 'analytics_state'"


@dataclass(frozen=True)
class Place:
    """A table that names students or sessions, by the columns that do."""

    table: str
    student: str | None
    session: str | None


def own_places(connection: Connection, schema: str) -> list[Place]:
    """Return the tables of one of our schemas that have a student's column."""
    found = _tables(connection, f"nspname = '{schema}'")
    return [place for place in found if place.student and place.table != SUPPRESSION_LIST]


def mart_places(connection: Connection) -> list[Place]:
    """Return the tables that dbt built which name students or sessions."""
    return [place for place in _tables(connection, _MARTS) if place.student or place.session]


def kept_places(connection: Connection) -> list[Place]:
    """Return the copies of rows that builds keep: for a night's tests, and to take them back."""
    found = _tables(
        connection,
        "nspname = 'analytics_state' and relname similar to '%\\_\\_(replaced|superseded)'",
    )
    return [place for place in found if place.student or place.session]


def consumed_tables(connection: Connection) -> dict[str, bool]:
    """Return the tables of what each model consumed, with whether the model has students."""
    rows = connection.execute(
        sa.text(
            """
            select
                state.relname as model,
                exists (
                    select 1
                    from pg_catalog.pg_attribute as columns
                    where
                        columns.attrelid = to_regclass(format('analytics.%I', state.relname))
                        and columns.attname = 'student_id'
                        and not columns.attisdropped
                ) as has_students
            from pg_catalog.pg_class as state
            inner join pg_catalog.pg_attribute as keys
                on state.oid = keys.attrelid and keys.attname = 'input_key'
            where
                state.relnamespace = to_regnamespace('analytics_state')
                and state.relkind = 'r'
            order by state.relname
            """
        )
    )
    return {_qualified("analytics_state", row.model): row.has_students for row in rows}


def revision_tables(connection: Connection) -> list[str]:
    """Return the tables of which transaction last wrote a session."""
    rows = connection.execute(
        sa.text(
            """
            select relname
            from pg_catalog.pg_class
            where
                relnamespace = to_regnamespace('analytics_state')
                and relkind = 'r'
                and relname like '%\\_\\_revisions'
            order by relname
            """
        )
    )
    return [_qualified("analytics_state", row.relname) for row in rows]


def _tables(connection: Connection, condition: str) -> list[Place]:
    rows = connection.execute(
        sa.text(
            f"""
            select
                nspname,
                relname,
                min(attname) filter (where attname = any(:students)) as student,
                min(attname) filter (where attname = 'session_id') as session
            from pg_catalog.pg_class as tables
            inner join pg_catalog.pg_namespace as schemas on tables.relnamespace = schemas.oid
            inner join pg_catalog.pg_attribute as columns on tables.oid = columns.attrelid
            where
                tables.relkind in ('r', 'p')
                and columns.attnum > 0
                and not columns.attisdropped
                and ({condition})
            group by nspname, relname
            order by nspname, relname
            """  # noqa: S608 - constants
        ),
        {"students": list(STUDENT_COLUMNS)},
    )
    return [Place(_qualified(row.nspname, row.relname), row.student, row.session) for row in rows]


def _qualified(schema: str, table: str) -> str:
    quoted = table if table.isidentifier() and table == table.lower() else f'"{table}"'
    return f"{schema}.{quoted}"
