"""Results and sessions that come, change and go, as one small change each."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from tests.dbt.arrivals import Arrivals
from tests.dbt.arriving_abilities import score

MALFORMED_ELEMENTS: tuple[object, ...] = (
    None,
    5,
    [],
    {},
    "gone",
    {"question_id": "q_1", "is_correct": "yes"},
    {"question_id": " ", "is_correct": True},
    {"question_id": {"id": 1}, "is_correct": True},
    {"question_id": 0, "correct": 1, "time_spent_sec": "NaN", "used_hints": -3},
    {"question_id": "q_2", "is_correct": None, "answered_at": "31 February"},
    {"question_id": "q_3", "is_correct": True, "answered_at": "1999-01-01T00:00:00Z"},
)
MALFORMED_QUESTIONS: tuple[object, ...] = (None, "none", {"0": {}}, 7, [])


def deliver(
    arrivals: Arrivals,
    connection: psycopg.Connection[Any],
    *,
    student_id: str | None,
    days_ago: int,
    questions: object = None,
) -> str:
    """Insert a result of a day through a connection."""
    moment = arrivals.moment(days_ago)
    if questions is None:
        questions = arrivals.questions(arrivals.rng.choice((1, 3, 8)), moment)
    session_id = arrivals.new_id()
    connection.execute(
        "insert into exam.exam_results"
        " (session_id, user_id, exam_id, org_id, status, result_json, created_at, updated_at)"
        " values (%s, %s, 'exam', 'org', 'ready', %s, %s, %s)",
        (session_id, student_id, json.dumps({"questions": questions}), moment, moment),
    )
    return f"{session_id} of {student_id}, {days_ago} days ago"


def late_session(arrivals: Arrivals) -> str:
    """A session that is delivered days after it was."""
    return deliver(
        arrivals,
        arrivals.connection,
        student_id=arrivals.student_id(),
        days_ago=arrivals.days_ago(),
    )


def delivered_again(arrivals: Arrivals) -> str:
    """The same result once more."""
    session_id = arrivals.session_id()
    arrivals.run(
        "update exam.exam_results set updated_at = now() where session_id = %s", session_id
    )
    return f"{session_id}"


def replaced_row(arrivals: Arrivals) -> str:
    """The same result deleted and inserted again, as a reload of the table does."""
    session_id = arrivals.session_id()
    arrivals.run(
        "with gone as (delete from exam.exam_results where session_id = %s returning *)"
        " insert into exam.exam_results select * from gone",
        session_id,
    )
    return f"{session_id}"


def rescored(arrivals: Arrivals) -> str:
    """A result whose questions become fewer and are graded anew."""
    session_id = arrivals.session_id()
    keep = arrivals.rng.randrange(4)
    questions = arrivals.questions(keep, arrivals.moment(arrivals.days_ago()))
    arrivals.run(
        "update exam.exam_results set result_json = %s, updated_at = now() where session_id = %s",
        json.dumps({"questions": questions}),
        session_id,
    )
    return f"{session_id} with {keep} questions"


def moved(arrivals: Arrivals) -> str:
    """A result that is another student's after all, or nobody's."""
    session_id = arrivals.session_id()
    student_id = arrivals.rng.choice((arrivals.student_id(), arrivals.student_id(), None, ""))
    arrivals.run(
        "update exam.exam_results set user_id = %s, updated_at = now() where session_id = %s",
        student_id,
        session_id,
    )
    return f"{session_id} to {student_id!r}"


def status_changed(arrivals: Arrivals) -> str:
    """A ready result that fails, or a failed one that is ready."""
    failed = arrivals.pick(
        "select session_id from exam.exam_results where status <> 'ready' order by session_id"
    )
    session_id = failed if failed and arrivals.rng.random() < 0.5 else arrivals.session_id()
    arrivals.run(
        "update exam.exam_results set updated_at = now(),"
        " status = case status when 'ready' then 'failed' else 'ready' end where session_id = %s",
        session_id,
    )
    return f"{session_id}"


def deleted(arrivals: Arrivals) -> str:
    """A result that is gone."""
    session_id = arrivals.session_id()
    arrivals.run("delete from exam.exam_results where session_id = %s", session_id)
    return f"{session_id}"


def malformed(arrivals: Arrivals) -> str:
    """A result with elements of which nothing can be made, new or in place of a good one."""
    moment = arrivals.moment(arrivals.days_ago())
    questions: object = arrivals.questions(2, moment) + [
        arrivals.rng.choice(MALFORMED_ELEMENTS) for _ in range(3)
    ]
    if arrivals.rng.random() < 0.3:
        questions = arrivals.rng.choice(MALFORMED_QUESTIONS)
    if arrivals.rng.random() < 0.5:
        return deliver(
            arrivals,
            arrivals.connection,
            student_id=arrivals.student_id(),
            days_ago=arrivals.days_ago(),
            questions=questions,
        )
    session_id = arrivals.session_id()
    arrivals.run(
        "update exam.exam_results set result_json = %s, updated_at = now() where session_id = %s",
        json.dumps({"questions": questions}),
        session_id,
    )
    return f"{session_id}"


def loaded_with_an_old_date(arrivals: Arrivals) -> str:
    """A result that changes while its updated_at goes back, or is unknown."""
    session_id = arrivals.session_id()
    questions = arrivals.questions(3, arrivals.moment(arrivals.days_ago()))
    arrivals.run(
        "update exam.exam_results set result_json = %s, updated_at = %s where session_id = %s",
        json.dumps({"questions": questions}),
        datetime(2020, 1, 1, tzinfo=UTC),
        session_id,
    )
    return f"{session_id}"


def committed_late(arrivals: Arrivals) -> str:
    """A delivery and a scoring in a transaction that stays open while builds run."""
    other = psycopg.connect(
        arrivals.connection.info.dsn, password=arrivals.connection.info.password
    )
    builds = arrivals.rng.choice((1, 1, 2))
    what = deliver(arrivals, other, student_id=arrivals.student_id(), days_ago=arrivals.days_ago())
    score(arrivals, other)
    arrivals.held.append((other, builds))
    return f"{what}, committed after {builds} more builds"


def session_row(arrivals: Arrivals) -> str:
    """A row of the application's table of sessions that comes, changes or goes."""
    known = arrivals.pick("select id from exam.session order by id")
    kind = arrivals.rng.choice(("insert", "insert", "update", "delete"))
    if kind == "delete" and known:
        arrivals.run("delete from exam.session where id = %s", known)
        return f"{known} deleted"
    session_id = arrivals.session_id() if arrivals.rng.random() < 0.5 else arrivals.new_id()
    if kind == "update" and known:
        session_id = known
    started_at = arrivals.moment(arrivals.days_ago())
    if arrivals.rng.random() < 0.1:
        started_at = None  # type: ignore[assignment]  # a session that never began
    ended_at = started_at and started_at + timedelta(seconds=arrivals.rng.randrange(-9, 4000))
    arrivals.run(
        "insert into exam.session (id, user_id, classroom_id, started_at, ended_at)"
        " values (%s, %s, 'class-1', %s, %s) on conflict (id) do update set"
        " user_id = excluded.user_id, started_at = excluded.started_at,"
        " ended_at = excluded.ended_at",
        session_id,
        arrivals.student_id(),
        started_at,
        ended_at,
    )
    return f"{session_id} {kind}"
