"""What a student's ability was after each session: one code for batch and online.

For a session whose last attempt was at t, the responses are the student's first graded
attempts in (t - look-back, t] on items with parameters; theta is their EAP under the run's
prior, and a topic with enough of them gets one of its own around it.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from irt_service.compiled import compiled
from irt_service.days import MICROSECONDS_PER_DAY
from irt_service.in_force import Demand
from irt_service.scoring import eap
from irt_service.settings import Settings

Floats = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]
Grades = npt.NDArray[np.int8]
Flags = npt.NDArray[np.bool_]
Strings = npt.NDArray[np.object_]

NO_TOPIC = -1
NO_ATTEMPT = -(2**63)  # effective_at of a session without an attempt
RESPONSES_PER_CHUNK = 4_000_000  # responses spread out at a time; bounds the memory


@dataclass(frozen=True)
class Histories:
    """Sessions and first graded responses of some students, compressed by student.

    Students, items and topics are in the order of their ids' bytes; a student's responses in
    the order of answered_at, then item. That order decides the last bit of a sum and must not
    depend on what else was read.

    Attributes:
        student_ids: shape (N,).
        session_indptr: shape (N + 1,); student i has sessions session_indptr[i]:[i + 1].
        session_ids: shape (S,).
        effective_at: last attempt, microseconds since 1970 or NO_ATTEMPT, shape (S,).
        response_indptr: shape (N + 1,).
        items: positions in item_ids, shape (R,).
        topics: positions in topic_ids or NO_TOPIC, shape (R,).
        answered_at: microseconds since 1970, shape (R,).
        correct: 0 or 1, shape (R,).
    """

    student_ids: Strings
    session_indptr: Index
    session_ids: Strings
    effective_at: Index
    response_indptr: Index
    items: Codes
    topics: Codes
    answered_at: Index
    correct: Grades
    item_ids: Strings
    topic_ids: Strings

    @property
    def session_students(self) -> Index:
        """Position of each session's student, shape (S,)."""
        return np.repeat(np.arange(len(self.student_ids)), np.diff(self.session_indptr))


@dataclass(frozen=True)
class ScoringRun:
    """Item parameters and prior of a run, ready for scoring.

    Attributes:
        positions: position in the parameter arrays by item id.
    """

    run_id: str
    model: str
    version: str
    positions: dict[str, int]
    discrimination: Floats
    difficulty: Floats
    guessing: Floats
    prior_mean: float
    prior_sd: float


@dataclass(frozen=True)
class SessionAbilities:
    """Abilities under one run: one entry per session that has responses to use.

    Attributes:
        session: positions in Histories.session_ids, rising, shape (K,).
        theta, standard_error: shape (K,).
        n_responses: shape (K,).
        topic_row: positions in `session` above, rising, shape (M,).
        topic: positions in Histories.topic_ids, shape (M,).
        topic_theta, topic_standard_error, topic_n_responses: shape (M,).
    """

    run: ScoringRun
    session: Index
    theta: Floats
    standard_error: Floats
    n_responses: Codes
    topic_row: Index
    topic: Codes
    topic_theta: Floats
    topic_standard_error: Floats
    topic_n_responses: Codes


def needs(effective_at: Index, wanted: list[Demand], run_id: str) -> Flags:
    """Which sessions are to be scored under a run, shape of effective_at."""
    needed: Flags = effective_at != NO_ATTEMPT
    in_demand = np.zeros(len(effective_at), dtype=np.bool_)
    for demand in wanted:
        if demand.run_id == run_id:
            in_demand |= (effective_at >= demand.start) & (effective_at < demand.end)
    needed &= in_demand
    return needed


def score_sessions(
    histories: Histories, run: ScoringRun, needed: Flags, settings: Settings
) -> SessionAbilities:
    """Score the needed sessions of some students under one run.

    Args:
        needed: shape (S,), bool.
    """
    positions = np.array(
        [run.positions.get(item, -1) for item in histories.item_ids], dtype=np.int32
    )
    usable, indptr = _usable(histories, positions)
    chosen = np.flatnonzero(needed)
    first, last = _windows(
        indptr,
        histories.answered_at[usable],
        histories.session_students[chosen],
        histories.effective_at[chosen],
        settings.ability_lookback_days * MICROSECONDS_PER_DAY,
    )
    counts = last - first
    chosen, first, counts = chosen[counts > 0], first[counts > 0], counts[counts > 0]
    responses = (
        positions[histories.items[usable]],
        histories.topics[usable],
        histories.correct[usable],
    )
    parts = [
        _score_windows(
            responses, first[part], counts[part], run, settings, len(histories.topic_ids)
        )
        for part in _chunks(counts)
    ]
    offsets = np.cumsum([0, *(len(part[0]) for part in parts)])
    joined = [np.concatenate([part[k] for part in parts]) for k in range(2)]
    topic_row = np.concatenate(
        [part[2] + offset for part, offset in zip(parts, offsets[:-1], strict=True)]
    )
    topic, topic_theta, topic_se, topic_n = (
        np.concatenate([part[k] for part in parts]) for k in range(3, 7)
    )
    return SessionAbilities(
        run,
        chosen,
        joined[0],
        joined[1],
        counts.astype(np.int32),
        topic_row,
        topic,
        topic_theta,
        topic_se,
        topic_n,
    )


def _usable(histories: Histories, positions: Codes) -> tuple[Index, Index]:
    """Responses to items with parameters, and where each student's begin among them."""
    has_parameters = positions[histories.items] >= 0
    kept_before = np.concatenate([[0], np.cumsum(has_parameters)])
    return np.flatnonzero(has_parameters), kept_before[histories.response_indptr].astype(np.int64)


def _chunks(counts: Index) -> list[slice]:
    """Split sessions so that each part spreads out a bounded number of responses."""
    if len(counts) == 0:
        return [slice(0, 0)]
    part = np.cumsum(counts) // RESPONSES_PER_CHUNK
    edges = [0, *(np.flatnonzero(np.diff(part)) + 1).tolist(), len(counts)]
    return [slice(start, stop) for start, stop in itertools.pairwise(edges)]


def _score_windows(
    responses: tuple[Codes, Codes, Grades],
    first: Index,
    counts: Index,
    run: ScoringRun,
    settings: Settings,
    n_topics: int,
) -> tuple[Any, ...]:
    items, topics, correct = responses
    bank = (run.discrimination, run.difficulty, run.guessing)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    picked = np.repeat(first - indptr[:-1], counts) + np.arange(indptr[-1])
    theta, standard_error = eap(
        *bank, indptr, items[picked], correct[picked], run.prior_mean, run.prior_sd, threads=0
    )
    row, topic, size = _count_topics(indptr, topics[picked], n_topics, settings.topic_min_responses)
    topic_indptr = np.concatenate([[0], np.cumsum(size)]).astype(np.int64)
    topic_picked = _gather_topics(indptr, topics, picked, row, topic, topic_indptr)
    topic_theta, topic_se = eap(
        *bank,
        topic_indptr,
        items[topic_picked],
        correct[topic_picked],
        theta[row] if len(row) else 0.0,
        np.full(len(row), settings.topic_prior_sd) if len(row) else 1.0,
        threads=0,
    )
    return theta, standard_error, row, topic, topic_theta, topic_se, size.astype(np.int32)


@compiled
def _windows(
    indptr: Index, answered_at: Index, student: Index, effective_at: Index, lookback: int
) -> tuple[Index, Index]:
    """Half-open ranges of the responses in (t - lookback, t] of each session's student."""
    first = np.empty(len(student), np.int64)
    last = np.empty(len(student), np.int64)
    for s in range(len(student)):
        start = indptr[student[s]]
        stop = indptr[student[s] + 1]
        moments = answered_at[start:stop]
        first[s] = start + np.searchsorted(moments, effective_at[s] - lookback, side="right")
        last[s] = start + np.searchsorted(moments, effective_at[s], side="right")
    return first, last


@compiled
def _count_topics(
    indptr: Index, topics: Codes, n_topics: int, fewest: int
) -> tuple[Index, Codes, Index]:
    """Topics with enough responses in each window: window, topic, number of responses."""
    seen = np.zeros(n_topics, np.int64)
    total = 0
    for s in range(len(indptr) - 1):
        for k in range(indptr[s], indptr[s + 1]):
            if topics[k] >= 0:
                seen[topics[k]] += 1
                if seen[topics[k]] == fewest:
                    total += 1
        for k in range(indptr[s], indptr[s + 1]):
            if topics[k] >= 0:
                seen[topics[k]] = 0
    row = np.empty(total, np.int64)
    topic = np.empty(total, np.int32)
    size = np.empty(total, np.int64)
    n = 0
    for s in range(len(indptr) - 1):
        for k in range(indptr[s], indptr[s + 1]):
            if topics[k] >= 0:
                seen[topics[k]] += 1
        for k in range(indptr[s], indptr[s + 1]):
            t = topics[k]
            if t >= 0:
                if seen[t] >= fewest:
                    row[n] = s
                    topic[n] = t
                    size[n] = seen[t]
                    n += 1
                seen[t] = 0
    return row, topic, size


@compiled
def _gather_topics(
    indptr: Index, topics: Codes, picked: Index, row: Index, topic: Codes, topic_indptr: Index
) -> Index:
    """Positions of the responses of each (window, topic), in the window's order."""
    found = np.empty(topic_indptr[-1], np.int64)
    n = 0
    for m in range(len(row)):
        for k in range(indptr[row[m]], indptr[row[m] + 1]):
            if topics[picked[k]] == topic[m]:
                found[n] = picked[k]
                n += 1
    return found
