"""Deliveries of the exam application: what changed, whose it is, what was done with it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from irt_service.days import to_microseconds
from irt_service.histories import Attempt

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


def read_candidates(
    connection: Connection, limit: int, max_tries: int, retry_after_seconds: float
) -> list[Candidate]:
    """Results that are new, delivered again or deleted since they were dealt with.

    Compares the row version and updated_at of every result, so a transaction that commits late
    and a row that is loaded with an old updated_at are found.
    """
    rows = connection.execute(
        sa.text(
            """
            select results.session_id, cast(results.xmin as text) as version, results.updated_at
            from exam.exam_results as results
            left join irt.deliveries as deliveries
                on results.session_id = deliveries.session_id
            where
                deliveries.session_id is null
                or deliveries.result_version <> cast(results.xmin as text)
                or deliveries.result_updated_at is distinct from results.updated_at
                or (
                    deliveries.status = 'parked'
                    and deliveries.tries < :max_tries
                    and deliveries.processed_at
                    < clock_timestamp() - make_interval(secs => :retry_after)
                )
            union all
            select deliveries.session_id, '', null
            from irt.deliveries as deliveries
            where
                deliveries.result_version <> ''
                and not exists (
                    select 1
                    from exam.exam_results as results
                    where results.session_id = deliveries.session_id
                )
            limit :limit
            """
        ),
        {"limit": limit, "max_tries": max_tries, "retry_after": retry_after_seconds},
    )
    return [Candidate(row.session_id, row.version, row.updated_at) for row in rows]


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


def read_owners(connection: Connection, session_ids: Sequence[str]) -> dict[str, set[str]]:
    """The students whom each session touches: whose it is, and whose it was."""
    rows = connection.execute(
        sa.text(
            """
            select session_id, student_id
            from analytics.stg_exam__session_questions
            where session_id = any(:ids) and student_id is not null
            group by session_id, student_id
            union
            select session_id, user_id
            from irt.deliveries
            where session_id = any(:ids) and user_id is not null
            """
        ),
        {"ids": list(session_ids)},
    )
    owners: dict[str, set[str]] = {one: set() for one in session_ids}
    for row in rows:
        owners[row.session_id].add(row.student_id)
    return owners


def lock_students(connection: Connection, students: Sequence[str]) -> set[str]:
    """Take the locks of these students that are free until the transaction ends."""
    rows = connection.execute(
        sa.text(
            """
            select student
            from unnest(cast(:students as text[])) as student
            where pg_try_advisory_xact_lock(hashtextextended('seedtest:student:' || student, 0))
            """
        ),
        {"students": sorted(students)},
    )
    return set(rows.scalars())


def keep_undone(connection: Connection, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those that nobody has dealt with since they were found; call it under the locks."""
    rows = connection.execute(
        sa.text(
            """
            select session_id, result_version, result_updated_at
            from irt.deliveries
            where session_id = any(:ids) and status <> 'parked'
            """
        ),
        {"ids": [candidate.session_id for candidate in candidates]},
    )
    done = {Candidate._make(row) for row in rows}
    return [candidate for candidate in candidates if candidate not in done]


def read_attempts(connection: Connection, students: Sequence[str]) -> list[Attempt]:
    """All attempts of some students as they are now."""
    rows = connection.execute(
        sa.text(
            """
            select
                session_id, position, student_id, item_id, topic_id, is_correct, answered_at
            from analytics.stg_exam__session_questions
            where student_id = any(:students) and rejection_reason is null
            """
        ),
        {"students": list(students)},
    )
    return [
        Attempt(
            row.session_id,
            row.position,
            row.student_id,
            row.item_id,
            row.topic_id,
            row.is_correct,
            to_microseconds(row.answered_at),
        )
        for row in rows
    ]


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
                (list(column) for column in columns),
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
    columns = [list(column) for column in zip(*sessions, strict=True)] or [[], [], []]
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
