"""Scores students and records the result, in the caller's transaction and under its locks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy.engine import Connection

from irt_service.days import MICROSECONDS_PER_DAY
from irt_service.in_force import Demand, Span, demands
from irt_service.live import Affected, Given, read_affected
from irt_service.recording import plan_changes
from irt_service.sessions import (
    Histories,
    ScoringRun,
    SessionAbilities,
    needs,
    score_sessions,
)
from irt_service.settings import Settings
from irt_service.store import abilities, deliveries, publications, runs

NOT_READY = "no ready result with an attempt"
NOTHING_USABLE = "no response of the look-back to an item with parameters"


@dataclass
class Tally:
    """What a scoring has written and seen."""

    sessions: int = 0
    abilities: int = 0
    topic_abilities: int = 0
    retractions: int = 0

    def add(self, other: Tally) -> None:
        """Count another part."""
        self.sessions += other.sessions
        self.abilities += other.abilities
        self.topic_abilities += other.topic_abilities
        self.retractions += other.retractions


@dataclass
class Scorer:
    """Settings, and the parameters of the runs met so far: they never change once written."""

    settings: Settings
    _runs: dict[str, ScoringRun] = field(default_factory=dict)

    def demands(self, spans: Sequence[Span]) -> list[Demand]:
        """Which sessions need which run while these spans hold."""
        return demands(spans, self.settings.ability_lookback_days, self.settings.reporting_timezone)

    def run(self, connection: Connection, run_id: str) -> ScoringRun:
        """A run's parameters, read once."""
        if run_id not in self._runs:
            self._runs[run_id] = runs.read_scoring_run(connection, run_id)
        return self._runs[run_id]

    def score(
        self, connection: Connection, histories: Histories, wanted: list[Demand]
    ) -> list[SessionAbilities]:
        """Score every session under every run that it needs."""
        return [
            score_sessions(
                histories,
                self.run(connection, run_id),
                needs(histories.effective_at, wanted, run_id),
                self.settings,
            )
            for run_id in dict.fromkeys(demand.run_id for demand in wanted)
        ]

    def score_live(
        self,
        connection: Connection,
        candidates: Sequence[deliveries.Candidate],
        given: Given,
        *,
        from_marts: bool = True,
    ) -> Tally:
        """Score whom some results touch and record these results as dealt with.

        The versions were read before what they hold, so a result that is delivered again in
        between is found once more, never missed.
        """
        spans = publications.read_spans(connection)
        affected = read_affected(
            connection,
            given,
            {candidate.session_id for candidate in candidates},
            self.settings.ability_lookback_days * MICROSECONDS_PER_DAY,
            from_marts=from_marts,
        )
        histories = affected.histories
        scores = self.score(connection, histories, self.demands(spans))
        everybody = range(len(histories.student_ids))
        tally, scored = write(connection, histories, everybody, scores, affected)
        owners = histories.student_ids[histories.session_students]
        at = {one: position for position, one in enumerate(histories.session_ids)}
        records = []
        for candidate in candidates:
            position = at.get(candidate.session_id)
            reason = NOT_READY if position is None else NOTHING_USABLE
            records.append(
                deliveries.Delivery(
                    *candidate,
                    revision=None,
                    student_id=None if position is None else owners[position],
                    status=deliveries.SCORED if position in scored else deliveries.NOTHING_TO_SCORE,
                    reason=None if position in scored else reason,
                )
            )
        deliveries.write_deliveries(connection, records)
        tally.sessions = len(candidates)
        return tally


def write(
    connection: Connection,
    histories: Histories,
    students: range,
    scores: Sequence[SessionAbilities],
    affected: Affected | None = None,
) -> tuple[Tally, set[int]]:
    """Append what differs for a range of students; returns the sessions that have an ability.

    Args:
        affected: says of whom not every session is there; None when all of them are.
    """
    names = histories.student_ids[students.start : students.stop].tolist()
    if affected is None:
        winners = abilities.read_winners(connection, abilities.Scope(names, names))
    else:
        winners = abilities.read_winners(
            connection,
            abilities.Scope(names, sorted(affected.whole), affected.sessions),
        )
        winners = {key: one for key, one in winners.items() if key[1] not in affected.unreadable}
    change = plan_changes(
        histories,
        students,
        scores,
        winners,
        abilities.clock(connection),
        lambda count: abilities.next_ids(connection, count),
    )
    abilities.append(connection, change.abilities, change.topics, change.retractions)
    return (
        Tally(
            abilities=change.abilities.num_rows,
            topic_abilities=change.topics.num_rows,
            retractions=change.retractions.num_rows,
        ),
        change.scored,
    )
