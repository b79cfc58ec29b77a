"""A student's record without a database, as `StudentInputs.record` returns it."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np

from report_runner.records import ItemBank, StudentRecord, Week
from tests.report_runner.marts import RUN, SUNDAY, WEEK

THIS_WEEK = Week(WEEK, SUNDAY, is_complete=True)
KPIS = {
    "improvement_index": 0.225920,
    "time_efficiency": 0.25,
    "recovery_rate": 0.625,
    "engagement": 0.450833,
}


def week_row(week_start: date = WEEK, **values: Any) -> dict[str, Any]:
    return {
        "student_id": "s1",
        "week_start": week_start,
        "as_of_date": week_start + timedelta(days=6),
        "is_complete": True,
        "improvement_basis": "theta",
        "goal_probability": 0.4,
        "theta": 0.482,
        "standard_error": 0.24,
        "run_id": RUN,
        **KPIS,
        **values,
    }


def topic_row(topic_id: str, graded: int, correct: int, **values: Any) -> dict[str, Any]:
    return {
        "topic_id": topic_id,
        "attempt_count": graded,
        "graded_count": graded,
        "correct_count": correct,
        "strength": None,
        "theta": 0.4,
        "theta_basis": "topic",
        **values,
    }


def goal_row(**values: Any) -> dict[str, Any]:
    return {
        "topic_id": None,
        "target_theta": 0.6,
        "target_date": date(2026, 7, 31),
        "priority": 50,
        "theta": 0.482,
        "standard_error": 0.24,
        "basis": "overall",
        "probability": 0.311,
        "is_primary": True,
        **values,
    }


def record(
    weeks: Sequence[Mapping[str, Any]] | None = None,
    topics: Sequence[Mapping[str, Any]] = (),
    goals: Sequence[Mapping[str, Any]] = (),
    graded_count: int = 30,
    profile: Mapping[str, Any] | None = None,
    seen_items: frozenset[str] = frozenset(),
    detail: Mapping[str, Any] | None = None,
) -> StudentRecord:
    activity = {
        "attempt_count": graded_count + 2,
        "graded_count": graded_count,
        "correct_count": graded_count // 2,
        "day_count": 3,
    }
    return StudentRecord(
        student_id="s1",
        profile={"display_name": "김하늘", "locale": "ko"} if profile is None else profile,
        weeks=[week_row()] if weeks is None else weeks,
        detail={"goal_target_theta": 0.0} if detail is None else detail,
        activity={WEEK: activity} if graded_count else {},
        graded_count=graded_count,
        topics=topics,
        goals=goals,
        seen_items=seen_items,
    )


def bank(items: Sequence[tuple[str, str | None, float]] = ()) -> ItemBank:
    """Items (id, topic, difficulty) of discrimination 1 without guessing."""
    return ItemBank(
        run_id=RUN if items else None,
        item_ids=tuple(item[0] for item in items),
        topic_ids=tuple(item[1] for item in items),
        contents=tuple(None for _ in items),
        discrimination=np.ones(len(items)),
        difficulty=np.array([item[2] for item in items], dtype=np.float64),
        guessing=np.zeros(len(items)),
    )
