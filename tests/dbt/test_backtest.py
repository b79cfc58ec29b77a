"""The back-test of predictions, built by dbt, against a slow count over all pairs."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import psycopg
import pytest

from tests.conftest import Database
from tests.dbt.learning_scenario import School, write_abilities, write_exam, write_runs
from tests.dbt.mart_rows import differences, read
from tests.dbt.topic_oracle import probability
from tests.dbt_runner import DbtRunner

KEY = ("prediction", "as_of", "bin")
NO_TESTS = ("--exclude-resource-type", "test", "--exclude-resource-type", "unit_test")
BUILD = ("build", *NO_TESTS, "--select", "+fct_prediction_backtest")
SUNDAY = 6

Row = dict[str, Any]
Resolved = dict[str, list[tuple[date, float, bool]]]
Build = Callable[..., list[Row]]


def is_target_met(school: School, kpi: Row) -> bool | None:
    """Whether the later responses alone put the student at the target; null if too few."""
    first: set[str] = set()
    score, count = 0.0, 0
    own = [a for a in school.attempts() if a.student_id == kpi["student_id"]]
    for attempt in sorted(own, key=lambda a: (a.answered_at, a.session_id, a.position)):
        if attempt.is_correct is None or attempt.item_id in first:
            continue
        first.add(attempt.item_id)
        days = (attempt.answered_at.astimezone(school.time_zone).date() - kpi["kpi_date"]).days
        parameters = school.parameters.get((kpi["run_id"], attempt.item_id))
        if not 1 <= days <= 28 or parameters is None:
            continue
        # The slope of the log-likelihood at the target, by a difference quotient.
        count += 1
        for sign in (1, -1):
            p = probability(kpi["goal_target_theta"] + sign * 1e-5, *parameters)
            score += sign * math.log(p if attempt.is_correct else 1 - p)
    return score >= 0 if count >= 5 else None


def resolve(school: School, kpis: list[Row]) -> Resolved:
    """Predictions with the day of their resolution and what became of them."""
    active_days = {
        (a.student_id, a.answered_at.astimezone(school.time_zone).date()) for a in school.attempts()
    }
    found: Resolved = {"churn_risk": [], "goal_probability": []}
    for kpi in kpis:
        cutoff = kpi["kpi_date"]
        if cutoff.weekday() != SUNDAY:
            continue
        days = [(kpi["student_id"], cutoff + timedelta(offset)) for offset in range(-13, 15)]
        if active_days.intersection(days[:14]):
            is_gone = not active_days.intersection(days[14:])
            found["churn_risk"].append((cutoff + timedelta(14), kpi["churn_risk"], is_gone))
        chance = kpi["goal_probability"]
        if chance is not None and chance < 0.5:
            is_met = is_target_met(school, kpi)
            if is_met is not None:
                found["goal_probability"].append((cutoff + timedelta(28), chance, is_met))
    return found


def area_under_the_curve(pairs: list[tuple[float, bool]]) -> float | None:
    """Share of pairs in which the one that came true was predicted higher."""
    wins = [
        1.0 if round(high, 12) > round(low, 12) else 0.5 * (round(high, 12) == round(low, 12))
        for high, is_true in pairs
        if is_true
        for low, is_other_true in pairs
        if not is_other_true
    ]
    return sum(wins) / len(wins) if wins else None


def outcome_variance(true_count: int, count: int) -> float:
    """Brier score of always saying the base rate."""
    return true_count * (count - true_count) / count**2


def measure(prediction: str, as_of: date, pairs: list[tuple[float, bool]]) -> list[Row]:
    """The eleven rows of one prediction and as_of."""
    rows: list[Row] = []
    for number in range(11):
        inside = [
            (p, came_true)
            for p, came_true in pairs
            if number in (0, min(math.floor(round(p, 12) * 10) + 1, 10))
        ]
        count, true_count = len(inside), sum(came_true for _, came_true in inside)
        rate = true_count / count if count else None
        row: Row = {
            "prediction": prediction,
            "as_of": as_of,
            "bin": number,
            "prediction_count": count,
            "outcome_count": true_count,
            "mean_probability": sum(p for p, _ in inside) / count if count else None,
            "outcome_rate": rate,
            "brier_score": None,
            "brier_skill": None,
            "auc": None,
        }
        if number == 0:
            brier = sum((p - came_true) ** 2 for p, came_true in inside) / count
            row["brier_score"] = brier
            variance = outcome_variance(true_count, count)
            row["brier_skill"] = 1 - brier / variance if variance else None
            row["auc"] = area_under_the_curve(inside)
        rows.append(row)
    return rows


def expected_rows(school: School, kpis: list[Row], as_of_date: date) -> list[Row]:
    """The whole mart."""
    rows: list[Row] = []
    for prediction, resolved in resolve(school, kpis).items():
        begun = min((day for day, _, _ in resolved), default=as_of_date + timedelta(1))
        for offset in range((as_of_date - begun).days + 1):
            as_of = begun + timedelta(offset)
            if as_of.weekday() == SUNDAY or as_of == as_of_date:
                known = [(p, came_true) for day, p, came_true in resolved if day <= as_of]
                rows += measure(prediction, as_of, known)
    return rows


@pytest.fixture
def school() -> School:
    return School.random(31, students=14, day_count=100)


@pytest.fixture
def build(database: Database, run_dbt: DbtRunner, school: School) -> Build:
    """Builds as of some days after the school's 80th, and returns the mart's rows."""

    def run(days: int = 0, *options: str) -> list[Row]:
        with psycopg.connect(database.url) as connection:
            write_exam(connection, school)
        as_of_date = school.first_day + timedelta(days=80 + days)
        # So few items that twenty new ones in four weeks are rare.
        variables = {"as_of_date": as_of_date, "backtest_goal_min_responses": 5}
        run_dbt(*BUILD, *options, database=database, vars=variables)
        return read(database.url, "fct_prediction_backtest", ", ".join(KEY))

    with psycopg.connect(database.url) as connection:
        write_runs(connection, school)
        write_abilities(connection, school.abilities)
    return run


def test_every_row_is_what_the_definition_says_after_arrivals_too(
    school: School, build: Build, database: Database
) -> None:
    late = {key: school.sessions.pop(key) for key in sorted(school.sessions)[4:300:13]}

    def assert_is_defined(rows: list[Row], days: int) -> None:
        kpis = read(database.url, "fct_student_daily_kpis", "student_id, kpi_date")
        as_of_date = school.first_day + timedelta(days=80 + days)
        assert differences(rows, expected_rows(school, kpis, as_of_date), KEY) == []

    before = build()
    assert_is_defined(before, 0)
    summaries = [row for row in before if row["bin"] == 0]
    assert {row["prediction"] for row in summaries} == {"churn_risk", "goal_probability"}
    assert sum(row["auc"] is not None for row in summaries) > 8

    school.sessions.update(late)
    del school.sessions[sorted(school.sessions)[20]]
    after = build(5)
    assert_is_defined(after, 5)
    assert differences(after, build(5, "--full-refresh"), KEY) == []
    assert after != before
