"""Whatever a result holds, each delivered question is an attempt or a reject with a reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from tests.conftest import Database, DatabaseFactory
from tests.dbt.deliveries import SELECT_FACTS, answer, deliver, visit
from tests.dbt_runner import DbtFailedError, DbtRunner

SQL_ID = "'; drop table exam.exam_results; --"
EMOJI = "🧮 수학"
LONG_TEXT = "x" * 10_000_000

# What questions holds when it is not an array: one reject, at position 0.
NOT_ARRAYS: dict[str, object] = {
    "null": {"questions": None},
    "text": {"questions": "none"},
    "object": {"questions": {"question_id": "q1"}},
    "number": {"questions": 7},
    "absent": {"other": []},
    "scalar": 5,
    "array": [answer("q1")],
    "no-document": None,
}

# An element, and the reason for which it is rejected.
REJECTED: list[tuple[object, str]] = [
    (5, "not_an_object"),
    (None, "not_an_object"),
    ("text", "not_an_object"),
    (LONG_TEXT, "not_an_object"),
    ([[answer("q1")]], "not_an_object"),
    ({}, "missing_item"),
    (answer(None), "missing_item"),
    (answer(""), "missing_item"),
    (answer("  "), "missing_item"),
    (answer(True), "bad_item"),
    (answer({"id": 1}), "bad_item"),
    (answer(["q1"]), "bad_item"),
    (answer(LONG_TEXT), "bad_item"),
    (answer("q1", is_correct="yes"), "bad_is_correct"),
    (answer("q1", is_correct="true"), "bad_is_correct"),
    (answer("q1", is_correct=1), "bad_is_correct"),
    (answer("q1", is_correct=[]), "bad_is_correct"),
    ({"question_id": "q1", "correct": "no"}, "bad_is_correct"),
]

# An element, and columns of the attempt that it is.
ACCEPTED: list[tuple[dict[str, object], dict[str, object]]] = [
    (answer("q_stub_3"), {"item_id": "q_stub_3", "is_correct": True, "response_time_ms": None}),
    (answer(0), {"item_id": "0"}),
    (answer(17), {"item_id": "17"}),
    (answer("{x}"), {"item_id": "{x}"}),
    (answer(EMOJI, topic=EMOJI), {"item_id": EMOJI, "topic_id": EMOJI}),
    (answer("q1", is_correct=None), {"is_correct": None, "is_answered": True}),
    ({"question_id": "q1"}, {"is_correct": None, "is_answered": True}),
    ({"question_id": "q1", "correct": False}, {"is_correct": False}),
    ({"question_id": "q1", "is_correct": None, "correct": True}, {"is_correct": True}),
    (answer("q1", user_answer=None), {"is_answered": False, "is_correct": None}),
    (answer("q1", user_answer=""), {"is_answered": False, "is_correct": None}),
    (answer("q1", user_answer="B"), {"is_answered": True, "user_answer": "B"}),
    (answer("q1", user_answer=0), {"is_answered": True, "user_answer": "0"}),
    (answer("q1", time_spent_sec=0), {"response_time_ms": 0, "has_invalid_response_time": False}),
    (answer("q1", time_spent_sec=60.7), {"response_time_ms": 60_700}),
    (answer("q1", time_spent_sec=86_400), {"response_time_ms": 86_400_000}),
    (answer("q1", time_spent_sec=None), {"has_invalid_response_time": False}),
    *[
        (
            answer("q1", time_spent_sec=impossible),
            {"response_time_ms": None, "has_invalid_response_time": True, "is_correct": True},
        )
        for impossible in (-1, -0.001, 86_400.001, 10**300, "NaN", "12", True, [], {})
    ],
    (answer("q1", used_hints=3), {"hint_count": 3, "has_invalid_hint_count": False}),
    *[
        (
            answer("q1", used_hints=impossible),
            {"hint_count": None, "has_invalid_hint_count": True, "is_correct": True},
        )
        for impossible in (-1, 0.5, 10**30, "NaN", "2", True, [1])
    ],
    (answer("q1", topic=4), {"topic_id": "4", "has_invalid_topic": False}),
    (answer("q1", topic=""), {"topic_id": None, "has_invalid_topic": False}),
    (answer("q1", topic=["a"]), {"topic_id": None, "has_invalid_topic": True}),
    (answer("q1", topic=LONG_TEXT), {"topic_id": None, "has_invalid_topic": True}),
]

# answered_at as delivered, and as read: None is the session's end instead. The session
# starts on 4 May at 10:00 UTC and ends at 11:00, the result is created at 12:00.
SESSION_END = "2026-05-04T11:00:00+00:00"
ANSWERED: list[tuple[object, str | None]] = [
    ("2026-05-04T10:30:00Z", "2026-05-04T10:30:00+00:00"),
    ("2026-05-04T19:30:00+09:00", "2026-05-04T10:30:00+00:00"),
    ("2026-05-04T19:30:00.25+0900", "2026-05-04T10:30:00.250000+00:00"),
    ("2026-05-04 10:30:00", "2026-05-04T10:30:00+00:00"),
    ("2026-05-03T10:00:00Z", "2026-05-03T10:00:00+00:00"),
    ("2026-05-05T12:00:00Z", "2026-05-05T12:00:00+00:00"),
    ("2026-05-03T09:59:59.999999Z", None),
    ("2026-05-05T12:00:00.000001Z", None),
    ("20226-05-04T10:30:00Z", None),
    ("2026-02-30T10:30:00Z", None),
    ("2026-05-04", None),
    ("2026-05-04T10:30:00 KST", None),
    ("now", None),
    ("today", None),
    ("infinity", None),
    ("", None),
    (1_777_890_600, None),
    ([], None),
    (True, None),
    (LONG_TEXT, None),
]
# What a clock says that was never set: days must not be built from there on.
UNSET_CLOCK = "1970-01-01T00:00:00+00:00"


@pytest.fixture(scope="module")
def built(new_database: DatabaseFactory, run_dbt: DbtRunner) -> Database:
    """A database in which all of the above has been delivered and built."""
    database = new_database()
    with psycopg.connect(database.url) as connection:
        for name, document in NOT_ARRAYS.items():
            deliver(connection, f"not-array-{name}", document)
        deliver(connection, "rejected", {"questions": [element for element, _ in REJECTED]})
        deliver(connection, "accepted", {"questions": [element for element, _ in ACCEPTED]})
        deliver(
            connection,
            "answered",
            {"questions": [answer("q1", answered_at=given) for given, _ in ANSWERED]},
        )
        visit(connection, "answered", "2026-05-04T10:00:00Z", SESSION_END)
        unset = {"questions": [answer("q1", answered_at=UNSET_CLOCK), answer("q1")]}
        deliver(connection, "unset-answer", unset)
        deliver(connection, "unset-session", unset)
        visit(connection, "unset-session", UNSET_CLOCK, UNSET_CLOCK)
        deliver(connection, "unset-result", unset, created_at=UNSET_CLOCK)
        deliver(connection, "nobody", {"questions": [answer("q1"), 5]}, student_id=None)
        deliver(connection, "empty-student", {"questions": [answer("q1")]}, student_id="")
        deliver(connection, "long-student", {"questions": [answer("q1")]}, student_id="u" * 600)
        deliver(connection, SQL_ID, {"questions": [answer(SQL_ID)]}, student_id=SQL_ID)
        deliver(connection, "empty", {"questions": []})
        deliver(connection, "failed", {"questions": [answer("q1"), 5]}, status="failed")
    run_dbt("run", *SELECT_FACTS, database=database, vars={"as_of_date": "2026-05-10"})
    return database


def rows(database: Database, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    """The rows of a query."""
    with psycopg.connect(database.url, options="-c timezone=UTC") as connection:
        return connection.execute(query.encode(), parameters).fetchall()


def test_questions_that_are_no_array_are_one_reject_at_position_0(built: Database) -> None:
    found = rows(
        built,
        "select session_id, position, reason from analytics.fct_rejected_questions"
        " where session_id like 'not-array-%%'",
    )
    assert sorted(found) == sorted(
        (f"not-array-{name}", 0, "questions_not_an_array") for name in NOT_ARRAYS
    )


def test_each_bad_element_is_rejected_for_its_reason(built: Database) -> None:
    found = rows(
        built,
        "select position, reason from analytics.fct_rejected_questions"
        " where session_id = 'rejected' order by position",
    )
    assert found == [(i, reason) for i, (_, reason) in enumerate(REJECTED, start=1)]


@pytest.mark.parametrize(("number", "expected"), list(enumerate((e for _, e in ACCEPTED), 1)))
def test_an_odd_element_is_an_attempt_all_the_same(
    built: Database, number: int, expected: dict[str, object]
) -> None:
    found = rows(
        built,
        f"select {', '.join(expected)} from analytics.fct_attempts"  # noqa: S608 - fixed names
        " where session_id = 'accepted' and position = %s",
        number,
    )
    assert found == [tuple(expected.values())]


@pytest.mark.parametrize(("number", "expected"), list(enumerate(ANSWERED, 1)))
def test_only_a_possible_time_of_an_answer_counts(
    built: Database, number: int, expected: tuple[object, str | None]
) -> None:
    (answered_at, is_invalid) = rows(
        built,
        "select answered_at, has_invalid_answered_at from analytics.fct_attempts"
        " where session_id = 'answered' and position = %s",
        number,
    )[0]
    _, read_as = expected
    assert answered_at.isoformat() == (read_as or SESSION_END)
    assert is_invalid == (read_as is None)


@pytest.mark.parametrize("session_id", ["unset-answer", "unset-session"])
def test_a_clock_that_was_never_set_dates_nothing(built: Database, session_id: str) -> None:
    found = rows(
        built,
        "select answered_at::text, has_invalid_answered_at from analytics.fct_attempts"
        " where session_id = %s order by position",
        session_id,
    )
    assert found == [("2026-05-04 12:00:00+00", True), ("2026-05-04 12:00:00+00", False)]
    starts = rows(
        built,
        "select started_at::text from analytics.fct_sessions where session_id = %s",
        session_id,
    )
    assert starts == [("2026-05-04 12:00:00+00",)]


def test_questions_that_nothing_dates_are_rejected(built: Database) -> None:
    found = rows(
        built,
        "select position, reason from analytics.fct_rejected_questions"
        " where session_id = 'unset-result' order by position",
    )
    assert found == [(1, "missing_time"), (2, "missing_time")]


def test_users_that_cannot_be_students_are_rejected(built: Database) -> None:
    found = rows(
        built,
        "select session_id, position, reason from analytics.fct_rejected_questions"
        " where session_id in ('nobody', 'empty-student', 'long-student') order by 1, 2",
    )
    assert found == [
        ("empty-student", 1, "missing_user"),
        ("long-student", 1, "bad_user"),
        ("nobody", 1, "missing_user"),
        ("nobody", 2, "not_an_object"),
    ]


def test_sql_in_ids_is_text(built: Database) -> None:
    found = rows(
        built,
        "select session_id, student_id, item_id from analytics.fct_attempts where session_id = %s",
        SQL_ID,
    )
    assert found == [(SQL_ID, SQL_ID, SQL_ID)]


def test_nothing_delivered_is_lost(built: Database, run_dbt: DbtRunner) -> None:
    run_dbt("test", "--select", "delivered_questions_are_all_accounted_for", database=built)
    (count,) = rows(built, "select count(*) from analytics.fct_attempts")[0]
    # One of the student whose id is SQL, and two each of the sessions with an unset clock.
    assert count == len(ACCEPTED) + len(ANSWERED) + 1 + 4


@pytest.mark.drill
def test_a_delivery_that_one_of_both_marts_has_not_read_is_no_loss(
    new_warehouse: Callable[[], Database], run_dbt: DbtRunner
) -> None:
    database = new_warehouse()
    test = ("test", "--select", "delivered_questions_are_all_accounted_for")
    with psycopg.connect(database.url) as connection:
        deliver(connection, "again", {"questions": [answer("q1")]})
    run_dbt("run", *SELECT_FACTS, database=database)
    with psycopg.connect(database.url) as connection:
        deliver(connection, "again", {"questions": [answer("q1"), 5]}, updated_at="2026-05-05")
    # Steps of the schedule build either alone.
    run_dbt("run", "--select", "+fct_attempts", database=database)
    run_dbt(*test, database=database)
    run_dbt("run", *SELECT_FACTS, database=database)
    with psycopg.connect(database.url) as connection:
        connection.execute("delete from analytics.fct_rejected_questions")
    with pytest.raises(DbtFailedError, match="accounted_for"):
        run_dbt(*test, database=database)


def test_a_result_that_is_not_ready_delivers_nothing_yet(built: Database) -> None:
    for relation in ("fct_attempts", "fct_rejected_questions", "fct_sessions"):
        query = f"select * from analytics.{relation} where session_id = 'failed'"  # noqa: S608
        assert rows(built, query) == []


def test_the_time_zone_of_the_reader_changes_nothing(built: Database) -> None:
    query = (
        "select md5(string_agg(extract(epoch from answered_at)::text, ',' order by position))"
        " from analytics.stg_exam__session_questions where session_id = 'answered'"
    )
    hashes = set()
    for zone in ("UTC", "Asia/Seoul", "America/New_York"):
        with psycopg.connect(built.url, options=f"-c timezone={zone}") as connection:
            hashes.add(connection.execute(query.encode()).fetchone())
    assert len(hashes) == 1
