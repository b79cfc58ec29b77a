"""Deletes students from the tables. Each function is one transaction's work, and may be repeated.

What dbt has consumed is not simply deleted. Of a model with students the rows and the record of
what they were built from go together, as if the student had never been. A model of aggregates
has to find out that something is gone: there the record stays, under a key that says nothing.
"""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from warehouse.erasure import catalogue
from warehouse.locks import ABILITIES_LOCK, hold

ERASED = "[erased]"
# Free text of ours that may quote an id: a command's arguments, an error.
_TEXTS = (
    ("ops.pipeline_runs", "details"),
    ("ops.pipeline_runs", "error"),
    ("ops.dbt_results", "message"),
    ("irt.requested_runs", "error"),
    ("irt.requested_runs", "detail"),
)


def erase_from_irt(connection: Connection, students: Sequence[str]) -> Counter[str]:
    """Delete abilities, retractions, deliveries, fit; and what clients were answered of them.

    Waits until nobody scores; who scores afterwards sees the suppression list.
    """
    hold(connection, ABILITIES_LOCK)
    removed = _delete(connection, catalogue.own_places(connection, "irt"), students, [])
    rows = connection.execute(
        sa.text(
            """
            update irt.requested_runs
            set result = jsonb_set(
                result,
                '{abilities}',
                (
                    select coalesce(jsonb_agg(ability.value order by ability.ordinality), '[]')
                    from jsonb_array_elements(result -> 'abilities')
                        with ordinality as ability (value, ordinality)
                    where coalesce(ability.value ->> 'user_id', '') <> all(:students)
                )
            )
            where
                jsonb_typeof(result -> 'abilities') = 'array'
                and exists (
                    select 1
                    from jsonb_array_elements(result -> 'abilities') as ability
                    where ability.value ->> 'user_id' = any(:students)
                )
            """
        ),
        {"students": list(students)},
    )
    removed["irt.requested_runs"] += rows.rowcount
    return removed


def erase_from_reports(connection: Connection, students: Sequence[str]) -> Counter[str]:
    """Delete the records of reports; call it when the reports themselves are gone."""
    return _delete(connection, catalogue.own_places(connection, "reports"), students, [])


def erase_from_marts(connection: Connection, students: Sequence[str]) -> Counter[str]:
    """Delete from everything that dbt built and remembers, in one state of the database."""
    consumed = catalogue.consumed_tables(connection)
    for table in consumed:
        # As a build does: nobody builds a model while it changes.
        connection.exec_driver_sql(f"lock table {table} in share row exclusive mode")
    places = catalogue.mart_places(connection)
    sessions = _sessions(connection, places, consumed, students)
    removed = _delete(connection, places, students, sessions)
    removed += _delete(connection, catalogue.kept_places(connection), students, sessions)
    keys = {"students": list(students), "sessions": sessions}
    for table in catalogue.revision_tables(connection):
        statement = f"delete from {table} where key = any(:sessions)"  # noqa: S608 - our tables
        removed[table] += connection.execute(sa.text(statement), keys).rowcount
    for table, has_students in consumed.items():
        statement = _forget(table) if has_students else _make_nameless(table)
        removed[table] += connection.execute(sa.text(statement), keys).rowcount
    return removed


def redact_ledger(connection: Connection, students: Sequence[str]) -> Counter[str]:
    """Replace ids of students in what runs said of themselves."""
    removed = _delete(connection, catalogue.own_places(connection, "ops"), students, [])
    for table, column in _TEXTS:
        if not _has_column(connection, table, column):
            continue
        rows = connection.execute(
            sa.text(
                f"""
                select ctid::text as place, {column} as value
                from {table}
                where
                    {column} is not null
                    and exists (
                        select 1
                        from unnest(cast(:students as text[])) as student
                        where strpos({column}::text, trim(both '"' from to_json(student)::text)) > 0
                    )
                for update
                """  # noqa: S608 - constants
            ),
            {"students": list(students)},
        ).all()
        for row in rows:
            fresh = redacted(row.value, frozenset(students))
            if fresh != row.value:
                is_json = not isinstance(fresh, str)
                connection.execute(
                    sa.text(
                        f"update {table} set {column} = "  # noqa: S608 - constants
                        f"{'cast(:value as jsonb)' if is_json else ':value'} "
                        "where ctid = cast(:place as tid)"
                    ),
                    {"value": json.dumps(fresh) if is_json else fresh, "place": row.place},
                )
                removed[table] += 1
    return removed


def redacted(value: Any, students: frozenset[str]) -> Any:
    """Return a text or a JSON value without these ids, where they stand for themselves.

    >>> redacted({"s_1": "student 's_1' failed, s_12 did not"}, frozenset({"s_1"}))
    {'[erased]': "student '[erased]' failed, s_12 did not"}
    """
    if isinstance(value, dict):
        return {redacted(key, students): redacted(entry, students) for key, entry in value.items()}
    if isinstance(value, list):
        return [redacted(entry, students) for entry in value]
    if not isinstance(value, str):
        return value
    for student in students:
        value = _without(value, student)
    return value


def _without(text: str, student: str) -> str:
    start = text.find(student)
    while start >= 0:
        end = start + len(student)
        if _is_apart(text[start - 1 : start]) and _is_apart(text[end : end + 1]):
            text = text[:start] + ERASED + text[end:]
            end = start + len(ERASED)
        start = text.find(student, end)
    return text


def _is_apart(character: str) -> bool:
    return not (character.isalnum() or character in ("_", "-")) or not character


def _sessions(
    connection: Connection,
    places: Sequence[catalogue.Place],
    consumed: dict[str, bool],
    students: Sequence[str],
) -> list[str]:
    """Sessions that are or were of these students, as far as anything that dbt built knows."""
    found: set[str] = set()
    by_session = [place for place in places if place.student and place.session]
    statements = [
        f"select {place.session} from {place.table} where {place.student} = any(:students)"  # noqa: S608 - from the catalogue
        for place in by_session
    ]
    statements += [
        f"select input_key from {table} where student_id = any(:students) "  # noqa: S608 - from the catalogue
        "and input in ('int_inputs__deliveries', 'int_inputs__attempted_deliveries')"
        for table, has_students in consumed.items()
        if has_students
    ]
    for statement in statements:
        found.update(connection.execute(sa.text(statement), {"students": list(students)}).scalars())
    found.discard(None)  # type: ignore[arg-type]  # a column may be null
    return sorted(found)


def _delete(
    connection: Connection,
    places: Sequence[catalogue.Place],
    students: Sequence[str],
    sessions: Sequence[str],
) -> Counter[str]:
    removed: Counter[str] = Counter()
    keys = {"students": list(students), "sessions": list(sessions)}
    for place in places:
        conditions = []
        if place.student:
            conditions.append(f"{place.student} = any(:students)")
        if place.session and sessions:
            conditions.append(f"{place.session} = any(:sessions)")
        if conditions:
            statement = f"delete from {place.table} where {' or '.join(conditions)}"  # noqa: S608 - from the catalogue
            removed[place.table] += connection.execute(sa.text(statement), keys).rowcount
    return removed


def _forget(table: str) -> str:
    return (
        f"delete from {table} "  # noqa: S608 - from the catalogue
        "where student_id = any(:students) or input_key = any(:sessions)"
    )


def _make_nameless(table: str) -> str:
    return f"""
        update {table} as consumed
        set input_key = 'erased ' || gen_random_uuid(), version = ''
        where consumed.input_key = any(:sessions)
    """  # noqa: S608 - from the catalogue


def _has_column(connection: Connection, table: str, column: str) -> bool:
    found: bool = connection.execute(
        sa.text(
            """
            select exists (
                select 1
                from pg_catalog.pg_attribute
                where attrelid = to_regclass(:table) and attname = :column and not attisdropped
            )
            """
        ),
        {"table": table, "column": column},
    ).scalar_one()
    return found
