"""Scores the history of many students from the marts, while the online update goes on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from sqlalchemy.engine import Connection, Engine

from irt_service.errors import IrtServiceError
from irt_service.in_force import Span
from irt_service.live import read_given
from irt_service.scorer import NOTHING_USABLE, Scorer, Tally, write
from irt_service.sessions import NO_ATTEMPT, Histories, SessionAbilities
from irt_service.store import deliveries, erasures, marts, publications

# The online update waits while a block is written, so a block takes a fraction of a second.
_SESSIONS_PER_BLOCK = 4000
_STUDENTS_PER_SELECTION = 5000
_LIVE_STUDENTS_PER_BLOCK = 100
NO_ATTEMPT_REASON = "no attempt"


class Listener(Protocol):
    """Hears how far a replay is."""

    def __call__(self, done: int, total: int | None) -> None:
        """`done` of `total` parts are finished; None when nobody knows how many there are."""


@dataclass
class _Replay:
    engine: Engine
    scorer: Scorer
    spans: list[Span]
    tally: Tally = field(default_factory=Tally)
    behind: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class _Part:
    mart: marts.MartHistories
    scores: list[SessionAbilities]


def replay(
    engine: Engine,
    scorer: Scorer,
    students: Sequence[str] | None = None,
    listener: Listener | None = None,
) -> Tally:
    """Bring the abilities of every session up to date under every run that it needs.

    Reads the marts; students of whom something was delivered since they were built are read
    from staging instead, as the online update does. Only what differs is written, so a
    replay that was killed is simply repeated.

    Args:
        students: only these; None for everybody.
        listener: hears of finished parts.

    Raises:
        IrtServiceError: a run was published or revoked meanwhile.
    """
    with engine.connect() as connection:
        spans = publications.read_spans(connection)
    work = _Replay(engine, scorer, spans)
    if spans and (students is None or students):
        _replay_marts(work, students, listener)
    _score_behind(work)
    return work.tally


def _replay_marts(work: _Replay, students: Sequence[str] | None, listener: Listener | None) -> None:
    """Replay part by part; the next one is read and scored while this one is written."""
    with (
        work.engine.connect().execution_options(isolation_level="REPEATABLE READ") as reader,
        work.engine.connect() as writer,
        ThreadPoolExecutor(1, thread_name_prefix="irt-read") as ahead,
    ):
        catalogue = marts.read_catalogue(reader)
        selections = list(_selections(students, catalogue))
        coming = ahead.submit(_read_part, work, reader, catalogue, selections[0])
        for number, selection in enumerate(selections):
            part = coming.result()
            if number + 1 < len(selections):
                coming = ahead.submit(_read_part, work, reader, catalogue, selections[number + 1])
            _write_part(work, writer, part)
            if selection.students is not None:
                found = set(part.mart.histories.student_ids)
                work.behind.update(set(selection.students) - found)
            if listener is not None:
                listener(number + 1, len(selections))
        if students is None:
            work.behind.update(marts.read_students_without_sessions(reader))


def _selections(
    students: Sequence[str] | None, catalogue: marts.Catalogue
) -> Iterator[marts.Selection]:
    if students is None:
        yield from catalogue.parts
        return
    for start in range(0, len(students), _STUDENTS_PER_SELECTION):
        yield marts.Selection(students=students[start : start + _STUDENTS_PER_SELECTION])


def _read_part(
    work: _Replay, reader: Connection, catalogue: marts.Catalogue, selection: marts.Selection
) -> _Part:
    mart = marts.read_histories(reader, catalogue, selection)
    scores = work.scorer.score(reader, mart.histories, work.scorer.demands(work.spans))
    return _Part(mart, scores)


def _write_part(work: _Replay, writer: Connection, part: _Part) -> None:
    for block in _blocks(part.mart.histories):
        with writer.begin():
            publications.own_scoring(writer)
            if publications.read_spans(writer) != work.spans:
                raise IrtServiceError(
                    "a run was published or revoked while abilities were replayed",
                    remedy="run the command again",
                )
            _write_block(work, writer, part.mart, block, part.scores)


def _blocks(histories: Histories) -> Iterator[range]:
    """Ranges of students that have a bounded number of sessions together."""
    start = 0
    while start < len(histories.student_ids):
        limit = histories.session_indptr[start] + _SESSIONS_PER_BLOCK
        stop = int(np.searchsorted(histories.session_indptr, limit, side="right")) - 1
        stop = min(max(stop, start + 1), len(histories.student_ids))
        yield range(start, stop)
        start = stop


def _write_block(
    work: _Replay,
    connection: Connection,
    mart: marts.MartHistories,
    block: range,
    scores: list[SessionAbilities],
) -> None:
    """Write a block, apart from the students of whom the marts are behind."""
    histories = mart.histories
    first, last = (int(histories.session_indptr[end]) for end in (block.start, block.stop))
    owners = np.repeat(
        histories.student_ids[block.start : block.stop],
        np.diff(histories.session_indptr[block.start : block.stop + 1]),
    )
    behind = deliveries.read_outdated_students(
        connection,
        histories.student_ids[block.start : block.stop].tolist(),
        list(
            zip(
                owners.tolist(),
                histories.session_ids[first:last].tolist(),
                mart.versions[first:last].tolist(),
                strict=True,
            )
        ),
    )
    work.behind |= behind
    # Whoever is erased from here on waits for this transaction.
    erased = erasures.read_erased(
        connection, histories.student_ids[block.start : block.stop].tolist()
    )
    records: list[deliveries.Delivery] = []
    for students in _without(histories, block, behind | erased):
        tally, scored = write(connection, histories, students, scores)
        work.tally.add(tally)
        records += _records(mart, students, scored)
    deliveries.write_deliveries(connection, records)
    work.tally.sessions += len(records)


def _without(histories: Histories, block: range, behind: set[str]) -> Iterator[range]:
    """The stretches of a block between the students who are left out."""
    start = block.start
    for position in block:
        if histories.student_ids[position] in behind:
            if position > start:
                yield range(start, position)
            start = position + 1
    if block.stop > start:
        yield range(start, block.stop)


def _records(
    mart: marts.MartHistories, students: range, scored: set[int]
) -> list[deliveries.Delivery]:
    histories = mart.histories
    records = []
    for position in students:
        owner = histories.student_ids[position]
        for at in range(*histories.session_indptr[position : position + 2].tolist()):
            reason = None
            if at not in scored:
                has_attempt = histories.effective_at[at] != NO_ATTEMPT
                reason = NOTHING_USABLE if has_attempt else NO_ATTEMPT_REASON
            records.append(
                deliveries.Delivery(
                    histories.session_ids[at],
                    mart.versions[at],
                    mart.updated_at[at],
                    int(mart.revisions[at]),
                    owner,
                    deliveries.SCORED if reason is None else deliveries.NOTHING_TO_SCORE,
                    reason,
                )
            )
    return records


def _score_behind(work: _Replay) -> None:
    """Score students of whom the marts are behind from what is delivered now."""
    students = sorted(work.behind)
    for start in range(0, len(students), _LIVE_STUDENTS_PER_BLOCK):
        block = students[start : start + _LIVE_STUDENTS_PER_BLOCK]
        with work.engine.begin() as connection:
            publications.own_scoring(connection)
            erased = erasures.read_erased(connection, block)
            block = [student for student in block if student not in erased]
            sessions = deliveries.read_session_ids_of(connection, block)
            versions = deliveries.read_versions(connection, sessions)
            given = read_given(connection, sessions, block)
            work.tally.add(work.scorer.score_live(connection, versions, given))
