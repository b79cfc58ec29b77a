"""What a cohort report says, before any language. Pure: rows in, frozen dataclasses out."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from report_runner.cohort_queries import TOPIC_WEEKS, CohortRecord
from report_runner.records import Row, Week
from report_runner.sections import to_display

CONTACTS_SHOWN = 15
TOPICS_SHOWN = 12
MINIMUM_CELL_COUNT = 5
HISTOGRAM_MINIMUM = 8
PERCENTILES = (10, 25, 50, 75, 90)
_BIN = 50
_RISK_HIGH = 0.7
_GOAL_LOW = 0.4
# The order in which reasons call for contact.
REASONS = ("dormant", "inactive", "falling", "risk", "goal")


@dataclass(frozen=True)
class Reason:
    """Why a student needs contact, with the numbers that say it."""

    name: str
    values: dict[str, float | date] = field(default_factory=dict)


@dataclass(frozen=True)
class Contact:
    """A student to contact, most pressing reason first."""

    student_id: str
    display_name: str | None
    reasons: tuple[Reason, ...]


@dataclass(frozen=True)
class Mover:
    """A student whose score moved by more than its error."""

    student_id: str
    display_name: str | None
    score: float
    change: float


@dataclass(frozen=True)
class CohortReport:
    """Everything that a cohort report shows."""

    cohort_id: str
    name: str | None
    week: Week
    student_count: int
    active_count: int
    contacts: tuple[Contact, ...]
    contacts_left_out: int
    risers: tuple[Mover, ...]
    fallers: tuple[Mover, ...]
    steady_count: int
    scores: tuple[float, ...]
    percentiles: dict[int, float]
    bins: tuple[tuple[float, float, int], ...]
    topic_weeks: tuple[date, ...]
    topics: tuple[tuple[str, tuple[float | None, ...]], ...]
    without_score: tuple[tuple[str, str | None], ...]
    without_questions: tuple[tuple[str, str | None], ...]


def build_cohort_report(record: CohortRecord, week: Week) -> CohortReport:
    """Return what the report of one cohort and week says."""
    contacts = sorted(
        (contact for row in record.students if (contact := _contact(row, week)) is not None),
        key=_pressing,
    )
    movers = [mover for row in record.students if (mover := _mover(row)) is not None]
    scores = tuple(
        sorted(to_display(row["theta"]) for row in record.students if row["theta"] is not None)
    )
    weeks = tuple(week.week_start - timedelta(weeks=n) for n in reversed(range(TOPIC_WEEKS)))
    return CohortReport(
        cohort_id=record.cohort_id,
        name=record.name,
        week=week,
        student_count=len(record.students),
        active_count=sum(row["state"] == "active" for row in record.students),
        contacts=tuple(contacts[:CONTACTS_SHOWN]),
        contacts_left_out=max(len(contacts) - CONTACTS_SHOWN, 0),
        risers=tuple(sorted((m for m in movers if m.change > 0), key=lambda m: -m.change)),
        fallers=tuple(sorted((m for m in movers if m.change < 0), key=lambda m: m.change)),
        steady_count=sum(
            row["theta"] is not None and row["theta_before"] is not None for row in record.students
        )
        - len(movers),
        scores=scores,
        percentiles=_percentiles(scores),
        bins=_bins(scores),
        topic_weeks=weeks,
        topics=_topics(record.topics, weeks),
        without_score=_named(record.students, lambda row: row["theta"] is None),
        without_questions=_named(
            record.students,
            lambda row: row["theta"] is not None and not row["graded_recent_short_count"],
        ),
    )


def _contact(row: Row, week: Week) -> Contact | None:
    reasons = []
    if row["to_state"] in {"inactive", "dormant"} and row["state"] != "active":
        reasons.append(Reason(row["to_state"], {"days": row["days_at_transition"] or 0}))
    elif row["state"] == "active" and (row["churn_risk"] or 0.0) >= _RISK_HIGH:
        reasons.append(Reason("risk", {"days": row["days_since_last_activity"] or 0}))
    mover = _mover(row)
    if mover is not None and mover.change < 0:
        reasons.append(Reason("falling", {"change": -mover.change}))
    if row["goal_probability"] is not None and row["goal_probability"] < _GOAL_LOW:
        days = (row["target_date"] - week.as_of_date).days
        reasons.append(Reason("goal", {"days": days, "probability": row["goal_probability"]}))
    if not reasons:
        return None
    ordered = tuple(sorted(reasons, key=lambda reason: REASONS.index(reason.name)))
    return Contact(row["student_id"], row["display_name"], ordered)


def _pressing(contact: Contact) -> tuple[int, int, str]:
    return (REASONS.index(contact.reasons[0].name), -len(contact.reasons), contact.student_id)


def _mover(row: Row) -> Mover | None:
    """Return the student as a mover when the change exceeds one standard error."""
    if row["theta"] is None or row["theta_before"] is None:
        return None
    change = row["theta"] - row["theta_before"]
    if abs(change) < (row["standard_error"] or 0.0):
        return None
    score = to_display(row["theta"])
    return Mover(
        row["student_id"], row["display_name"], score, score - to_display(row["theta_before"])
    )


def _percentiles(scores: Sequence[float]) -> dict[int, float]:
    if len(scores) < HISTOGRAM_MINIMUM:
        return {}
    cuts = statistics.quantiles(scores, n=100, method="inclusive")
    return {percent: cuts[percent - 1] for percent in PERCENTILES}


def _bins(scores: Sequence[float]) -> tuple[tuple[float, float, int], ...]:
    if len(scores) < HISTOGRAM_MINIMUM:
        return ()
    first, last = int(scores[0] // _BIN), int(scores[-1] // _BIN)
    counts = [0] * (last - first + 1)
    for score in scores:
        counts[int(score // _BIN) - first] += 1
    return tuple(
        (float((first + n) * _BIN), float((first + n + 1) * _BIN), count)
        for n, count in enumerate(counts)
    )


def _topics(
    rows: Sequence[Row], weeks: Sequence[date]
) -> tuple[tuple[str, tuple[float | None, ...]], ...]:
    counts: dict[str, dict[date, tuple[int, int]]] = {}
    for row in rows:
        week = counts.setdefault(row["topic_id"], {})
        week[row["week_start"]] = (int(row["graded_count"]), int(row["correct_count"]))
    busiest = sorted(
        counts, key=lambda topic: (-sum(graded for graded, _ in counts[topic].values()), topic)
    )[:TOPICS_SHOWN]

    def share(topic: str, week: date) -> float | None:
        graded, correct = counts[topic].get(week, (0, 0))
        return correct / graded if graded >= MINIMUM_CELL_COUNT else None

    found = [(topic, tuple(share(topic, week) for week in weeks)) for topic in sorted(busiest)]
    return tuple((topic, shares) for topic, shares in found if any(s is not None for s in shares))


def _named(
    rows: Sequence[Row], chosen: Callable[[Row], bool]
) -> tuple[tuple[str, str | None], ...]:
    return tuple((row["student_id"], row["display_name"]) for row in rows if chosen(row))
