"""Topic features after arrivals of every kind: the rows of one full refresh."""

from __future__ import annotations

from collections.abc import Callable
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

Build = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def school(database: Database) -> School:
    """A school with abilities and runs, already written but for its sessions."""
    school = School.random(21, students=5, day_count=110)
    with psycopg.connect(database.url) as connection:
        write_runs(connection, school)
        write_abilities(connection, school.abilities)
    return school


@pytest.fixture
def build(database: Database, run_dbt: DbtRunner, school: School) -> Build:
    """Builds as of some days after the school's 85th, and returns the mart's rows."""

    def run(days: int = 0, *options: str) -> list[dict[str, Any]]:
        with psycopg.connect(database.url) as connection:
            write_exam(connection, school)
        run_dbt(*BUILD, *options, database=database, vars={"as_of_date": as_of(school, days)})
        return read(database.url, RELATION, ", ".join(KEY))

    return run


def as_of(school: School, days: int) -> date:
    """The date of a build."""
    return school.first_day + timedelta(days=85 + days)


def assert_is_defined(rows: list[dict[str, Any]], school: School, days: int) -> None:
    """Fail unless the rows are what the oracle says."""
    assert differences(rows, school.topic_oracle(as_of(school, days)).rows(), KEY) == []


def test_late_changed_moved_and_deleted_sessions(school: School, build: Build) -> None:
    keys = sorted(school.sessions)
    late = {key: school.sessions.pop(key) for key in keys[5:60:11]}
    before = build()
    assert_is_defined(before, school, 0)

    # Nights were missed, and everything else happens at once.
    school.sessions.update(late)
    keys = [key for key in sorted(school.sessions) if key not in late]
    del school.sessions[keys[2]]
    school.sessions[keys[40]].is_ready = False
    school.sessions[keys[50]].attempts = school.sessions[keys[50]].attempts[:1]
    # A moved session takes its attempts along; its abilities stay those of its student.
    school.sessions[keys[60]].student_id = "somebody-new"
    after = build(4)
    assert_is_defined(after, school, 4)
    assert differences(after, build(4, "--full-refresh"), KEY) == []
    assert len(after) != len(before)


def test_a_question_that_changes_its_topic(school: School, build: Build) -> None:
    build()
    for item_id, topic_id in list(school.question_topics.items())[:8]:
        school.question_topics[item_id] = None if topic_id else "algebra"
    assert_is_defined(build(), school, 0)


def test_abilities_that_come_late_or_are_taken_back(
    school: School, build: Build, database: Database
) -> None:
    withdrawn = [a for a in school.abilities if a.session_id == "student-1/003"]
    assert withdrawn
    build()
    sessions = [school.sessions[key] for key in sorted(school.sessions)[10:40:6]]
    known = len(school.abilities)
    for session in sessions:
        school.score(session, "run-3")
    with psycopg.connect(database.url) as connection:
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
    assert_is_defined(build(), school, 0)


def test_a_run_that_is_published_and_one_that_is_rolled_back(
    school: School, build: Build, database: Database
) -> None:
    build()
    for is_publication in (True, False, False):
        if is_publication:
            school.publish("run-2", as_of(school, 1))
        else:
            school.revoke_last()
        with psycopg.connect(database.url) as connection:
            write_runs(connection, school)
        assert_is_defined(build(6), school, 6)


def test_a_build_without_news_changes_nothing(
    school: School, build: Build, database: Database
) -> None:
    build()
    stamp = "select max(built_at), count(*) from analytics.fct_topic_daily_features"
    with psycopg.connect(database.url) as connection:
        before = connection.execute(stamp).fetchone()
    build()
    with psycopg.connect(database.url) as connection:
        assert connection.execute(stamp).fetchone() == before
