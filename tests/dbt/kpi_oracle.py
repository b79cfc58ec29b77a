"""The daily KPIs of one student and day, straight from their definitions.

Slow on purpose: every day filters the whole history of its student again. No running sum, no
carry-forward, no interval: it shares no idea with the models it checks.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tests.dbt.topic_oracle import Ability, Attempt, Publication

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Visit:
    """One session: a ready result, or a session row."""

    student_id: str
    started_at: datetime
    seconds: float | None


@dataclass(frozen=True)
class Goal:
    """One version of a goal; ``valid_to`` is exclusive."""

    student_id: str
    topic_id: str | None
    target_theta: float
    priority: int
    target_date: date | None
    valid_from: date
    valid_to: date | None = None


@dataclass(frozen=True)
class Window:
    """Whole days, both ends inclusive."""

    first: date
    last: date

    def __contains__(self, day: date) -> bool:
        return self.first <= day <= self.last


def back(day: date, newest: int, oldest: int) -> Window:
    """The days from ``oldest`` to ``newest`` days before a day."""
    return Window(day - oldest * DAY, day - newest * DAY)


def clamp(value: float, lowest: float = 0, highest: float = 1) -> float:
    """The nearest value within bounds."""
    return max(lowest, min(highest, value))


@dataclass(frozen=True)
class KpiOracle:
    """Everything that happened; times in UTC."""

    attempts: Sequence[Attempt]
    visits: Sequence[Visit]
    abilities: Sequence[Ability]
    publications: Sequence[Publication]
    goals: Sequence[Goal]
    as_of_date: date
    time_zone: ZoneInfo
    history_start: date = date.min
    default_goal_theta: float = 0.0

    def rows(self) -> list[dict[str, Any]]:
        """Every student and day of the population, in key order."""
        return [
            row
            for student_id in sorted({attempt.student_id for attempt in self.attempts})
            for row in _Student(self, student_id).rows()
        ]

    def goal_rows(self) -> list[dict[str, Any]]:
        """Every open goal of every student and day of the population."""
        return [
            row
            for student_id in sorted({attempt.student_id for attempt in self.attempts})
            for row in _Student(self, student_id).goal_rows()
        ]

    def run_in_force(self, day: date) -> str | None:
        """The run of the latest entry that has begun."""
        begun = [p for p in self.publications if p.in_force_from <= day]
        return max(begun, key=lambda p: p.publication_id).run_id if begun else None


class _Student:
    def __init__(self, world: KpiOracle, student_id: str) -> None:
        self.world = world
        self.student_id = student_id
        self.attempts = [
            (self._day(a.answered_at), a) for a in world.attempts if a.student_id == student_id
        ]
        self.visits = [
            (self._day(v.started_at), v) for v in world.visits if v.student_id == student_id
        ]
        # Of two estimates of one instant the one that was made later counts.
        self.abilities = sorted(
            ((self._day(a.effective_at), a) for a in world.abilities if a.student_id == student_id),
            key=lambda dated: dated[1].effective_at,
        )
        self.goals = [g for g in world.goals if g.student_id == student_id]

    def _day(self, moment: datetime) -> date:
        return moment.astimezone(self.world.time_zone).date()

    def days(self) -> Iterator[date]:
        """The days on which the student belongs to the population."""
        day = max(min(day for day, _ in self.attempts), self.world.history_start)
        while day <= self.world.as_of_date:
            if self._attempts(back(day, 0, 89)):
                yield day
            day += DAY

    def rows(self) -> Iterator[dict[str, Any]]:
        for day in self.days():
            yield {
                "student_id": self.student_id,
                "kpi_date": day,
                **self._improvement(day),
                **self._time_efficiency(day),
                **self._recovery(day),
                **self._engagement(day),
                **self._goal(day),
                **self._churn(day),
                "attempt_count_recent": len(self._attempts(back(day, 0, 27))),
            }

    def _attempts(self, window: Window) -> list[Attempt]:
        return [attempt for day, attempt in self.attempts if day in window]

    def _visits(self, window: Window) -> list[Visit]:
        return [visit for day, visit in self.visits if day in window]

    def _estimate(self, day: date, window: Window, topic_id: str | None = None) -> Ability | None:
        run_id = self.world.run_in_force(day)
        found = [
            ability
            for effective_day, ability in self.abilities
            if effective_day in window
            and ability.run_id == run_id
            and ability.topic_id == topic_id
            and (topic_id is None or ability.response_count >= 5)
        ]
        return found[-1] if found else None

    def _improvement(self, day: date) -> dict[str, Any]:
        graded_recent = [
            a.is_correct for a in self._attempts(back(day, 0, 13)) if a.is_correct is not None
        ]
        graded_previous = [
            a.is_correct for a in self._attempts(back(day, 14, 27)) if a.is_correct is not None
        ]
        n = len(graded_recent)
        p_recent = sum(graded_recent) / n if graded_recent else None
        p_previous = sum(graded_previous) / len(graded_previous) if graded_previous else None
        recent = self._estimate(day, back(day, 0, 13))
        previous = self._estimate(day, back(day, 14, 27))
        index = basis = reason = difference = difference_error = None
        if recent is not None and previous is not None:
            difference = recent.theta - previous.theta
            difference_error = math.hypot(recent.standard_error, previous.standard_error)
        if difference is not None and recent is not None and n >= 5:
            basis = "theta"
            half_width = 1.96 * recent.standard_error
            index = clamp(difference * min(1, n / 30) * (1 - min(0.5, half_width)), -1, 1)
        elif p_recent is not None and p_previous is not None:
            basis = "accuracy"
            half_width = 1.96 * math.sqrt(p_recent * (1 - p_recent) / n)
            index = clamp(
                (p_recent - p_previous) * min(1, n / 30) * (1 - min(0.5, half_width)), -1, 1
            )
        else:
            reason = "no_graded_recent" if p_recent is None else "no_graded_previous"
        return {
            "improvement_index": index,
            "improvement_basis": basis,
            "improvement_null_reason": reason,
            "theta_difference": difference,
            "theta_difference_standard_error": difference_error,
            "graded_recent_short_count": n,
            "graded_previous_short_count": len(graded_previous),
            "accuracy_recent": p_recent,
            "accuracy_previous": p_previous,
        }

    def _median_time(self, window: Window) -> float | None:
        times = [
            a.response_time_ms
            for a in self._attempts(window)
            if a.is_correct and a.response_time_ms is not None
        ]
        return statistics.median(times) if times else None

    def _time_efficiency(self, day: date) -> dict[str, Any]:
        recent = self._median_time(back(day, 0, 27))
        previous = self._median_time(back(day, 28, 55))
        value = reason = None
        if recent is None:
            reason = "no_recent_times"
        elif previous is None:
            reason = "no_previous_times"
        elif previous == 0:
            reason = "zero_previous_median"
        else:
            value = clamp((previous - recent) / previous)
        return {
            "time_efficiency": value,
            "time_efficiency_null_reason": reason,
            "median_time_recent_ms": recent,
            "median_time_previous_ms": previous,
        }

    def _recovery(self, day: date) -> dict[str, Any]:
        wrong = {a.item_id for a in self._attempts(back(day, 28, 55)) if a.is_correct is False}
        retries = [
            a.is_correct
            for a in self._attempts(back(day, 0, 27))
            if a.is_correct is not None and a.item_id in wrong
        ]
        reason = None
        if not wrong:
            reason = "nothing_wrong_previous"
        elif not retries:
            reason = "no_retry_recent"
        return {
            "recovery_rate": sum(retries) / len(retries) if retries else None,
            "recovery_null_reason": reason,
            "recovery_attempt_count": len(retries),
        }

    @staticmethod
    def _gap(visits: Sequence[Visit]) -> float | None:
        if len(visits) < 2:
            return None
        starts = [visit.started_at for visit in visits]
        return (max(starts) - min(starts)) / DAY / (len(starts) - 1)

    def _engagement(self, day: date) -> dict[str, Any]:
        visits = self._visits(back(day, 0, 27))
        hints = [a.hint_count for a in self._attempts(back(day, 0, 27)) if a.hint_count is not None]
        seconds = [visit.seconds for visit in visits if visit.seconds is not None]
        gap = self._gap(visits)
        mean_hints = sum(hints) / len(hints) if hints else None
        mean_seconds = math.fsum(seconds) / len(seconds) if seconds else None
        gap_term = 0.5 if gap is None else 1.0 if gap == 0 else min(1.0, 1 / gap)
        value = (
            0.35 * min(1, len(visits) / 28)
            + 0.25 * gap_term
            + 0.20 * (0.5 if mean_hints is None else clamp(1 - mean_hints / 3))
            + 0.20 * (0.5 if mean_seconds is None else min(1, mean_seconds / 900))
        )
        return {
            "engagement": value if visits else 0.0,
            "engagement_null_reason": None if visits else "no_recent_session",
            "session_count_recent": len(visits),
            "session_gap_days": gap,
            "mean_hint_count": mean_hints,
            "mean_session_seconds": mean_seconds,
        }

    def _open_goals(self, day: date) -> list[Goal]:
        def order(goal: Goal) -> tuple[Any, ...]:
            # Undated goals and the overall goal come last.
            return (
                -goal.priority,
                goal.target_date or date.max,
                goal.topic_id is None,
                (goal.topic_id or "").encode(),
            )

        return sorted(
            (
                goal
                for goal in self.goals
                if goal.valid_from <= day < (goal.valid_to or date.max)
                and (goal.target_date is None or goal.target_date >= day)
            ),
            key=order,
        )

    def _ability_for(self, day: date, topic_id: str | None) -> tuple[Ability | None, str | None]:
        if topic_id is not None:
            ability = self._estimate(day, back(day, 0, 89), topic_id)
            if ability is not None:
                return ability, "topic"
        ability = self._estimate(day, back(day, 0, 89))
        return ability, None if ability is None else "overall"

    @staticmethod
    def _probability(ability: Ability | None, target: float) -> float | None:
        if ability is None:
            return None
        return 1 - statistics.NormalDist().cdf((target - ability.theta) / ability.standard_error)

    def _goal(self, day: date) -> dict[str, Any]:
        goals = self._open_goals(day)
        goal = goals[0] if goals else None
        target = goal.target_theta if goal else self.world.default_goal_theta
        ability, basis = self._ability_for(day, goal.topic_id if goal else None)
        overall = self._estimate(day, back(day, 0, 89))
        return {
            "goal_probability": self._probability(ability, target),
            "goal_null_reason": "no_ability_estimate" if ability is None else None,
            "goal_basis": basis,
            "is_default_goal": goal is None,
            "goal_topic_id": goal.topic_id if goal else None,
            "goal_target_theta": target,
            "goal_target_date": goal.target_date if goal else None,
            "theta": overall.theta if overall else None,
            "standard_error": overall.standard_error if overall else None,
            "theta_effective_at": overall.effective_at if overall else None,
            "run_id": overall.run_id if overall else None,
        }

    def goal_rows(self) -> Iterator[dict[str, Any]]:
        for day in self.days():
            for rank, goal in enumerate(self._open_goals(day)):
                ability, basis = self._ability_for(day, goal.topic_id)
                yield {
                    "student_id": self.student_id,
                    "topic_id": goal.topic_id,
                    "kpi_date": day,
                    "target_theta": goal.target_theta,
                    "target_date": goal.target_date,
                    "priority": goal.priority,
                    "theta": ability.theta if ability else None,
                    "standard_error": ability.standard_error if ability else None,
                    "basis": basis,
                    "probability": self._probability(ability, goal.target_theta),
                    "is_primary": rank == 0,
                }

    def _churn(self, day: date) -> dict[str, Any]:
        active_days = [d for d, _ in (*self.attempts, *self.visits) if d <= day]
        last = max(active_days)
        idle_days = (day - last).days
        visits = self._visits(back(day, 0, 55))
        gap = self._gap(visits)
        value = (
            0.60 * clamp(idle_days / 14)
            + 0.25 * (0.5 if gap is None else clamp(gap / 7))
            + 0.15 * clamp(1 - len(visits) / 10)
        )
        return {
            "churn_risk": value if last in back(day, 0, 55) else 1.0,
            "days_since_last_activity": idle_days,
            "session_count_churn": len(visits),
            "session_gap_churn_days": gap,
            "last_activity_date": last,
        }
