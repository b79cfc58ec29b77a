"""Topic features after arrivals of every kind: the rows of one full refresh."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import psycopg
import pytest

from tests.conftest import Database
from tests.dbt.learning_scenario import School, write_abilities, write_exam, write_runs
from tests.dbt.mart_rows import differences, read
from tests.dbt_runner import DbtRunner

KEY = ("student_id", "topic_id", "feature_date")
RELATION = "fct_topic_daily_features"
BUILD = ("run", "--select", f"+{RELATION}")

Rows = list[dict[str, Any]]


@dataclass
class Life:
    """A school and its warehouse, from the school's 85th day on."""

    school: School
    database: Database
    run_dbt: DbtRunner
    today: date

    def build(self, days: int = 0, *options: str) -> Rows:
        """Let days pass, write exams and runs as they are, build; the mart's rows."""
        self.today += timedelta(days=days)
        with psycopg.connect(self.database.url) as connection:
            write_exam(connection, self.school)
            write_runs(connection, self.school)
        variables = {"as_of_date": self.today}
        self.run_dbt(*BUILD, *options, database=self.database, vars=variables)
        return read(self.database.url, RELATION, ", ".join(KEY))

    def assert_is_defined(self, rows: Rows) -> None:
        """Fail unless the rows are what the oracle says."""
        assert differences(rows, self.school.topic_oracle(self.today).rows(), KEY) == []


@pytest.fixture(scope="module")
def life(new_warehouse: Callable[[], Database], run_dbt: DbtRunner) -> Life:
    """One life for all tests of this module: each goes on from what it finds."""
    database = new_warehouse()
    school = School.random(21, students=5, day_count=110)
    with psycopg.connect(database.url) as connection:
        write_runs(connection, school)
        write_abilities(connection, school.abilities)
    life = Life(school, database, run_dbt, school.first_day + timedelta(days=85))
    life.build()
    return life


def test_a_question_that_changes_its_topic(life: Life) -> None:
    topics = life.school.question_topics
    for item_id, topic_id in list(topics.items())[:8]:
        topics[item_id] = None if topic_id else "algebra"
    life.assert_is_defined(life.build())


def test_abilities_that_come_late_or_are_taken_back(life: Life) -> None:
    school = life.school
    withdrawn = [a for a in school.abilities if a.session_id == "student-1/003"]
    assert withdrawn
    sessions = [school.sessions[key] for key in sorted(school.sessions)[10:40:6]]
    known = len(school.abilities)
    for session in sessions:
        school.score(session, "run-3")
    with psycopg.connect(life.database.url) as connection:
        write_abilities(connection, school.abilities[known:])
        for run_id in {ability.run_id for ability in withdrawn}:
            connection.execute(
                """
                insert into irt.mirt_ability_retraction (user_id, run_id, session_id, reason)
                values ('student-1', %s, 'student-1/003', 'deleted')
                """,
                [run_id],
            )
    rescored = {(s.student_id, "run-3", s.session_id) for s in sessions}
    school.abilities = [
        ability
        for index, ability in enumerate(school.abilities)
        if ability.session_id != "student-1/003"
        and (
            index >= known
            or (ability.student_id, ability.run_id, ability.session_id) not in rescored
        )
    ]
    life.assert_is_defined(life.build())


@pytest.mark.drill
def test_a_run_that_is_published_and_one_that_is_rolled_back(life: Life) -> None:
    life.school.publish("run-2", life.today + timedelta(days=1))
    for days in (6, 0, 0):
        life.assert_is_defined(life.build(days))
        life.school.revoke_last()


def test_a_build_without_news_changes_nothing(life: Life) -> None:
    stamp = "select max(built_at), count(*) from analytics.fct_topic_daily_features"
    life.build()
    with psycopg.connect(life.database.url) as connection:
        before = connection.execute(stamp).fetchone()
    life.build()
    with psycopg.connect(life.database.url) as connection:
        assert connection.execute(stamp).fetchone() == before


@pytest.mark.drill
def test_late_changed_moved_and_deleted_sessions(life: Life) -> None:
    school = life.school
    keys = sorted(school.sessions)
    late = {key: school.sessions.pop(key) for key in keys[5:60:11]}
    before = life.build()
    life.assert_is_defined(before)

    # Nights were missed, and everything else happens at once.
    school.sessions.update(late)
    keys = [key for key in sorted(school.sessions) if key not in late]
    del school.sessions[keys[2]]
    school.sessions[keys[40]].is_ready = False
    school.sessions[keys[50]].attempts = school.sessions[keys[50]].attempts[:1]
    # A moved session takes its attempts along; its abilities stay those of its student.
    school.sessions[keys[60]].student_id = "somebody-new"
    after = life.build(4)
    life.assert_is_defined(after)
    assert differences(after, life.build(0, "--full-refresh"), KEY) == []
    assert len(after) != len(before)
