"""What the online update reads of some students: new deliveries from staging, the rest from marts.

A student's history may be long and parsing it anew for every session would take most of the
time. What the marts hold in the version that was dealt with is read from there, packed; only
deliveries that the marts do not hold yet go through staging.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from irt_service.days import to_datetime, to_microseconds
from irt_service.histories import Attempt
from irt_service.sessions import NO_ATTEMPT, Index
from irt_service.store.copying import POSTGRESQL_EPOCH, driver, unpack_int8

ALL_SESSIONS = -(2**63)  # a scope that begins before every session


class KnownSession(NamedTuple):
    """A session that was dealt with before, or that the marts give a student.

    Attributes:
        is_parked: its contents are not known.
        is_dealt_with: it is on record as this student's.
        is_built: the marts give it to this student, in whatever version.
        is_current: the marts hold the version that was dealt with.
        effective_at: last attempt by the marts.
    """

    student_id: str
    session_id: str
    is_parked: bool
    is_dealt_with: bool
    is_built: bool
    is_current: bool
    effective_at: int


@dataclass(frozen=True)
class PackedResponses:
    """First graded responses of one student from the marts, in any order."""

    student_id: str
    items: list[str]
    topics: list[str | None]
    answered_at: Index
    correct: list[bool]


def read_attempts_of(connection: Connection, session_ids: Sequence[str]) -> list[Attempt]:
    """All attempts of some sessions as they are delivered now."""
    if not session_ids:
        return []
    rows = connection.execute(
        sa.text(
            """
            select
                session_id, position, student_id, item_id, topic_id, is_correct, answered_at
            from analytics.stg_exam__session_questions
            where session_id = any(:ids) and rejection_reason is null
            """
        ),
        {"ids": list(session_ids)},
    )
    return _attempts(rows)


def read_recorded_students(
    connection: Connection, session_ids: Sequence[str]
) -> dict[str, str | None]:
    """Whose the sessions were when they were dealt with; those never dealt with are left out."""
    rows = connection.execute(
        sa.text("select session_id, user_id from irt.deliveries where session_id = any(:ids)"),
        {"ids": list(session_ids)},
    )
    return {row.session_id: row.user_id for row in rows}


def read_known_sessions(
    connection: Connection, scope: dict[str, int], *, from_marts: bool
) -> list[KnownSession]:
    """Sessions of some students that are in scope, or of which record and marts disagree.

    Args:
        scope: by student the moment from which on sessions are in scope.
        from_marts: False to take it that the marts hold nothing.
    """
    marts = (
        """
        select student_id, session_id, result_version, last_answered_at
        from analytics.fct_sessions
        where student_id = any(:students) and is_result_ready
        """
        if from_marts
        else """
        select
            null::text as student_id, null::text as session_id,
            null::text as result_version, null::timestamptz as last_answered_at
        where false
        """
    )
    rows = connection.execute(
        sa.text(
            f"""
            with sessions as (
                select
                    coalesce(deliveries.user_id, built.student_id) as student_id,
                    coalesce(deliveries.session_id, built.session_id) as session_id,
                    coalesce(deliveries.status = 'parked', false) as is_parked,
                    deliveries.session_id is not null as is_dealt_with,
                    built.session_id is not null as is_built,
                    coalesce(
                        deliveries.status <> 'parked'
                        and deliveries.result_version = built.result_version,
                        false
                    ) as is_current,
                    built.last_answered_at
                from (
                    select user_id, session_id, status, result_version
                    from irt.deliveries
                    where user_id = any(:students)
                ) as deliveries
                full join ({marts}) as built
                    on
                        deliveries.session_id = built.session_id
                        and deliveries.user_id = built.student_id
            )

            select sessions.*
            from sessions
            inner join unnest(cast(:students as text[]), cast(:since as timestamptz[]))
                as scope (student_id, since)
                on sessions.student_id = scope.student_id
            where
                not sessions.is_current
                or sessions.last_answered_at >= scope.since
                or scope.since = '-infinity'
            """  # noqa: S608 - constants
        ),
        {"students": list(scope), "since": [_moment(since) for since in scope.values()]},
    )
    return [
        KnownSession(
            row.student_id,
            row.session_id,
            row.is_parked,
            row.is_dealt_with,
            row.is_built,
            row.is_current,
            NO_ATTEMPT if row.last_answered_at is None else to_microseconds(row.last_answered_at),
        )
        for row in rows
    ]


def read_overtaken_students(connection: Connection, students: Sequence[str]) -> set[str]:
    """Those of some students of whom the marts take first answers from sessions of another time.

    fct_attempts and fct_sessions are built one after the other: a session that has moved or
    failed in between still has its old attempts, and is nobody's in the version they have.
    """
    rows = connection.execute(
        sa.text(
            """
            select distinct responses.student_id
            from analytics.fct_item_responses as responses
            where
                responses.student_id = any(:students)
                and not exists (
                    select 1
                    from analytics.fct_sessions as built
                    inner join irt.deliveries as deliveries
                        on
                            built.session_id = deliveries.session_id
                            and built.student_id = deliveries.user_id
                            and built.result_version = deliveries.result_version
                    where
                        built.session_id = responses.session_id
                        and built.student_id = responses.student_id
                        and built.is_result_ready
                        and deliveries.status <> 'parked'
                )
            """
        ),
        {"students": list(students)},
    )
    return set(rows.scalars())


def read_first_responses(
    connection: Connection,
    horizon: dict[str, int],
    asked_again: Sequence[tuple[str, str]],
) -> tuple[list[PackedResponses], list[Attempt]]:
    """First graded responses after each student's horizon, by the marts.

    Args:
        horizon: by student the moment that responses have to be later than.
        asked_again: students and items to be told apart, whenever they were answered: which
            answer was the first is not decided by the marts alone.

    Returns:
        the responses to other items, packed, and those to the items asked again.
    """
    if not horizon:
        return [], []
    students, items = [pair[0] for pair in asked_again], [pair[1] for pair in asked_again]
    with driver(connection).cursor(binary=True) as cursor:
        cursor.execute(
            """
            select
                scope.student_id,
                array_agg(responses.item_id),
                array_agg(responses.topic_id),
                array_send(array_agg(responses.answered_at)),
                array_agg(responses.is_correct)
            from unnest(%(students)s::text[], %(horizons)s::timestamptz[])
                as scope (student_id, horizon)
            inner join analytics.fct_item_responses as responses
                on scope.student_id = responses.student_id
            where
                responses.answered_at > scope.horizon
                and not exists (
                    select 1
                    from unnest(%(again_students)s::text[], %(again_items)s::text[])
                        as again (student_id, item_id)
                    where
                        again.student_id = responses.student_id
                        and again.item_id = responses.item_id
                )
            group by scope.student_id
            """,
            {
                "students": list(horizon),
                "horizons": [_moment(moment) for moment in horizon.values()],
                "again_students": students,
                "again_items": items,
            },
        )
        rows = cursor.fetchall()
    _, moments = unpack_int8([bytes(row[3]) for row in rows])
    packed, start = [], 0
    for row in rows:
        stop = start + len(row[1])
        packed.append(
            PackedResponses(row[0], row[1], row[2], moments[start:stop] + POSTGRESQL_EPOCH, row[4])
        )
        start = stop
    again = connection.execute(
        sa.text(
            """
            select
                responses.session_id, responses.position, responses.student_id,
                responses.item_id, responses.topic_id, responses.is_correct,
                responses.answered_at
            from unnest(cast(:students as text[]), cast(:items as text[]))
                as again (student_id, item_id)
            inner join analytics.fct_item_responses as responses
                on
                    again.student_id = responses.student_id
                    and again.item_id = responses.item_id
            where again.student_id = any(:reliable)
            """
        ),
        {"students": students, "items": items, "reliable": list(horizon)},
    )
    return packed, _attempts(again)


def read_built_attempts(connection: Connection, session_ids: Sequence[str]) -> list[Attempt]:
    """All graded attempts that the marts hold of some sessions."""
    if not session_ids:
        return []
    rows = connection.execute(
        sa.text(
            """
            select
                session_id, position, student_id, item_id, topic_id, is_correct, answered_at
            from analytics.fct_attempts
            where session_id = any(:ids) and is_correct is not null
            """
        ),
        {"ids": list(session_ids)},
    )
    return _attempts(rows)


def _attempts(rows: sa.CursorResult[Any]) -> list[Attempt]:
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


def _moment(microseconds: int) -> str:
    return "-infinity" if microseconds == ALL_SESSIONS else to_datetime(microseconds).isoformat()
