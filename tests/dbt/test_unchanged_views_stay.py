"""A build leaves a view alone whose SQL is what it was, and replaces any other."""

from __future__ import annotations

import psycopg
import pytest

from tests.conftest import Database
from tests.dbt_runner import DbtRunner


@pytest.mark.drill
def test_only_a_view_with_another_sql_is_replaced(database: Database, run_dbt: DbtRunner) -> None:
    def build(*arguments: str) -> dict[str, int]:
        run_dbt(
            "run",
            "--select",
            "stg_exam__questions",
            "stg_exam__sessions",
            *arguments,
            database=database,
        )
        with psycopg.connect(database.url) as connection:
            return dict(
                connection.execute(
                    "select relname, oid::bigint from pg_class "
                    "where relnamespace = 'analytics'::regnamespace and relname like 'stg%'"
                ).fetchall()
            )

    first = build()
    assert build() == first
    with psycopg.connect(database.url) as connection:
        # Its SQL selects from an empty relation while the optional table is absent.
        connection.execute("drop table exam.question cascade")
    without_questions = build()
    assert without_questions["stg_exam__sessions"] == first["stg_exam__sessions"]
    assert without_questions["stg_exam__questions"] != first["stg_exam__questions"]
    again = build("--full-refresh")
    assert again["stg_exam__sessions"] != first["stg_exam__sessions"]


def test_a_view_that_was_dropped_comes_back(database: Database, run_dbt: DbtRunner) -> None:
    run_dbt("run", "--select", "stg_exam__sessions", database=database)
    with psycopg.connect(database.url) as connection:
        connection.execute("drop view analytics.stg_exam__sessions")
    run_dbt("run", "--select", "stg_exam__sessions", database=database)
    with psycopg.connect(database.url) as connection:
        found = connection.execute("select to_regclass('analytics.stg_exam__sessions')")
        assert found.fetchone() != (None,)
