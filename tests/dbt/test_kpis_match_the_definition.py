"""The daily KPIs, built by dbt from delivered results, against the slow oracle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest

from tests.conftest import Database, DatabaseFactory
from tests.dbt.kpi_scenario import KpiSchool
from tests.dbt.mart_rows import differences, read
from tests.dbt_runner import DbtRunner

KEY = ("student_id", "kpi_date")
GOAL_KEY = ("student_id", "topic_id", "kpi_date")
BUILD = (
    "build",
    "--select",
    *("+weekly_kpi", "+fct_goal_probability", "+fct_inactivity_daily"),
    "+fct_inactivity_transitions",
    "--exclude-resource-type",
    *("test", "unit_test"),
)


def with_text_key(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows whose overall goal sorts with the others."""
    return [{**row, "topic_id": row["topic_id"] or ""} for row in rows]


@pytest.mark.parametrize(
    ("seed", "time_zone", "history_start"),
    [(11, "Asia/Seoul", date.min), (12, "America/New_York", date(2026, 3, 8))],
)
def test_every_student_day_is_what_the_definition_says(
    new_database: DatabaseFactory,
    new_warehouse: Callable[[], Database],
    run_dbt: DbtRunner,
    seed: int,
    time_zone: str,
    history_start: date,
) -> None:
    # Once incrementally, once from nothing: another time zone needs a full refresh.
    database = new_warehouse() if time_zone == "Asia/Seoul" else new_database()
    world = KpiSchool.random(seed, time_zone=time_zone)
    as_of_date = world.school.first_day + timedelta(days=world.school.day_count - 7)
    world.write(database.url)
    world.write_abilities(database.url)

    variables = {"as_of_date": as_of_date, "reporting_timezone": time_zone}
    if history_start > date.min:
        variables["kpi_history_start"] = history_start
    run_dbt(*BUILD, database=database, vars=variables)

    oracle = world.oracle(as_of_date, history_start)
    expected = oracle.rows()
    actual = read(database.url, "fct_student_daily_kpis", ", ".join(KEY))
    assert differences(actual, expected, KEY) == []
    expected_goals = with_text_key(oracle.goal_rows())
    actual_goals = with_text_key(read(database.url, "fct_goal_probability", ", ".join(GOAL_KEY)))
    assert differences(actual_goals, expected_goals, GOAL_KEY) == []
    if history_start == date.min:
        reached_everything(expected)
    check_inactivity(database.url, expected)
    check_weeks(database.url, expected, as_of_date)


def reached_everything(expected: list[dict[str, Any]]) -> None:
    """The scenario reaches every branch, else agreement would say little."""
    assert len(expected) > 400
    branches: dict[str, set[Any]] = {
        "improvement_basis": {"theta", "accuracy", None},
        "improvement_null_reason": {"no_graded_recent", "no_graded_previous", None},
        "time_efficiency_null_reason": {
            "no_recent_times",
            "no_previous_times",
            None,
        },
        "recovery_null_reason": {"nothing_wrong_previous", "no_retry_recent", None},
        "engagement_null_reason": {"no_recent_session", None},
        "goal_basis": {"topic", "overall", None},
        "is_default_goal": {True, False},
    }
    for column, values in branches.items():
        reached = Counter(row[column] for row in expected)
        assert set(reached) >= values, f"{column} {reached}"


def check_inactivity(url: str, daily: list[dict[str, Any]]) -> None:
    """States, transitions and notifications follow from the daily rows, in their order."""
    states, transitions = [], []
    previous: dict[str, str] = {}
    notified: dict[str, date] = {}
    for row in daily:
        student_id, day = row["student_id"], row["kpi_date"]
        idle_days = row["days_since_last_activity"]
        state = "dormant" if idle_days >= 28 else "inactive" if idle_days >= 7 else "active"
        states.append(
            {
                "student_id": student_id,
                "inactivity_date": day,
                "days_since_last_activity": idle_days,
                "state": state,
                "goal_probability": row["goal_probability"],
                "churn_risk": row["churn_risk"],
            }
        )
        before = previous.get(student_id, state)
        previous[student_id] = state
        if state == before:
            continue
        order = ("active", "inactive", "dormant")
        is_worse = order.index(state) > order.index(before)
        last = notified.get(student_id, date.min)
        should_notify = is_worse and day - timedelta(days=14) >= max(
            last, date.min + timedelta(days=1)
        )
        if should_notify:
            notified[student_id] = day
        transitions.append(
            {
                "student_id": student_id,
                "changed_on": day,
                "from_state": before,
                "to_state": state,
                "days_since_last_activity": idle_days,
                "should_notify": should_notify,
            }
        )
    key = ("student_id", "inactivity_date")
    assert differences(read(url, "fct_inactivity_daily", ", ".join(key)), states, key) == []
    key = ("student_id", "changed_on")
    actual = read(url, "fct_inactivity_transitions", ", ".join(key))
    assert differences(actual, transitions, key) == []


def check_weeks(url: str, daily: list[dict[str, Any]], as_of_date: date) -> None:
    """A week is its Sunday's row, or the last day's while it runs."""
    expected = []
    for row in daily:
        day = row["kpi_date"]
        if day.isoweekday() == 7 or day == as_of_date:
            expected.append(
                {
                    "student_id": row["student_id"],
                    "week_start": day - timedelta(days=day.isoweekday() - 1),
                    "as_of_date": day,
                    "is_complete": day.isoweekday() == 7,
                    **{
                        column: row[column]
                        for column in (
                            *("improvement_index", "time_efficiency", "recovery_rate"),
                            *("engagement", "goal_probability", "churn_risk", "theta"),
                        )
                    },
                }
            )
    key = ("student_id", "week_start")
    assert differences(read(url, "fct_student_weekly_kpis", ", ".join(key)), expected, key) == []
    views = {
        (row["user_id"], row["week_start"]): row["kpis"]
        for row in read(url, "weekly_kpi", "user_id, week_start")
    }
    assert len(views) == len(expected)
    for row in expected:
        kpis = views[row["student_id"], row["week_start"]]
        assert set(kpis) == {"I_t", "E_t", "R_t", "A_t", "P", "S"}
        assert kpis["S"] == pytest.approx(row["churn_risk"], abs=1e-9)
        assert kpis["I_t"] == pytest.approx(row["improvement_index"], abs=1e-9)
