"""What a report says, before any language: rows of the marts in, frozen dataclasses out.

Pure: no clock, no database, no words. Abilities leave this module on the display scale
(500 + 100 theta), so that nothing after it knows the psychometric one.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

from report_runner.errors import ReportDataError
from report_runner.practice import MINIMUM_TELLING_COUNT, Practice, choose_practice
from report_runner.records import ItemBank, Row, StudentRecord, Week

DISPLAY_CENTRE = 500.0
DISPLAY_POINTS_PER_THETA = 100.0

# Below this many graded questions in the trend's weeks a report says only what was done.
MINIMUM_GRADED_COUNT = 10
MINIMUM_TOPIC_GRADED_COUNT = 3
TOPICS_SHOWN = 8
GOALS_SHOWN = 4
CHANGE_WEEKS = 4

Trend = Literal["up", "same", "down"]
Level = Literal["high", "middle", "low"]
Headline = Literal[
    "first_steps", "quiet", "growth", "goal", "recovery", "topic", "effort", "steady"
]

_IMPROVEMENT_SAME = 0.03
_RECOVERY_LEVELS = (0.6, 0.4)
_ENGAGEMENT_LEVELS = (0.6, 0.35)
_SPEED_LEVELS = (0.15, 1e-9)
_GOAL_HEADLINE = 0.8


@dataclass(frozen=True)
class Activity:
    """What was done in one week."""

    attempt_count: int
    graded_count: int
    correct_count: int
    day_count: int

    @property
    def correct_rate(self) -> float | None:
        """Return the share of graded questions that are correct, in [0, 1]."""
        return self.correct_count / self.graded_count if self.graded_count else None


@dataclass(frozen=True)
class ScorePoint:
    """The ability at the end of a week on the display scale, with one standard error."""

    week_start: date
    score: float
    low: float
    high: float
    theta: float
    standard_error: float


@dataclass(frozen=True)
class Score:
    """The ability now, its trend, and its change against an earlier week."""

    now: ScorePoint
    points: tuple[ScorePoint, ...]
    change: float | None
    change_weeks: int | None
    trend: Trend


@dataclass(frozen=True)
class Kpi:
    """One KPI of the week and of the week before, on the marts' scale."""

    name: Literal["improvement_index", "time_efficiency", "recovery_rate", "engagement"]
    value: float
    before: float | None
    level: Trend | Level
    details: Mapping[str, float]


@dataclass(frozen=True)
class Topic:
    """One topic over the recent 28 days."""

    topic_id: str
    graded_count: int
    correct_count: int
    strength: Literal["weak", "strong"] | None

    @property
    def correct_rate(self) -> float:
        """Return the share of graded questions that are correct, in [0, 1]."""
        return self.correct_count / self.graded_count


@dataclass(frozen=True)
class Goal:
    """A goal and the probability that the present ability meets it."""

    topic_id: str | None
    target: float
    target_date: date | None
    days_left: int | None
    probability: float
    gap: float | None
    is_own: bool


@dataclass(frozen=True)
class StudentReport:
    """Everything that a weekly student report shows."""

    student_id: str
    display_name: str | None
    grade: str | None
    classroom: str | None
    week: Week
    headline: Headline
    is_short: bool
    total_graded_count: int
    activity: Activity | None
    activity_before: Activity | None
    score: Score | None
    kpis: tuple[Kpi, ...]
    missing_kpis: tuple[str, ...]
    topics: tuple[Topic, ...]
    practice: tuple[Practice, ...]
    goals: tuple[Goal, ...]
    more_goal_count: int
    run_id: str | None


def to_display(theta: float) -> float:
    """Return an ability on the display scale."""
    return DISPLAY_CENTRE + DISPLAY_POINTS_PER_THETA * theta


def build_report(record: StudentRecord, week: Week, bank: ItemBank) -> StudentReport:
    """Return what the report of one student and week says.

    Raises:
        ReportDataError: a value that no report may show, such as a NaN, stands in the marts.
    """
    _check_numbers(record)
    if not record.weeks or record.weeks[-1]["week_start"] != week.week_start:
        raise ReportDataError("no row in fct_student_weekly_kpis for this week")
    now: Row = record.weeks[-1]
    before = _week_before(record, week)
    total = record.graded_count
    is_short = total < MINIMUM_GRADED_COUNT
    activity = _activity(record, week.week_start)
    score = None if is_short else _score(record)
    kpis = () if is_short else _kpis(now, before, record.detail)
    topics = () if is_short else _topics(record)
    goals = () if is_short else _goals(record, week)
    return StudentReport(
        student_id=record.student_id,
        display_name=record.profile.get("display_name"),
        grade=record.profile.get("grade"),
        classroom=record.profile.get("classroom_name"),
        week=week,
        headline=_headline(is_short, activity, score, kpis, topics, goals),
        is_short=is_short,
        total_graded_count=total,
        activity=activity,
        activity_before=_activity(record, week.week_start - timedelta(days=7)),
        score=score,
        kpis=kpis,
        missing_kpis=()
        if is_short
        else tuple(name for name in _KPI_NAMES if name not in {kpi.name for kpi in kpis}),
        topics=topics,
        practice=()
        if is_short or now["theta"] is None
        else choose_practice(float(now["theta"]), record.topics, record.seen_items, bank),
        goals=goals[:GOALS_SHOWN],
        more_goal_count=max(len(goals) - GOALS_SHOWN, 0),
        run_id=now["run_id"],
    )


_KPI_NAMES = ("improvement_index", "time_efficiency", "recovery_rate", "engagement")


def _check_numbers(record: StudentRecord) -> None:
    rows = [*record.weeks, record.detail, *record.topics, *record.goals]
    for row in rows:
        for name, value in row.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ReportDataError(f"{name} is {value}: not a number a report can show")


def _week_before(record: StudentRecord, week: Week) -> Row:
    if len(record.weeks) > 1:
        row = record.weeks[-2]
        if row["week_start"] == week.week_start - timedelta(days=7):
            return row
    return {}


def _activity(record: StudentRecord, week_start: date) -> Activity | None:
    row = record.activity.get(week_start)
    if row is None:
        return None
    return Activity(
        attempt_count=int(row["attempt_count"]),
        graded_count=int(row["graded_count"]),
        correct_count=int(row["correct_count"]),
        day_count=int(row["day_count"]),
    )


def _score(record: StudentRecord) -> Score | None:
    points = tuple(
        ScorePoint(
            week_start=row["week_start"],
            score=to_display(row["theta"]),
            low=to_display(row["theta"] - row["standard_error"]),
            high=to_display(row["theta"] + row["standard_error"]),
            theta=row["theta"],
            standard_error=row["standard_error"],
        )
        for row in record.weeks
        if row["theta"] is not None and row["standard_error"] is not None
    )
    if not points or points[-1].week_start != record.weeks[-1]["week_start"]:
        return None
    now = points[-1]
    earliest = now.week_start - timedelta(weeks=CHANGE_WEEKS)
    earlier = next((point for point in points[:-1] if point.week_start >= earliest), None)
    if earlier is None:
        return Score(now, points, None, None, "same")
    change = now.score - earlier.score
    # Estimates share responses, so one standard error of the latest is a cautious yardstick.
    threshold = max(now.high - now.score, 1.0)
    trend: Trend = "up" if change >= threshold else "down" if change <= -threshold else "same"
    weeks = (now.week_start - earlier.week_start).days // 7
    return Score(now, points, change, weeks, trend)


def _kpis(now: Row, before: Row, detail: Row) -> tuple[Kpi, ...]:
    kpis = []
    for name in _KPI_NAMES:
        value = now[name]
        if value is None:
            continue
        details = {}
        if name == "time_efficiency":
            details = {
                key: float(detail[f"median_time_{key}_ms"]) / 1000
                for key in ("recent", "previous")
                if detail.get(f"median_time_{key}_ms") is not None
            }
        elif name == "recovery_rate" and detail.get("recovery_attempt_count"):
            details = {"count": float(detail["recovery_attempt_count"])}
        kpis.append(
            Kpi(
                name=name,  # type: ignore[arg-type]  # the names come from the literal's own list
                value=float(value),
                before=None if before.get(name) is None else float(before[name]),
                level=_level(name, float(value)),
                details=details,
            )
        )
    return tuple(kpis)


def _level(name: str, value: float) -> Trend | Level:
    if name == "improvement_index":
        if abs(value) < _IMPROVEMENT_SAME:
            return "same"
        return "up" if value > 0 else "down"
    high, middle = {
        "time_efficiency": _SPEED_LEVELS,
        "recovery_rate": _RECOVERY_LEVELS,
        "engagement": _ENGAGEMENT_LEVELS,
    }[name]
    return "high" if value >= high else "middle" if value >= middle else "low"


def _topics(record: StudentRecord) -> tuple[Topic, ...]:
    topics = [
        Topic(
            topic_id=row["topic_id"],
            graded_count=int(row["graded_count"]),
            correct_count=int(row["correct_count"]),
            strength=row["strength"] if int(row["graded_count"]) >= MINIMUM_TELLING_COUNT else None,
        )
        for row in record.topics
        if int(row["graded_count"]) >= MINIMUM_TOPIC_GRADED_COUNT
    ]
    telling = sorted(
        topics, key=lambda topic: (topic.strength is None, -topic.graded_count, topic.topic_id)
    )[:TOPICS_SHOWN]
    return tuple(sorted(telling, key=lambda topic: (-topic.correct_rate, topic.topic_id)))


def _goals(record: StudentRecord, week: Week) -> tuple[Goal, ...]:
    own = tuple(
        _goal(row, week, is_own=True)
        for row in record.goals
        if row["probability"] is not None
        and (row["target_date"] is None or row["target_date"] >= week.as_of_date)
    )
    if own:
        return own
    probability, target = (
        record.weeks[-1]["goal_probability"],
        record.detail.get("goal_target_theta"),
    )
    if probability is None or target is None:
        return ()
    row = {
        "topic_id": record.detail.get("goal_topic_id"),
        "target_theta": target,
        "target_date": record.detail.get("goal_target_date"),
        "probability": probability,
        "theta": record.weeks[-1]["theta"],
    }
    return (_goal(row, week, is_own=False),)


def _goal(row: Mapping[str, Any], week: Week, *, is_own: bool) -> Goal:
    target_date = row["target_date"]
    theta = row["theta"]
    return Goal(
        topic_id=row["topic_id"],
        target=to_display(float(row["target_theta"])),
        target_date=target_date,
        days_left=None if target_date is None else (target_date - week.as_of_date).days,
        probability=float(row["probability"]),
        gap=None
        if theta is None
        else DISPLAY_POINTS_PER_THETA * (float(row["target_theta"]) - float(theta)),
        is_own=is_own,
    )


def _headline(  # noqa: PLR0911  one rule per line, in order of what matters most
    is_short: bool,
    activity: Activity | None,
    score: Score | None,
    kpis: tuple[Kpi, ...],
    topics: tuple[Topic, ...],
    goals: tuple[Goal, ...],
) -> Headline:
    if is_short:
        return "first_steps"
    if activity is None:
        return "quiet"
    if score is not None and score.trend == "up":
        return "growth"
    if any(goal.is_own and goal.probability >= _GOAL_HEADLINE for goal in goals):
        return "goal"
    if any(
        kpi.name == "recovery_rate"
        and kpi.level == "high"
        and kpi.details.get("count", 0) >= MINIMUM_TELLING_COUNT
        for kpi in kpis
    ):
        return "recovery"
    if any(topic.strength == "strong" for topic in topics):
        return "topic"
    if any(kpi.name == "engagement" and kpi.level == "high" for kpi in kpis):
        return "effort"
    return "steady"
