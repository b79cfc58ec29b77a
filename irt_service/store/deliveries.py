"""Deliveries of the exam application: what changed, whose it is, what was done with it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from irt_service.store.copying import array_literal

GONE = ""  # version of a result that was deleted
SCORED = "scored"
NOTHING_TO_SCORE = "nothing_to_score"
PARKED = "parked"


class Candidate(NamedTuple):
    """A result in a version that may not have been dealt with."""

    session_id: str
    version: str
    updated_at: datetime | None


class Delivery(NamedTuple):
    """A result that was dealt with.

    Attributes:
        revision: of fct_sessions, null when the result was read from staging.
    """

    session_id: str
    version: str
    updated_at: datetime | None
    revision: int | None
    student_id: str | None
    status: str
    reason: str | None


class Parked(NamedTuple):
    """A result that could not be scored."""

    session_id: str
    student_id: str | None
    tries: int
    reason: str
    since: datetime


class Patience(NamedTuple):
    """How often a delivery is tried, and how many seconds it is left alone in between."""

    max_tries: int
    retry_after: float


# What the record says differs from what is there. Rows are compared by version, not by time: a
# transaction that commits late and a row that is loaded with an old updated_at are found.
_IS_UNDONE = """(
    (
        results.session_id is not null
        and (
            deliveries.session_id is null
            or deliveries.result_version <> cast(results.xmin as text)
            or deliveries.result_updated_at is distinct from results.updated_at
        )
    )
    or (results.session_id is null and deliveries.result_version <> '')
    or (
        deliveries.status = 'parked'
        and deliveries.tries < :max_tries
        and deliveries.processed_at < clock_timestamp() - make_interval(secs => :retry_after)
    )
)"""
# Every result that is undone; its parameters are those of Patience.
UNDONE = f"""
exam.exam_results as results
full join irt.deliveries as deliveries
    on results.session_id = deliveries.session_id collate "default"
where {_IS_UNDONE}
"""


def read_undone(connection: Connection, limit: int, patience: Patience) -> list[str]:
    """Sessions whose results are new, delivered again or deleted since they were dealt with.

    Compares every result: this is what makes it certain that none is missed. The oldest come
    first, since a session that is dealt with before an earlier one is scored twice.
    """
    rows = connection.execute(
        sa.text(
            f"""
            select coalesce(results.session_id, deliveries.session_id)
            from {UNDONE}
            order by results.updated_at, 1
            limit :limit
            """  # noqa: S608 - constants
        ),
        {**patience._asdict(), "limit": limit},
    )
    return list(rows.scalars())


def read_undone_of_late(
    connection: Connection, seconds: float, limit: int, patience: Patience
) -> list[str]:
    """Those of them that say that they were updated in the last seconds, by the index of that."""
    rows = connection.execute(
        sa.text(
            f"""
            select results.session_id
            from exam.exam_results as results
            left join irt.deliveries as deliveries
                on results.session_id = deliveries.session_id
            where
                results.updated_at > clock_timestamp() - make_interval(secs => :seconds)
                and {_IS_UNDONE}
            order by results.updated_at
            limit :limit
            """  # noqa: S608 - constants
        ),
        {**patience._asdict(), "seconds": seconds, "limit": limit},
    )
    return list(rows.scalars())


def claim(
    connection: Connection, session_ids: Sequence[str], patience: Patience
) -> list[Candidate]:
    """Those of some sessions that are undone and that nobody else has claimed.

    The claim lasts until the transaction ends. It is taken by whoever is first; others leave
    the session alone and find it again should its holder be killed.
    """
    rows = connection.execute(
        sa.text(
            f"""
            select
                claimed.session_id,
                coalesce(cast(results.xmin as text), '') as version,
                results.updated_at
            from unnest(cast(:ids as text[])) as claimed (session_id)
            left join exam.exam_results as results on claimed.session_id = results.session_id
            left join irt.deliveries as deliveries
                on claimed.session_id collate "C" = deliveries.session_id
            where
                pg_try_advisory_xact_lock(
                    hashtextextended('seedtest:session:' || claimed.session_id, 0)
                )
                and {_IS_UNDONE}
            """  # noqa: S608 - constants
        ),
        {**patience._asdict(), "ids": list(session_ids)},
    )
    return [Candidate._make(row) for row in rows]


def read_versions(connection: Connection, session_ids: Sequence[str]) -> list[Candidate]:
    """The version in which each of these results is there now, GONE for those that are not."""
    rows = connection.execute(
        sa.text(
            """
            select session_id, cast(xmin as text) as version, updated_at
            from exam.exam_results
            where session_id = any(:ids)
            """
        ),
        {"ids": list(session_ids)},
    )
    found = {row.session_id: Candidate._make(row) for row in rows}
    return [found.get(one, Candidate(one, GONE, None)) for one in session_ids]


def lock_students(connection: Connection, students: Sequence[str]) -> None:
    """Wait for the locks of these students and hold them until the transaction ends.

    Everybody takes them in one order, so nobody waits for somebody who waits for him.
    """
    connection.execute(
        sa.text(
            """
            select pg_advisory_xact_lock(ordered.key)
            from (
                select distinct hashtextextended('seedtest:student:' || student, 0) as key
                from unnest(cast(:students as text[])) as student
                order by 1
            ) as ordered
            """
        ),
        {"students": list(students)},
    )


def write_deliveries(connection: Connection, deliveries: Sequence[Delivery]) -> None:
    """Record what was done; a record that says the same already is left alone."""
    if not deliveries:
        return
    columns = list(zip(*sorted(deliveries), strict=True))
    connection.execute(
        sa.text(
            """
            insert into irt.deliveries as old (
                session_id, result_version, result_updated_at, session_revision, user_id, status,
                reason, tries
            )
            select *, 1
            from unnest(
                cast(:session_ids as text[]), cast(:versions as text[]),
                cast(:updated_at as timestamptz[]), cast(:revisions as bigint[]),
                cast(:students as text[]), cast(:statuses as text[]), cast(:reasons as text[])
            )
            on conflict (session_id) do update set
                result_version = excluded.result_version,
                result_updated_at = excluded.result_updated_at,
                session_revision = excluded.session_revision,
                user_id = excluded.user_id,
                status = excluded.status,
                reason = excluded.reason,
                tries = excluded.tries,
                processed_at = clock_timestamp()
            where
                (
                    old.result_version, old.result_updated_at, old.session_revision, old.user_id,
                    old.status, old.reason
                ) is distinct from (
                    excluded.result_version, excluded.result_updated_at,
                    excluded.session_revision, excluded.user_id, excluded.status, excluded.reason
                )
            """
        ),
        dict(
            zip(
                ("session_ids", "versions", "updated_at", "revisions", "students", "statuses",
                 "reasons"),
                map(array_literal, columns),
                strict=True,
            )
        ),
    )  # fmt: skip


def park(connection: Connection, candidate: Candidate, reason: str) -> int:
    """Record a failed try; returns how often this version has failed.

    Whose the session was stays on record until its abilities are written.
    """
    tries: int = connection.execute(
        sa.text(
            """
            insert into irt.deliveries as old (
                session_id, result_version, result_updated_at, status, reason
            )
            values (:session_id, :version, :updated_at, 'parked', :reason)
            on conflict (session_id) do update set
                tries = case
                    when old.status = 'parked' and old.result_version = excluded.result_version
                        then old.tries + 1
                    else 1
                end,
                result_version = excluded.result_version,
                result_updated_at = excluded.result_updated_at,
                session_revision = null,
                status = 'parked',
                reason = excluded.reason,
                processed_at = clock_timestamp()
            returning tries
            """
        ),
        {**candidate._asdict(), "reason": reason.replace("\0", "\\0")},
    ).scalar_one()
    return tries


def list_parked(connection: Connection) -> list[Parked]:
    """Results that could not be scored, the latest first."""
    rows = connection.execute(
        sa.text(
            """
            select session_id, user_id, tries, reason, processed_at
            from irt.deliveries
            where status = 'parked'
            order by processed_at desc
            """
        )
    )
    return [Parked._make(row) for row in rows]


def retry_parked(connection: Connection) -> int:
    """Let every parked result be tried again at once; returns how many there are."""
    return connection.execute(
        sa.text(
            """
            update irt.deliveries
            set tries = 0, processed_at = '-infinity'
            where status = 'parked'
            """
        )
    ).rowcount


def read_session_ids_of(connection: Connection, students: Sequence[str]) -> list[str]:
    """Every session that is or was some student's, by staging, the marts or our own record."""
    rows = connection.execute(
        sa.text(
            """
            select session_id
            from analytics.stg_exam__session_questions
            where student_id = any(:students)
            union
            select session_id
            from analytics.fct_sessions
            where student_id = any(:students) and is_result_ready
            union
            select session_id
            from irt.deliveries
            where user_id = any(:students)
            """
        ),
        {"students": list(students)},
    )
    return sorted(rows.scalars())


def read_outdated_students(
    connection: Connection,
    students: Sequence[str],
    sessions: Sequence[tuple[str, str, str]],
) -> set[str]:
    """Those of `students` of whom the marts are behind what was delivered.

    Args:
        sessions: student, session and version of every session the marts give them.
    """
    columns = [array_literal(column) for column in zip(*sessions, strict=True)] or ["{}"] * 3
    rows = connection.execute(
        sa.text(
            """
            with built as (
                select *
                from unnest(
                    cast(:owners as text[]), cast(:sessions as text[]), cast(:versions as text[])
                ) as built (student_id, session_id, version)
            )
            select built.student_id
            from built
            left join exam.exam_results as results on built.session_id = results.session_id
            where cast(results.xmin as text) is distinct from built.version
            union
            select deliveries.user_id
            from irt.deliveries as deliveries
            inner join exam.exam_results as results
                on results.session_id = deliveries.session_id collate "default"
            where
                deliveries.user_id = any(:students)
                and not exists (
                    select 1
                    from built
                    where
                        built.session_id = deliveries.session_id
                        and built.student_id = deliveries.user_id
                )
            """
        ),
        {
            "students": list(students),
            "owners": columns[0],
            "sessions": columns[1],
            "versions": columns[2],
        },
    )
    return set(rows.scalars())
