"""Attempts, rejects and sessions after arrivals of every kind: the rows of a full refresh."""

from __future__ import annotations

import random
from collections.abc import Callable

import psycopg
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.conftest import Database
from tests.dbt.deliveries import (
    answer,
    deliver,
    fact_differences,
    facts,
    visit,
)
from tests.dbt_runner import DbtRunner

BUILD_VARS = {"as_of_date": "2026-06-01"}
FIRST = "2026-05-01T12:00:00+00:00"
STUDENTS = (
    "late",
    "rescored",
    "moved",
    "failed",
    "deleted",
    "old",
    "topic",
    "visited",
    "erased",
)
ONLY_FACTS = (
    "--select",
    "fct_attempts",
    "fct_rejected_questions",
    "fct_sessions",
    "int_inputs__attempts",
)


def school(connection: psycopg.Connection) -> None:
    """Students who meet the same items in several sessions, one for each kind of arrival."""
    for item in range(6):
        connection.execute(
            "insert into exam.question (id, topic_id) values (%s, %s)",
            (f"q{item}", None if item == 0 else f"t{item % 2}"),
        )
    for student_id in STUDENTS:
        for number in range(3):
            deliver(
                connection,
                f"{student_id}-{number}",
                {"questions": [answer(f"q{i}", is_correct=i % 2 == 0) for i in range(number + 2)]},
                student_id=student_id,
                created_at=f"2026-05-{number + 1:02}T12:00:00+00:00",
            )


def arrive(connection: psycopg.Connection) -> None:
    """One arrival of each kind."""
    late = {"questions": [answer("q0")]}
    deliver(connection, "late", late, student_id="late", created_at="2026-03-01T12:00:00+00:00")
    fewer = {"questions": [answer("q0", is_correct=None), "gone"]}
    deliver(connection, "rescored-0", fewer, student_id="rescored", created_at=FIRST)
    connection.execute("update exam.exam_results set user_id = 'new' where session_id = 'moved-0'")
    connection.execute("update exam.exam_results set status = 'failed' where user_id = 'failed'")
    connection.execute("delete from exam.exam_results where session_id = 'deleted-0'")
    old = "2020-01-01T00:00:00+00:00"
    deliver(connection, "old-0", {"questions": []}, student_id="old", updated_at=old)
    own = {"questions": [answer("q1", topic="own")]}
    deliver(connection, "own-topic", own, student_id="topic")
    connection.execute("update exam.question set topic_id = 'new' where id = 'q1'")
    visit(connection, "visited-0", "2026-05-01T10:00:00Z", "2026-05-01T10:30:00Z", "visited")
    visit(connection, "visit", "2026-05-02T15:00:00Z", None, "visited")
    deliver(connection, "erased-bad", {"questions": ["bad"]}, student_id="erased")
    connection.execute("insert into ops.erased_students (student_id) values ('erased')")


@pytest.fixture(scope="module")
def arrived(new_warehouse: Callable[[], Database], run_dbt: DbtRunner) -> Database:
    """A database that was built, then everything arrived, then it was built again."""
    database = new_warehouse()
    with psycopg.connect(database.url) as connection:
        school(connection)
    run_dbt("run", *ONLY_FACTS, database=database, vars=BUILD_VARS)
    with psycopg.connect(database.url) as connection:
        arrive(connection)
    run_dbt("run", *ONLY_FACTS, database=database, vars=BUILD_VARS)
    return database


def rows(database: Database, query: str) -> list[tuple[object, ...]]:
    """The rows of a query."""
    with psycopg.connect(database.url) as connection:
        return connection.execute(query.encode()).fetchall()


def attempts(database: Database, where: str) -> list[tuple[object, ...]]:
    """Session, number and whether first graded, of some attempts in order."""
    return rows(
        database,
        "select session_id, attempt_no, is_first_graded from analytics.fct_attempts"  # noqa: S608 - fixed
        f" where {where} order by answered_at",
    )


def test_a_late_session_renumbers_later_attempts(arrived: Database) -> None:
    assert attempts(arrived, "student_id = 'late' and item_id = 'q0'") == [
        ("late", 1, True),
        ("late-0", 2, False),
        ("late-1", 3, False),
        ("late-2", 4, False),
    ]


def test_a_rescored_session_with_fewer_questions_loses_them(arrived: Database) -> None:
    assert attempts(arrived, "session_id = 'rescored-0'") == [("rescored-0", 1, False)]
    assert attempts(arrived, "student_id = 'rescored' and item_id = 'q1'") == [
        ("rescored-1", 1, True),
        ("rescored-2", 2, False),
    ]


def test_a_session_moves_to_another_student(arrived: Database) -> None:
    assert attempts(arrived, "student_id = 'moved' and item_id = 'q0'") == [
        ("moved-1", 1, True),
        ("moved-2", 2, False),
    ]
    assert attempts(arrived, "student_id = 'new' and item_id = 'q0'") == [("moved-0", 1, True)]


def test_a_session_that_failed_after_all_leaves(arrived: Database) -> None:
    assert attempts(arrived, "student_id = 'failed'") == []


def test_a_deleted_session_is_gone(arrived: Database) -> None:
    assert attempts(arrived, "session_id = 'deleted-0'") == []
    assert attempts(arrived, "student_id = 'deleted' and item_id = 'q0'") == [
        ("deleted-1", 1, True),
        ("deleted-2", 2, False),
    ]


def test_a_row_loaded_with_an_old_updated_at_is_found(arrived: Database) -> None:
    assert attempts(arrived, "session_id = 'old-0'") == []


def test_a_question_that_changes_its_topic(arrived: Database) -> None:
    found = rows(
        arrived,
        "select topic_id, is_topic_from_question, count(*)::int from analytics.fct_attempts"
        " where item_id = 'q1' and student_id = 'topic' group by 1, 2 order by 1",
    )
    assert found == [("new", True, 3), ("own", False, 1)]


def test_a_session_row_gives_start_end_and_visits(arrived: Database) -> None:
    found = rows(
        arrived,
        "select session_id, session_date::text, duration_seconds, is_result_ready"
        " from analytics.fct_sessions where session_id in ('visited-0', 'visit') order by 1",
    )
    # 15:00 UTC is midnight in Seoul.
    assert found == [
        ("visit", "2026-05-03", None, False),
        ("visited-0", "2026-05-01", 1800.0, True),
    ]


def test_an_erased_student_leaves_every_table(arrived: Database) -> None:
    stored = facts(arrived.url)
    students = {row["student_id"] for table in stored.values() for row in table}
    assert students == {*STUDENTS, "new"} - {"erased", "failed"}


def test_another_delivery_of_the_same_is_no_change_for_later_marts(
    arrived: Database, run_dbt: DbtRunner
) -> None:
    query = "select session_id, revision from analytics.fct_sessions order by 1"
    before = rows(arrived, query)
    with psycopg.connect(arrived.url) as connection:
        connection.execute("update exam.exam_results set updated_at = now()")
        connection.execute("update exam.question set content = 'reworded'")
    run_dbt("run", *ONLY_FACTS, database=arrived, vars=BUILD_VARS)
    assert rows(arrived, query) == before


def test_all_of_it_equals_a_full_refresh(arrived: Database, run_dbt: DbtRunner) -> None:
    with psycopg.connect(arrived.url) as connection:
        connection.execute("update exam.exam_results set status = 'ready'")
    run_dbt("run", *ONLY_FACTS, database=arrived, vars=BUILD_VARS)
    incremental = facts(arrived.url)
    assert len(attempts(arrived, "student_id = 'failed' and item_id = 'q0'")) == len("012")
    run_dbt("run", "--full-refresh", *ONLY_FACTS, database=arrived, vars=BUILD_VARS)
    assert fact_differences(incremental, facts(arrived.url)) == []


def change(connection: psycopg.Connection, rng: random.Random, number: int) -> None:
    """One random arrival."""
    students = ["late", "rescored", None]
    session_id = f"{rng.choice(students[:2])}-{rng.randrange(5)}"
    kind = rng.randrange(7)
    if kind <= 2:
        questions: list[object] = [
            rng.choice(
                [
                    answer(f"q{rng.randrange(6)}", is_correct=rng.choice([True, False, None])),
                    answer(
                        f"q{rng.randrange(6)}",
                        topic=f"t{rng.randrange(3)}",
                        time_spent_sec=rng.randrange(-1, 90),
                        user_answer=rng.choice([None, "A"]),
                        answered_at=f"2026-05-{rng.randrange(1, 29):02}T01:00:00Z",
                    ),
                    answer("q1", is_correct="yes"),
                    rng.choice([None, 5, [], {}]),
                ]
            )
            for _ in range(rng.randrange(5))
        ]
        deliver(
            connection,
            session_id,
            {"questions": rng.choice([questions, questions, questions, None, "none"])},
            student_id=rng.choice(students),
            status=rng.choice(["ready", "ready", "ready", "failed"]),
            created_at=f"2026-05-{rng.randrange(1, 29):02}T12:00:00+00:00",
        )
    elif kind == 3:
        connection.execute("delete from exam.exam_results where session_id = %s", (session_id,))
    elif kind == 4:
        connection.execute(
            "update exam.question set topic_id = %s where id = %s",
            (rng.choice([None, f"new{number}"]), f"q{rng.randrange(6)}"),
        )
    elif kind == 5:
        day = rng.randrange(1, 28)
        visit(
            connection,
            session_id,
            f"2026-05-{day:02}T14:50:00Z",
            rng.choice([None, f"2026-05-{day:02}T15:10:00Z"]),
            rng.choice(students),
        )
    else:
        connection.execute("delete from exam.session where id = %s", (session_id,))


# Without shrinking: the seed says enough, and each example takes seconds.
@settings(max_examples=2, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(seed=st.integers(0, 2**32 - 1))
def test_random_arrivals(
    new_warehouse: Callable[[], Database], run_dbt: DbtRunner, seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311 - a test's arrivals
    database = new_warehouse()
    with psycopg.connect(database.url) as connection:
        school(connection)
    run_dbt("run", *ONLY_FACTS, database=database, vars=BUILD_VARS)
    for number in range(2):
        with psycopg.connect(database.url) as connection:
            for _ in range(rng.randrange(1, 8)):
                change(connection, rng, number)
        # Jobs build what they need: a part of the facts now, the rest later.
        if rng.random() < 0.4:
            run_dbt("run", "--select", "fct_attempts", database=database, vars=BUILD_VARS)
        if rng.random() < 0.2:
            run_dbt("run", "--select", "fct_sessions", database=database, vars=BUILD_VARS)
    run_dbt("run", *ONLY_FACTS, database=database, vars=BUILD_VARS)
    incremental = facts(database.url)
    run_dbt("run", "--full-refresh", *ONLY_FACTS, database=database, vars=BUILD_VARS)
    assert fact_differences(incremental, facts(database.url)) == []
