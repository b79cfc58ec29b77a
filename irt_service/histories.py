"""Builds students' histories, from the marts for many or from staging's rows for a few."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from irt_service.sessions import (
    NO_ATTEMPT,
    NO_TOPIC,
    Codes,
    Grades,
    Histories,
    Index,
    Strings,
)


@dataclass(frozen=True)
class LongResponses:
    """First graded responses in any order, as codes; arrays of one shape (R,)."""

    students: Codes
    items: Codes
    topics: Codes
    answered_at: Index
    correct: Grades


@dataclass(frozen=True)
class LongSessions:
    """Sessions in any order; arrays of one shape (S,)."""

    students: Codes
    session_ids: Strings
    effective_at: Index


class Attempt(NamedTuple):
    """One attempt as staging tells it."""

    session_id: str
    position: int
    student_id: str
    item_id: str
    topic_id: str | None
    is_correct: bool | None
    answered_at: int


def compress(
    student_ids: Strings,
    item_ids: Strings,
    topic_ids: Strings,
    sessions: LongSessions,
    responses: LongResponses,
) -> tuple[Histories, Index]:
    """Sort and compress; also returns where each session came from, shape (S,).

    Args:
        student_ids, item_ids, topic_ids: in the order of their bytes; codes point into them.
    """
    by_session = np.argsort(sessions.students, kind="stable")
    order = np.lexsort((responses.items, responses.answered_at, responses.students))
    histories = Histories(
        student_ids,
        _starts(sessions.students, len(student_ids)),
        sessions.session_ids[by_session],
        sessions.effective_at[by_session],
        _starts(responses.students, len(student_ids)),
        responses.items[order],
        responses.topics[order],
        responses.answered_at[order],
        responses.correct[order],
        item_ids,
        topic_ids,
    )
    return histories, by_session


def from_attempts(student_ids: Sequence[str], attempts: Iterable[Attempt]) -> Histories:
    """Take all attempts of some students; students without any keep an empty history."""
    students = {student: code for code, student in enumerate(sorted(set(student_ids)))}
    last: dict[str, tuple[int, int]] = {}
    graded: dict[tuple[int, str], Attempt] = {}
    for attempt in attempts:
        code = students[attempt.student_id]
        seen = last.get(attempt.session_id, (code, NO_ATTEMPT))
        last[attempt.session_id] = (code, max(seen[1], attempt.answered_at))
        if attempt.is_correct is None:
            continue
        key = (code, attempt.item_id)
        if key not in graded or _comes_before(attempt, graded[key]):
            graded[key] = attempt
    item_ids = sorted({item for _, item in graded})
    topic_ids = sorted({a.topic_id for a in graded.values() if a.topic_id is not None})
    items = {item: code for code, item in enumerate(item_ids)}
    topics = {topic: code for code, topic in enumerate(topic_ids)}
    firsts = list(graded.values())
    histories, _ = compress(
        np.array(list(students), dtype=object),
        np.array(item_ids, dtype=object),
        np.array(topic_ids, dtype=object),
        LongSessions(
            np.array([code for code, _ in last.values()], dtype=np.int32),
            np.array(list(last), dtype=object),
            np.array([moment for _, moment in last.values()], dtype=np.int64),
        ),
        LongResponses(
            np.array([code for code, _ in graded], dtype=np.int32),
            np.array([items[a.item_id] for a in firsts], dtype=np.int32),
            np.array(
                [NO_TOPIC if a.topic_id is None else topics[a.topic_id] for a in firsts],
                dtype=np.int32,
            ),
            np.array([a.answered_at for a in firsts], dtype=np.int64),
            np.array([bool(a.is_correct) for a in firsts], dtype=np.int8),
        ),
    )
    return histories


def _comes_before(one: Attempt, other: Attempt) -> bool:
    """The order of attempts everywhere: time, then session id by bytes, then position."""
    return (one.answered_at, one.session_id, one.position) < (
        other.answered_at,
        other.session_id,
        other.position,
    )


def _starts(students: Codes, count: int) -> Index:
    sizes = np.bincount(students, minlength=count)
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
