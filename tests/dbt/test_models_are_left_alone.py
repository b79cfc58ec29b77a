"""A build leaves a model alone that would read what it has read, and finds whatever differs."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from tests.conftest import Database
from tests.dbt.deliveries import answer, deliver
from tests.dbt_runner import DbtRunner

BUILD = ("run", "--select", "+fct_sessions", "--vars", "{as_of_date: 2026-06-01}")


@pytest.fixture(scope="module")
def school(new_warehouse: Callable[[], Database]) -> Database:
    """A database with two sessions of two students."""
    database = new_warehouse()
    with psycopg.connect(database.url) as connection:
        for student_id in ("kim", "lee"):
            deliver(connection, student_id, {"questions": [answer("q")]}, student_id=student_id)
    return database


def test_what_differs_is_found_and_nothing_else_is_read(
    school: Database, run_dbt: DbtRunner
) -> None:
    def marks() -> dict[str, str]:
        """When each model last read what it reads: a mark is renewed then, and only then."""
        run_dbt(*BUILD, database=school)
        with psycopg.connect(school.url) as connection:
            found = connection.execute("select model, xmin::text from analytics_state.marks")
            return dict(found.fetchall())

    def attempts() -> set[str]:
        with psycopg.connect(school.url) as connection:
            rows = connection.execute("select distinct student_id from analytics.fct_attempts")
            return {row[0] for row in rows}

    marks()
    before = marks()
    assert "fct_attempts" in before
    assert marks() == before
    with (
        psycopg.connect(school.url) as early,
        psycopg.connect(school.url, autocommit=True) as later,
    ):
        # Begun first, committed last: no build in between can see it.
        deliver(early, "late", {"questions": [answer("q")]}, student_id="park")
        deliver(later, "new", {"questions": [answer("q")]}, student_id="choi")
        marks()
        assert attempts() == {"kim", "lee", "choi"}
    marks()
    assert attempts() == {"kim", "lee", "choi", "park"}
    with psycopg.connect(school.url) as connection:
        connection.execute("delete from exam.exam_results where user_id = 'choi'")
    marks()
    assert attempts() == {"kim", "lee", "park"}
    with psycopg.connect(school.url) as connection:
        connection.execute("update exam.exam_results set user_id = 'moon' where user_id = 'kim'")
    marks()
    assert attempts() == {"moon", "lee", "park"}
    with psycopg.connect(school.url) as connection:
        deliver(connection, "last", {"questions": [answer("q")]}, student_id="yoon")
    with psycopg.connect(school.url) as slow:
        # As the model that another thread of the build is at work on.
        slow.execute("select pg_current_xact_id()")
        before = marks()
    assert marks() == before, "fct_sessions was built after fct_attempts, and read it"
