"""A database that holds exam_results and nothing else of the application still builds."""

from __future__ import annotations

import psycopg

from tests.conftest import Database
from tests.dbt.deliveries import answer, deliver, facts
from tests.dbt_runner import DbtRunner

TABLES = "session, question, interest_goal, classroom, classroom_student, student_profile"


def test_absent_tables_cost_a_feature_and_never_a_build(
    database: Database, run_dbt: DbtRunner
) -> None:
    with psycopg.connect(database.url) as connection:
        connection.execute("set search_path to exam")
        connection.execute(f"drop table {TABLES} cascade".encode())
        deliver(connection, "r1", {"questions": [answer("q1", topic="t"), answer("q2")]})
    run_dbt(
        "build",
        "--exclude-resource-type=unit_test",
        "--select",
        "+fct_sessions",
        "+fct_rejected_questions",
        "dim_students",
        "stg_exam__student_profiles",
        "stg_exam__classrooms",
        "stg_exam__classroom_students",
        "+dim_items",
        "+int_goals__versioned",
        database=database,
        vars={"as_of_date": "2026-05-10"},
    )
    stored = facts(database.url)
    assert [row["topic_id"] for row in stored["fct_attempts"]] == ["t", None]
    assert [row["student_id"] for row in stored["fct_sessions"]] == ["s1"]
