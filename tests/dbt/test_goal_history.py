"""What the snapshot keeps of goals, by the days on which builds find changes."""

from __future__ import annotations

import psycopg

from tests.conftest import Database
from tests.dbt_runner import DbtRunner

VERSIONS = """
select goal_key, target_theta, valid_from::text, valid_to::text
from analytics.int_goals__versioned order by goal_key, valid_from
"""


def build(database: Database, run_dbt: DbtRunner, as_of: str, *options: str) -> list[object]:
    """Build the goals as of a day and return their versions."""
    run_dbt(
        "build",
        "--exclude-resource-type=unit_test",
        "--select",
        "+int_goals__versioned",
        *options,
        database=database,
        vars={"as_of_date": as_of},
    )
    with psycopg.connect(database.url) as connection:
        return list(connection.execute(VERSIONS).fetchall())


def change(database: Database, statement: str) -> None:
    """Change the application's goals."""
    with psycopg.connect(database.url) as connection:
        connection.execute(statement.encode())


def test_goals_are_valid_from_creation_and_changes_from_the_build_that_finds_them(
    database: Database, run_dbt: DbtRunner
) -> None:
    change(
        database,
        # 15:00 UTC on the 1st is the 2nd in Seoul.
        "insert into exam.interest_goal (user_id, topic_id, target_level, created_at) values"
        " ('s', null, 0.5, '2026-05-01T14:59:59Z'), ('s', 't', 1.0, '2026-05-01T15:00:00Z')",
    )
    first = [("overall", 0.5, "2026-05-01", None), ("topic:t", 1.0, "2026-05-02", None)]
    assert build(database, run_dbt, "2026-05-10") == first
    assert build(database, run_dbt, "2026-05-11") == first

    change(database, "update exam.interest_goal set target_level = 0.7 where topic_id is null")
    change(database, "delete from exam.interest_goal where topic_id = 't'")
    changed = [
        ("overall", 0.5, "2026-05-01", "2026-05-12"),
        ("overall", 0.7, "2026-05-12", None),
        ("topic:t", 1.0, "2026-05-02", "2026-05-12"),
    ]
    assert build(database, run_dbt, "2026-05-12") == changed
    assert build(database, run_dbt, "2026-05-12", "--full-refresh") == changed

    # Two changes on one day leave the last; a goal that returns begins where it had ended.
    change(database, "update exam.interest_goal set target_level = 0.9")
    build(database, run_dbt, "2026-05-14")
    change(
        database,
        "update exam.interest_goal set target_level = 1.1;"
        "insert into exam.interest_goal (user_id, topic_id, target_level, created_at)"
        " values ('s', 't', 2.0, '2026-05-01T15:00:00Z')",
    )
    assert build(database, run_dbt, "2026-05-14") == [
        ("overall", 0.5, "2026-05-01", "2026-05-12"),
        ("overall", 0.7, "2026-05-12", "2026-05-14"),
        ("overall", 1.1, "2026-05-14", None),
        ("topic:t", 1.0, "2026-05-02", "2026-05-12"),
        ("topic:t", 2.0, "2026-05-12", None),
    ]
