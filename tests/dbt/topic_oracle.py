"""Topic features, one row at a time, straight from the definitions.

Slow on purpose: every row scans the attempts of its student again, no window function, no
running sum, no carry-forward. It shares no expression with the models it checks.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo


@dataclass(frozen=True)
class Attempt:
    """One delivered question of a session; times in UTC."""

    session_id: str
    position: int
    student_id: str
    item_id: str
    topic_id: str | None
    is_correct: bool | None
    response_time_ms: int | None
    hint_count: int | None
    answered_at: datetime
    user_answer: str | None = None


@dataclass(frozen=True)
class Ability:
    """One ability estimate that counts; ``topic_id`` is null for an overall one."""

    student_id: str
    run_id: str
    session_id: str
    topic_id: str | None
    theta: float
    standard_error: float
    response_count: int
    effective_at: datetime


@dataclass(frozen=True)
class Publication:
    """One entry of the publication log that is not revoked."""

    publication_id: int
    run_id: str
    in_force_from: date


Parameters = Mapping[tuple[str, str], tuple[float, float, float]]
"""(run, item) to (discrimination, difficulty, guessing)."""


def probability(theta: float, discrimination: float, difficulty: float, guessing: float) -> float:
    """Three-parameter logistic, D = 1 (Birnbaum 1968, eq. 17.3.1 without the constant 1.7)."""
    return guessing + (1 - guessing) / (1 + math.exp(-discrimination * (theta - difficulty)))


def run_in_force(publications: Iterable[Publication], day: date) -> str | None:
    """The run of the latest entry that has begun by ``day``."""
    begun = [entry for entry in publications if entry.in_force_from <= day]
    return max(begun, key=lambda entry: entry.publication_id).run_id if begun else None


@dataclass(frozen=True)
class TopicOracle:
    """Everything that a topic feature may depend on."""

    attempts: Sequence[Attempt]
    abilities: Sequence[Ability]
    publications: Sequence[Publication]
    parameters: Parameters
    as_of_date: date
    time_zone: ZoneInfo

    @cached_property
    def attempts_of(self) -> Mapping[str, list[Attempt]]:
        """Attempts per student."""
        found: dict[str, list[Attempt]] = defaultdict(list)
        for attempt in self.attempts:
            found[attempt.student_id].append(attempt)
        return found

    @cached_property
    def abilities_of(self) -> Mapping[str, list[Ability]]:
        """Abilities per student, in the order of scoring."""
        found: dict[str, list[Ability]] = defaultdict(list)
        for ability in self.abilities:
            found[ability.student_id].append(ability)
        return found

    def local(self, moment: datetime) -> date:
        """Calendar day of a moment in the reporting time zone."""
        return moment.astimezone(self.time_zone).date()

    def last_estimate(
        self, student_id: str, topic_id: str | None, run_id: str | None, first: date, last: date
    ) -> Ability | None:
        """Last estimate whose local day lies in [first, last]."""
        found = [
            ability
            for ability in self.abilities_of[student_id]
            if ability.topic_id == topic_id
            and ability.run_id == run_id
            and first <= self.local(ability.effective_at) <= last
            and (topic_id is None or ability.response_count >= 5)
        ]
        # Of equal times the later scoring, which stands later in the history.
        return max(reversed(found), key=lambda ability: ability.effective_at, default=None)

    def improvement(
        self, student_id: str, topic_id: str, day: date, own: Sequence[Attempt], run: str | None
    ) -> tuple[float | None, str | None]:
        """I_t on the attempts ``own`` of one topic, and its basis."""

        def graded(first: int, last: int) -> list[bool]:
            return [
                attempt.is_correct
                for attempt in own
                if attempt.is_correct is not None
                and day + timedelta(first)
                <= self.local(attempt.answered_at)
                <= day + timedelta(last)
            ]

        recent, previous = graded(-13, 0), graded(-27, -14)
        weight = min(1.0, len(recent) / 30)
        late = self.last_estimate(student_id, topic_id, run, day - timedelta(13), day)
        early = self.last_estimate(
            student_id, topic_id, run, day - timedelta(27), day - timedelta(14)
        )
        if late and early and len(recent) >= 5:
            difference, basis = late.theta - early.theta, "theta"
            uncertainty = 1.96 * late.standard_error
        elif recent and previous:
            share = sum(recent) / len(recent)
            difference, basis = share - sum(previous) / len(previous), "accuracy"
            uncertainty = 1.96 * math.sqrt(share * (1 - share) / len(recent))
        else:
            return None, None
        return max(-1.0, min(1.0, difference * weight * (1 - min(0.5, uncertainty)))), basis

    def row(self, student_id: str, topic_id: str, day: date) -> dict[str, object]:
        """The feature row of one student, topic and day."""
        own = [a for a in self.attempts_of[student_id] if a.topic_id == topic_id]
        today = [a for a in own if self.local(a.answered_at) == day]
        graded = [a.is_correct for a in today if a.is_correct is not None]
        times = [a.response_time_ms for a in today if a.response_time_ms is not None]
        hints = [a.hint_count for a in today if a.hint_count is not None]
        run = run_in_force(self.publications, day)
        oldest = day - timedelta(89)
        overall = self.last_estimate(student_id, None, run, oldest, day)
        topical = self.last_estimate(student_id, topic_id, run, oldest, day)
        chosen = topical or overall
        improvement, improvement_basis = self.improvement(student_id, topic_id, day, own, run)

        residuals: list[float] = []
        variances: list[float] = []
        for attempt in own:
            parameters = self.parameters.get((run or "", attempt.item_id))
            recent = day - timedelta(27) <= self.local(attempt.answered_at) <= day
            if recent and overall and parameters and attempt.is_correct is not None:
                expected = probability(overall.theta, *parameters)
                residuals.append(attempt.is_correct - expected)
                variances.append(expected * (1 - expected))
        residual = math.fsum(residuals) if residuals else None
        margin = 1.96 * math.sqrt(math.fsum(variances))
        strength = None
        if residual is not None and residual - margin > 0:
            strength = "strong"
        if residual is not None and residual + margin < 0:
            strength = "weak"

        return {
            "student_id": student_id,
            "topic_id": topic_id,
            "feature_date": day,
            "attempt_count": len(today),
            "graded_count": len(graded),
            "correct_count": sum(graded),
            "accuracy": sum(graded) / len(graded) if graded else None,
            "average_time_ms": statistics.fmean(times) if times else None,
            "median_time_ms": statistics.median(times) if times else None,
            "hint_count": sum(hints) if hints else None,
            "theta_estimate": chosen.theta if chosen else None,
            "theta_sd": chosen.standard_error if chosen else None,
            "theta_basis": ("topic" if topical else "overall") if chosen else None,
            "improvement": improvement,
            "improvement_basis": improvement_basis,
            "residual_attempt_count": len(residuals),
            "observed_minus_expected": residual,
            "strength": strength,
            "last_seen_at": max(a.answered_at for a in own if self.local(a.answered_at) <= day),
            "run_id": run,
        }

    def rows(self) -> list[dict[str, object]]:
        """Every row of the mart up to ``as_of_date``, in key order."""
        keys = {
            (a.student_id, a.topic_id, self.local(a.answered_at))
            for a in self.attempts
            if a.topic_id is not None
        }
        return [self.row(*key) for key in sorted(keys) if key[2] <= self.as_of_date]
