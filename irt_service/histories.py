"""Builds students' histories from sessions and first responses in any order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from irt_service.sessions import (
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


def comes_before(one: Attempt, other: Attempt) -> bool:
    """The order of attempts everywhere: time, then session id by bytes, then position."""
    return (one.answered_at, one.session_id, one.position) < (
        other.answered_at,
        other.session_id,
        other.position,
    )


def _starts(students: Codes, count: int) -> Index:
    sizes = np.bincount(students, minlength=count)
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
