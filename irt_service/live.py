"""Builds the histories that some deliveries affect, from what is delivered now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from sqlalchemy.engine import Connection

from irt_service.histories import (
    Attempt,
    LongResponses,
    LongSessions,
    comes_before,
    compress,
)
from irt_service.sessions import NO_TOPIC, Histories
from irt_service.store import live
from irt_service.store.live import ALL_SESSIONS, KnownSession, PackedResponses


@dataclass(frozen=True)
class Affected:
    """Histories of the students whom some deliveries touch.

    Attributes:
        histories: the sessions whose abilities may change, and the responses they need.
        whole: students of whom every session is in scope.
        unreadable: sessions that were parked; what is on record of them stays.
        sessions: those in scope, and those being dealt with.
    """

    histories: Histories
    whole: set[str]
    unreadable: set[str]
    sessions: list[str]


@dataclass(frozen=True)
class Given:
    """Some sessions as they are now.

    Attributes:
        attempts: all that staging tells of them.
        recorded: whose they were, of those that were dealt with before.
        others: students to look at as a whole, whatever is delivered.
    """

    attempts: list[Attempt]
    recorded: dict[str, str | None]
    others: Sequence[str] = ()

    @property
    def students(self) -> set[str]:
        """Whom the sessions touch: whose they are and whose they were."""
        were = {student for student in self.recorded.values() if student is not None}
        return were.union(self.others, (attempt.student_id for attempt in self.attempts))


def read_given(
    connection: Connection, session_ids: Sequence[str], others: Sequence[str] = ()
) -> Given:
    """Read what is delivered in some sessions, and whose they were."""
    return Given(
        live.read_attempts_of(connection, session_ids),
        live.read_recorded_students(connection, session_ids),
        others,
    )


@dataclass
class _Reading:
    """What is known of the students so far.

    Attributes:
        scope: by student the moment from which on sessions are in scope.
        last: student and last attempt of each session that is not read from the marts.
        built: sessions in scope that are.
        attempts: those that decide which answer to an item was the first.
        packed: first responses to items that nothing else has answers to.
    """

    scope: dict[str, int]
    last: dict[str, tuple[str, int]] = field(default_factory=dict)
    built: list[KnownSession] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    packed: list[PackedResponses] = field(default_factory=list)

    def add(self, attempts: Iterable[Attempt]) -> None:
        """Take attempts from staging."""
        for attempt in attempts:
            student, moment = self.last.get(attempt.session_id, (attempt.student_id, ALL_SESSIONS))
            self.last[attempt.session_id] = (student, max(moment, attempt.answered_at))
            if attempt.is_correct is not None:
                self.attempts.append(attempt)


def read_affected(
    connection: Connection,
    given: Given,
    sessions: set[str],
    lookback: int,
    *,
    from_marts: bool,
) -> Affected:
    """Read the histories of every student whom some sessions touch; call it under their locks.

    Args:
        given: what was read of `sessions`.
        sessions: what is being dealt with.
        lookback: microseconds.
        from_marts: False when the marts cannot be read; then everything is parsed anew.
    """
    scope = _scope(given)
    reading = _Reading(scope)
    reading.add(given.attempts)
    known = live.read_known_sessions(connection, scope, from_marts=from_marts)
    known = [one for one in known if one.session_id not in sessions or one.is_built]
    unbuilt = [
        one.session_id
        for one in known
        if one.is_dealt_with and not (one.is_parked or one.is_current or one.session_id in sessions)
    ]
    reading.add(
        one
        for one in live.read_attempts_of(connection, unbuilt)
        # A session that has moved meanwhile waits for its own turn.
        if one.student_id in scope
    )
    unreliable = {
        one.student_id
        for one in known
        if one.is_built and (one.session_id in sessions or not one.is_current)
    }
    reading.built = [one for one in known if one.is_current and one.session_id not in sessions]
    _read_marts(connection, reading, unreliable, sessions, lookback, from_marts=from_marts)
    histories = _to_histories(reading)
    return Affected(
        histories,
        {student for student, since in scope.items() if since == ALL_SESSIONS},
        {one.session_id for one in known if one.is_parked and one.session_id not in sessions},
        sorted(sessions.union(histories.session_ids)),
    )


def _scope(given: Given) -> dict[str, int]:
    """By student the moment from which on abilities may change.

    A session that is new cannot change what was known before its first attempt. One that was
    dealt with before may have changed anything.
    """
    scope: dict[str, int] = {}
    for attempt in given.attempts:
        since = attempt.answered_at
        if given.recorded.get(attempt.session_id) is not None:
            since = ALL_SESSIONS
        scope[attempt.student_id] = min(scope.get(attempt.student_id, since), since)
    for student in (*given.recorded.values(), *given.others):
        if student is not None:
            scope[student] = ALL_SESSIONS
    return scope


def _read_marts(
    connection: Connection,
    reading: _Reading,
    unreliable: set[str],
    sessions: set[str],
    lookback: int,
    *,
    from_marts: bool,
) -> None:
    """Read responses; of unreliable students the marts do not know which answer was first."""
    if not from_marts:
        return
    unreliable = unreliable | live.read_overtaken_students(connection, list(reading.scope))
    horizon = {
        student: since if since == ALL_SESSIONS else since - lookback
        for student, since in reading.scope.items()
        if student not in unreliable
    }
    asked_again = {(one.student_id, one.item_id) for one in reading.attempts}
    packed, again = live.read_first_responses(connection, horizon, sorted(asked_again))
    reading.packed = packed
    reading.attempts += again
    if unreliable:
        everything = live.read_known_sessions(
            connection, dict.fromkeys(unreliable, ALL_SESSIONS), from_marts=True
        )
        current = [
            one.session_id
            for one in everything
            if one.is_current and one.session_id not in sessions
        ]
        reading.attempts += [
            # A build may have ended since its versions were read.
            one
            for one in live.read_built_attempts(connection, current)
            if one.student_id in reading.scope
        ]


def _to_histories(reading: _Reading) -> Histories:
    firsts: dict[tuple[str, str], Attempt] = {}
    for attempt in reading.attempts:
        key = (attempt.student_id, attempt.item_id)
        if key not in firsts or comes_before(attempt, firsts[key]):
            firsts[key] = attempt
    packed = reading.packed
    students = {student: code for code, student in enumerate(sorted(reading.scope))}
    item_ids = {item for _, item in firsts}.union(*(one.items for one in packed))
    topic_ids = {one.topic_id for one in firsts.values()}.union(*(one.topics for one in packed))
    items = {item: code for code, item in enumerate(sorted(item_ids))}
    topics: dict[str | None, int] = {
        topic: code
        for code, topic in enumerate(sorted(topic for topic in topic_ids if topic is not None))
    }
    named = list(topics)
    topics[None] = NO_TOPIC
    sessions = [
        (students[student], session, moment)
        for session, (student, moment) in reading.last.items()
        if moment >= reading.scope[student]
    ]
    sessions += [
        (students[one.student_id], one.session_id, one.effective_at) for one in reading.built
    ]
    rest = list(firsts.values())
    histories, _ = compress(
        np.array(list(students), dtype=object),
        np.array(list(items), dtype=object),
        np.array(named, dtype=object),
        LongSessions(
            np.array([one[0] for one in sessions], dtype=np.int32),
            np.array([one[1] for one in sessions], dtype=object),
            np.array([one[2] for one in sessions], dtype=np.int64),
        ),
        LongResponses(
            np.concatenate(
                [
                    np.array([students[one.student_id] for one in rest], dtype=np.int32),
                    np.repeat(
                        np.array([students[one.student_id] for one in packed], dtype=np.int32),
                        [len(one.items) for one in packed],
                    ),
                ]
            ),
            np.array(
                [items[one.item_id] for one in rest]
                + [items[item] for one in packed for item in one.items],
                dtype=np.int32,
            ),
            np.array(
                [topics[one.topic_id] for one in rest]
                + [topics[topic] for one in packed for topic in one.topics],
                dtype=np.int32,
            ),
            np.concatenate(
                [
                    np.array([one.answered_at for one in rest], dtype=np.int64),
                    *(one.answered_at for one in packed),
                ]
            ),
            np.array(
                [bool(one.is_correct) for one in rest]
                + [grade for one in packed for grade in one.correct],
                dtype=np.int8,
            ),
        ),
    )
    return histories
