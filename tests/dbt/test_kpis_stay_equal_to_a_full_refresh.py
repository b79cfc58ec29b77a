"""KPIs after arrivals of every kind: the rows of one full refresh, and of the definition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest

from tests.conftest import Database
from tests.dbt.kpi_scenario import KpiSchool
from tests.dbt.mart_rows import differences, read
from tests.dbt_runner import DbtRunner

KEYS = {
    "fct_student_daily_kpis": ("student_id", "kpi_date"),
    "fct_goal_probability": ("student_id", "goal_key", "kpi_date"),
    "fct_inactivity_daily": ("student_id", "inactivity_date"),
    "fct_inactivity_transitions": ("student_id", "changed_on"),
    "fct_student_weekly_kpis": ("student_id", "week_start"),
}
BUILD = ("build", "--exclude-resource-type", "test", "unit_test", "--select")
ALL = ("+fct_student_weekly_kpis", "+fct_goal_probability", "+fct_inactivity_daily")
MARTS = (*ALL, "+fct_inactivity_transitions")

Rows = dict[str, list[dict[str, Any]]]


@dataclass
class Life:
    """A small school and its warehouse, from the school's 85th day on."""

    world: KpiSchool
    database: Database
    run_dbt: DbtRunner
    today: date

    def build(self, days: int = 0, *options: str, select: tuple[str, ...] = MARTS) -> Rows:
        """Let days pass, deliver the school as it is, build; the marts' rows."""
        self.today += timedelta(days=days)
        self.world.write(self.database.url)
        self.run_dbt(
            *BUILD,
            *select,
            *options,
            database=self.database,
            vars={"as_of_date": self.today},
        )
        return {
            relation: read(self.database.url, relation, ", ".join(key))
            for relation, key in KEYS.items()
        }

    def assert_is_defined(self, rows: Rows) -> None:
        """Fail unless the daily rows are what the oracle says."""
        relation = "fct_student_daily_kpis"
        expected = self.world.oracle(self.today).rows()
        assert differences(rows[relation], expected, KEYS[relation]) == []


@pytest.fixture(scope="module")
def life(new_warehouse: Callable[[], Database], run_dbt: DbtRunner) -> Life:
    """One life for all tests of this module: each goes on from what it finds."""
    database = new_warehouse()
    world = KpiSchool.random(31, students=4)
    world.write(database.url)
    world.write_abilities(database.url)
    return Life(world, database, run_dbt, world.school.first_day + timedelta(days=85))


def assert_are_equal(rows: Rows, others: Rows) -> None:
    """Fail unless every mart has the same rows in both."""
    for relation, key in KEYS.items():
        assert rows[relation]
        assert differences(rows[relation], others[relation], key) == []
        assert differences(others[relation], rows[relation], key) == []


@pytest.mark.drill
@pytest.mark.long
def test_a_job_that_builds_the_kpis_alone_hides_nothing(life: Life) -> None:
    life.build()
    keys = sorted(life.world.school.sessions)
    del life.world.school.sessions[keys[4]]
    # The windows are not rebuilt, so that the KPIs cannot know yet.
    life.build(select=("+fct_sessions", "fct_student_daily_kpis"))
    life.assert_is_defined(life.build())


def test_a_build_without_news_changes_nothing(life: Life) -> None:
    life.build()
    stamp = "select max(built_at), count(*) from analytics.fct_student_daily_kpis"
    with psycopg.connect(life.database.url) as connection:
        before = connection.execute(stamp).fetchone()
    life.build()
    with psycopg.connect(life.database.url) as connection:
        assert connection.execute(stamp).fetchone() == before


@pytest.mark.drill
@pytest.mark.long
def test_sessions_abilities_runs_and_goals_that_arrive_in_any_order(life: Life) -> None:
    world, school = life.world, life.world.school
    keys = sorted(school.sessions)
    late = {key: school.sessions.pop(key) for key in keys[3:60:9]}
    late_visits = {
        key: world.session_rows.pop(key) for key in sorted(world.session_rows) if "visit" in key
    }
    # Some sessions lie after this day: they are delivered, and no KPI may know them yet.
    life.assert_is_defined(life.build())

    # Nights were missed, and everything else happens at once. A run comes into force for
    # days to come, then is taken back.
    school.sessions.update(late)
    world.session_rows.update(late_visits)
    keys = [key for key in sorted(school.sessions) if key not in late]
    del school.sessions[keys[2]]
    school.sessions[keys[25]].is_ready = False
    school.sessions[keys[30]].attempts = school.sessions[keys[30]].attempts[:1]
    school.sessions[keys[40]].student_id = "somebody-new"
    school.sessions[keys[40]].attempts = [
        replace(attempt, student_id="somebody-new")
        for attempt in school.sessions[keys[40]].attempts
    ]
    row = next(row for row in world.session_rows.values() if row.started_at)
    world.session_rows[row.session_id] = replace(row, ended_at=None)
    school.publish("run-2", life.today + timedelta(days=3))
    life.assert_is_defined(life.build(7))
    school.revoke_last()
    life.assert_is_defined(life.build())

    # Another scoring of old sessions, and goals that change: the old versions stay.
    known = len(school.abilities)
    rescored = [school.sessions[key] for key in sorted(school.sessions)[10:40:8]]
    for session in rescored:
        school.score(session, "run-3")
    world.write_abilities(life.database.url, known)
    for number, (goal_key, (goal, created_at)) in enumerate(list(world.goals.items())):
        if number % 3 == 0:
            del world.goals[goal_key]
        elif number % 3 == 1:
            world.goals[goal_key] = (replace(goal, target_theta=goal.target_theta + 1), created_at)
    world.add_goal("student-0", "new")
    goal, _ = world.goals["student-0", "new"]
    today = datetime.now(UTC)
    world.goals["student-0", "new"] = (
        replace(goal, priority=100),
        today - timedelta(days=3650),
    )
    after = life.build(2)
    assert {row["is_default_goal"] for row in after["fct_student_daily_kpis"]} == {True, False}
    assert_are_equal(after, life.build(0, "--full-refresh"))
