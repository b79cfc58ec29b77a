"""Reads the histories of many students from the marts."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from irt_service.histories import LongResponses, LongSessions, compress
from irt_service.sessions import NO_ATTEMPT, NO_TOPIC, Codes, Histories, Index, Strings
from irt_service.store.copying import POSTGRESQL_EPOCH, driver, numbered, unpack_int8

_FETCH_ROWS = 2000
_TOPIC_BITS = 24  # item << 25 | topic << 1 | grade in one bigint
_RESPONSES_PER_PART = 1_250_000  # two parts are in memory at a time


@dataclass(frozen=True)
class Catalogue:
    """Ids that the responses name, in the order of their bytes, and where to cut the students.

    Attributes:
        starts: first student of each part but the first, rising.
    """

    item_ids: list[str]
    topic_ids: list[str]
    starts: list[str]

    @property
    def parts(self) -> list[Selection]:
        """Everybody, in parts with about as many sessions each."""
        return [
            Selection(start=start, end=end)
            for start, end in itertools.pairwise([None, *self.starts, None])
        ]


@dataclass(frozen=True)
class MartHistories:
    """Histories with the version of each session that they rest on, shape (S,)."""

    histories: Histories
    versions: Strings
    updated_at: Strings
    revisions: Index


@dataclass(frozen=True)
class Selection:
    """Which students to read: some by name, or those from `start` to before `end` by bytes."""

    students: Sequence[str] | None = None
    start: str | None = None
    end: str | None = None

    @property
    def condition(self) -> str:
        """SQL on student_id."""
        if self.students is not None:
            return "student_id = any(%(students)s)"
        conditions = ["true"]
        if self.start is not None:
            conditions.append('student_id collate "C" >= %(start)s')
        if self.end is not None:
            conditions.append('student_id collate "C" < %(end)s')
        return " and ".join(conditions)

    @property
    def values(self) -> dict[str, Any]:
        """Its parameters."""
        return {"students": list(self.students or ()), "start": self.start, "end": self.end}


def read_catalogue(connection: Connection) -> Catalogue:
    """Ids of all items and topics with first graded responses."""
    with driver(connection).cursor() as cursor:
        cursor.execute(
            "select item_id, topic_id, count(*) from analytics.fct_item_responses group by 1, 2"
        )
        rows = cursor.fetchall()
        parts = -(-sum(int(row[2]) for row in rows) // _RESPONSES_PER_PART)
        starts: list[str] = []
        if parts > 1:
            cursor.execute(
                """
                select percentile_disc(cast(%(fractions)s as double precision[]))
                    within group (order by student_id collate "C")
                from analytics.fct_sessions
                where is_result_ready
                """,
                {"fractions": [part / parts for part in range(1, parts)]},
            )
            starts = sorted(set(cursor.fetchall()[0][0] or ()))
    return Catalogue(
        sorted({row[0] for row in rows}),
        sorted({row[1] for row in rows if row[1] is not None}),
        starts,
    )


def read_histories(
    connection: Connection, catalogue: Catalogue, selection: Selection
) -> MartHistories:
    """Read the histories of the students selected, in the connection's snapshot."""
    with driver(connection).cursor(binary=True) as cursor:
        cursor.execute(
            f"""
            select
                student_id, session_id, last_answered_at, result_version, result_updated_at,
                revision
            from analytics.fct_sessions
            where is_result_ready and {selection.condition}
            """,  # noqa: S608 - constants
            selection.values,
        )
        rows = cursor.fetchall()
    by_student, packed = _read_packed(connection, catalogue, selection)
    students = sorted({row[0] for row in rows} | set(by_student))
    code = {student: position for position, student in enumerate(students)}
    sizes, packed_codes = unpack_int8([codes for codes, _ in packed])
    _, moments = unpack_int8([moments for _, moments in packed])
    response_students = np.repeat(
        np.array([code[student] for student in by_student], dtype=np.int32), sizes
    )
    histories, order = compress(
        np.array(students, dtype=object),
        np.array(catalogue.item_ids, dtype=object),
        np.array(catalogue.topic_ids, dtype=object),
        LongSessions(
            np.array([code[row[0]] for row in rows], dtype=np.int32),
            _objects([row[1] for row in rows]),
            _microseconds([row[2] for row in rows]),
        ),
        _to_responses(response_students, packed_codes, moments + POSTGRESQL_EPOCH),
    )
    return MartHistories(
        histories,
        _objects([row[3] for row in rows])[order],
        _objects([row[4] for row in rows])[order],
        np.array([row[5] for row in rows], dtype=np.int64)[order],
    )


def _read_packed(
    connection: Connection, catalogue: Catalogue, selection: Selection
) -> tuple[list[str], list[tuple[bytes, bytes]]]:
    """Per student all responses as one array of codes and one of times, in the same order."""
    students: list[str] = []
    packed: list[tuple[bytes, bytes]] = []
    with driver(connection).cursor(name="session_responses", binary=True) as cursor:
        cursor.itersize = _FETCH_ROWS
        cursor.execute(
            f"""
            select
                responses.student_id,
                array_send(array_agg(
                    (items.code << {_TOPIC_BITS + 1})
                    | (coalesce(topics.code, 0) << 1)
                    | cast(responses.is_correct as integer)
                )),
                array_send(array_agg(responses.answered_at))
            from analytics.fct_item_responses as responses
            inner join {numbered("items", "item_id")} as items
                on responses.item_id = items.item_id
            left join {numbered("topics", "topic_id")} as topics
                on responses.topic_id = topics.topic_id
            where {selection.condition}
            group by responses.student_id
            """,  # noqa: S608 - constants
            {
                **selection.values,
                "items": catalogue.item_ids,
                "topics": catalogue.topic_ids,
            },
        )
        for student, codes, moments in cursor:
            students.append(student)
            packed.append((bytes(codes), bytes(moments)))
    return students, packed


def _to_responses(students: Codes, packed: Index, moments: Index) -> LongResponses:
    topics = ((packed >> 1) & ((1 << _TOPIC_BITS) - 1)).astype(np.int32) - 1
    topics[topics < 0] = NO_TOPIC
    return LongResponses(
        students,
        ((packed >> (_TOPIC_BITS + 1)) - 1).astype(np.int32),
        topics,
        moments,
        (packed & 1).astype(np.int8),
    )


def _objects(values: list[Any]) -> Strings:
    """An object array of one dimension, whatever the values are."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _microseconds(moments: list[Any]) -> npt.NDArray[np.int64]:
    """Datetimes as microseconds since 1970, None as NO_ATTEMPT."""
    naive = np.array(
        [None if moment is None else moment.replace(tzinfo=None) for moment in moments],
        dtype="datetime64[us]",
    )
    found = naive.astype(np.int64)
    found[np.isnat(naive)] = NO_ATTEMPT
    return found


def read_students_to_score(connection: Connection) -> list[str]:
    """Students of whom the marts hold something that no batch scoring has seen.

    That is a session that is new, delivered again or changed (its revision also follows the
    topics of its questions), and an ability whose session the marts do not give the student.
    """
    rows = connection.execute(
        sa.text(
            """
            select sessions.student_id
            from analytics.fct_sessions as sessions
            left join irt.deliveries as deliveries
                on sessions.session_id = deliveries.session_id
            where
                sessions.is_result_ready
                and (
                    deliveries.session_revision is distinct from sessions.revision
                    or deliveries.result_version is distinct from sessions.result_version
                )
            union
            select ability.user_id
            from irt.effective_ability as ability
            where not exists (
                select 1
                from analytics.fct_sessions as sessions
                where
                    sessions.session_id = ability.session_id
                    and sessions.student_id = ability.user_id
                    and sessions.is_result_ready
            )
            """
        )
    )
    return sorted(rows.scalars())


def read_students_without_sessions(connection: Connection) -> list[str]:
    """Students who have abilities, and in the marts no session at all."""
    rows = connection.execute(
        sa.text(
            """
            select ability.user_id
            from irt.effective_ability as ability
            where not exists (
                select 1
                from analytics.fct_sessions as sessions
                where sessions.student_id = ability.user_id and sessions.is_result_ready
            )
            group by ability.user_id
            """
        )
    )
    return sorted(rows.scalars())
