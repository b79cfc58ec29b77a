"""Classical item statistics, one row at a time, straight from the definitions."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

from tests.dbt.topic_oracle import Attempt

MINIMUM_OTHER_QUESTIONS = 5
SUNDAY = 6


def correlation(pairs: Sequence[tuple[int, Fraction]]) -> float | None:
    """Pearson's correlation in exact arithmetic up to the last root; null without variance."""
    count = len(pairs)
    if count == 0:
        return None
    sum_x = sum(x for x, _ in pairs)
    sum_y = sum((y for _, y in pairs), Fraction(0))
    covariance = count * sum((x * y for x, y in pairs), Fraction(0)) - sum_x * sum_y
    variance_x = count * sum(x * x for x, _ in pairs) - sum_x**2
    variance_y = count * sum((y * y for _, y in pairs), Fraction(0)) - sum_y**2
    if variance_x == 0 or variance_y == 0:
        return None
    return float(covariance) / math.sqrt(float(variance_x) * float(variance_y))


@dataclass(frozen=True)
class ItemOracle:
    """Everything that an item statistic may depend on."""

    attempts: Sequence[Attempt]
    as_of_date: date
    time_zone: ZoneInfo

    def local(self, attempt: Attempt) -> date:
        """Local day of an attempt."""
        return attempt.answered_at.astimezone(self.time_zone).date()

    def first_graded(self) -> list[Attempt]:
        """First graded attempt of every student and item, over all that was delivered."""
        first: dict[tuple[str, str], Attempt] = {}
        for attempt in sorted(
            self.attempts, key=lambda a: (a.answered_at, a.session_id, a.position)
        ):
            if attempt.is_correct is not None:
                first.setdefault((attempt.student_id, attempt.item_id), attempt)
        return list(first.values())

    def others_share(self, attempt: Attempt) -> Fraction | None:
        """Share correct among the other graded questions of the attempt's session."""
        others = [
            other.is_correct
            for other in self.attempts
            if other.session_id == attempt.session_id
            and other.position != attempt.position
            and other.is_correct is not None
        ]
        if len(others) < MINIMUM_OTHER_QUESTIONS:
            return None
        return Fraction(sum(others), len(others))

    def row(
        self, item_id: str, as_of: date, first_attempts: Sequence[Attempt]
    ) -> dict[str, object]:
        """The statistics of one item over everything up to ``as_of``."""
        exposures = [a for a in self.attempts if a.item_id == item_id and self.local(a) <= as_of]
        first = [a for a in first_attempts if a.item_id == item_id and self.local(a) <= as_of]
        times = [a.response_time_ms for a in exposures if a.response_time_ms is not None]
        pairs = [
            (int(bool(a.is_correct)), share)
            for a in first
            if (share := self.others_share(a)) is not None
        ]
        answers = Counter(a.user_answer for a in first if a.user_answer)
        return {
            "item_id": item_id,
            "as_of": as_of,
            "response_count": len(first),
            "correct_count": sum(bool(a.is_correct) for a in first),
            "p_value": sum(bool(a.is_correct) for a in first) / len(first) if first else None,
            "point_biserial_count": len(pairs),
            "point_biserial": correlation(pairs),
            "median_time_ms": statistics.median(times) if times else None,
            "exposure_count": len(exposures),
            "answer_counts": dict(answers) if answers else None,
        }

    def rows(self) -> list[dict[str, object]]:
        """Every row: each Sunday of the history and the current day."""
        days = {self.local(attempt) for attempt in self.attempts}
        if not days or min(days) > self.as_of_date:
            return []
        span = (self.as_of_date - min(days)).days
        moments = [min(days) + timedelta(offset) for offset in range(span + 1)]
        moments = [day for day in moments if day.weekday() == SUNDAY or day == self.as_of_date]
        first_attempts = self.first_graded()
        first_days: dict[str, date] = {}
        for attempt in self.attempts:
            day = self.local(attempt)
            first_days[attempt.item_id] = min(day, first_days.get(attempt.item_id, day))
        return [
            self.row(item_id, as_of, first_attempts)
            for item_id in sorted(first_days)
            for as_of in moments
            if first_days[item_id] <= as_of
        ]
