"""The suppression list `ops.erased_students`: who is left out, and whose erasure is unfinished."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

_KINDS = {
    "classroom": (
        ("exam.classroom_student", "user_id", "classroom_id"),
        ("exam.session", "user_id", "classroom_id"),
        ("analytics.fct_sessions", "student_id", "classroom_id"),
        ("analytics.dim_students", "student_id", "classroom_id"),
    ),
    "organisation": (
        ("exam.session", "user_id", "org_id"),
        ("exam.exam_results", "user_id", "org_id"),
        ("analytics.fct_sessions", "student_id", "org_id"),
        ("analytics.dim_students", "student_id", "org_id"),
    ),
}


@dataclass(frozen=True)
class Entry:
    """One student of the list."""

    student_id: str
    erased_at: datetime
    completed_at: datetime | None
    reason: str | None

    @property
    def is_unfinished(self) -> bool:
        """Whether something of the student may still be kept."""
        return self.completed_at is None


def suppress(engine: Engine, students: Sequence[str], reason: str | None) -> None:
    """Put students on the list; from here on nothing takes them in again."""
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                """
                insert into ops.erased_students as entries (student_id, reason)
                select student_id, :reason from unnest(cast(:students as text[])) as student_id
                on conflict (student_id) do update set
                    reason = coalesce(excluded.reason, entries.reason), completed_at = null
                """
            ),
            {"students": list(dict.fromkeys(students)), "reason": reason},
        )


def lift(engine: Engine, students: Sequence[str]) -> int:
    """Take students off the list; return how many were on it."""
    with engine.begin() as connection:
        return connection.execute(
            sa.text("delete from ops.erased_students where student_id = any(:students)"),
            {"students": list(students)},
        ).rowcount


def complete(engine: Engine, students: Sequence[str]) -> None:
    """Note that nothing of these students is kept any more."""
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "update ops.erased_students set completed_at = clock_timestamp() "
                "where student_id = any(:students)"
            ),
            {"students": list(students)},
        )


def read_all(connection: Connection) -> list[Entry]:
    """Return the list, the latest first."""
    rows = connection.execute(
        sa.text(
            "select student_id, erased_at, completed_at, reason from ops.erased_students "
            "order by erased_at desc, student_id"
        )
    )
    return [Entry(row.student_id, row.erased_at, row.completed_at, row.reason) for row in rows]


def read_cohorts(
    connection: Connection, students: Sequence[str]
) -> dict[str, set[tuple[str, str]]]:
    """Return kind and id of every class and organisation that each of these was ever in.

    A student of whom no table names a class or an organisation is not in the result.
    """
    present = connection.execute(
        sa.text(
            "select name from unnest(cast(:names as text[])) as name "
            "where to_regclass(name) is not null"
        ),
        {"names": sorted({table for sources in _KINDS.values() for table, _, _ in sources})},
    )
    tables: set[str] = set(present.scalars())
    selects = [
        f"select distinct {student}, '{kind}', {cohort}::text from {table} "  # noqa: S608 - constants
        f"where {student} = any(:students) and {cohort} is not null"
        for kind, sources in _KINDS.items()
        for table, student, cohort in sources
        if table in tables
    ]
    found: dict[str, set[tuple[str, str]]] = {}
    if selects:
        rows = connection.execute(
            sa.text(" union all ".join(selects)), {"students": list(students)}
        )
        for student, kind, cohort in rows:
            found.setdefault(str(student), set()).add((str(kind), str(cohort)))
    return found
