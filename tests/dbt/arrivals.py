"""Everything that can arrive at the warehouse, as one small change of its sources each.

A change picks what it touches with the random numbers it is given and from what the database
holds, so that a sequence of changes is repeated by repeating its numbers.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg

from tests.dbt.learning_scenario import RUNS, TOPICS

LATEST_ARRIVAL_DAYS = 100
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


@dataclass
class Arrivals:
    """The sources of a warehouse, and what a sequence of arrivals has left open there."""

    connection: psycopg.Connection[Any]
    rng: random.Random
    today: date
    # Transactions that are held open, with the number of builds they outlast.
    held: list[tuple[psycopg.Connection[Any], int]] = field(default_factory=list)
    arrived: int = 0

    def run(self, statement: str, *parameters: object) -> int:
        """Execute; return how many rows it touched."""
        return self.connection.execute(statement.encode(), parameters).rowcount

    def pick(self, query: str) -> Any:
        """A value of a query's first column, or None when there is none."""
        values = [row[0] for row in self.connection.execute(query.encode()).fetchall()]
        return self.rng.choice(values) if values else None

    def session_id(self) -> Any:
        """A delivered session that no open transaction has touched."""
        return self.pick("select session_id from exam.exam_results order by session_id")

    def student_id(self) -> str:
        """Most often a student who is known."""
        if self.rng.random() < 0.1:
            return f"new-{self.rng.randrange(3)}"
        return str(self.pick("select distinct user_id from irt.mirt_ability order by user_id"))

    def new_id(self) -> str:
        """An id that no session has."""
        self.arrived += 1
        return f"arrival-{self.arrived:03}-{self.rng.randrange(1000)}"

    def moment(self, days_ago: int) -> datetime:
        """A moment of a day, now and then the very border of the day in Seoul."""
        midnight = datetime(self.today.year, self.today.month, self.today.day, 15, tzinfo=UTC)
        second = self.rng.choice((0, -1, self.rng.randrange(86_400)))
        return midnight - timedelta(days=days_ago + 1) + timedelta(seconds=second)

    def days_ago(self) -> int:
        """Today most often, else up to a hundred days back."""
        return self.rng.choice((0, 0, 1, 2, 13, 28, 90, self.rng.randrange(LATEST_ARRIVAL_DAYS)))

    def questions(self, count: int, moment: datetime) -> list[object]:
        """Elements of a result."""
        found: list[object] = []
        for number in range(count):
            element: dict[str, object] = {
                "question_id": f"q_{self.rng.randrange(26)}",
                "is_correct": self.rng.choice((True, True, False, False, None)),
            }
            if self.rng.random() < 0.5:
                element["topic"] = self.rng.choice(TOPICS)
            if self.rng.random() < 0.7:
                element["time_spent_sec"] = self.rng.randrange(300)
            if self.rng.random() < 0.5:
                element["used_hints"] = self.rng.randrange(4)
            if self.rng.random() < 0.5:
                element["answered_at"] = (moment + timedelta(seconds=number)).isoformat()
            if self.rng.random() < 0.3:
                element["user_answer"] = self.rng.choice((None, "A", "B", ""))
            found.append(element)
        return found


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


def goal(arrivals: Arrivals) -> str:
    """A goal that comes, changes or goes."""
    student_id, topic_id = arrivals.student_id(), arrivals.rng.choice((None, *TOPICS))
    if arrivals.rng.random() < 0.3:
        arrivals.run(
            "delete from exam.interest_goal"
            " where user_id = %s and topic_id is not distinct from %s",
            student_id,
            topic_id,
        )
        return f"{student_id} {topic_id} deleted"
    arrivals.run(
        "insert into exam.interest_goal"
        " (user_id, topic_id, target_level, priority, target_date, created_at)"
        " values (%s, %s, %s, %s, %s, %s) on conflict (user_id, topic_id) do update set"
        " target_level = excluded.target_level, priority = excluded.priority,"
        " target_date = excluded.target_date",
        student_id,
        topic_id,
        arrivals.rng.uniform(-1, 1),
        arrivals.rng.choice((0, 50, 100)),
        arrivals.rng.choice((None, arrivals.today + timedelta(days=arrivals.rng.randrange(-9, 9)))),
        arrivals.moment(arrivals.days_ago()),
    )
    return f"{student_id} {topic_id}"


def question(arrivals: Arrivals) -> str:
    """A question whose topic changes, that comes, goes or is reworded."""
    item_id = f"q_{arrivals.rng.randrange(26)}"
    kind = arrivals.rng.choice(("topic", "topic", "delete", "reword"))
    if kind == "delete":
        arrivals.run("delete from exam.question where id = %s", item_id)
    elif kind == "reword":
        arrivals.run("update exam.question set content = %s where id = %s", kind, item_id)
    else:
        arrivals.run(
            "insert into exam.question (id, topic_id) values (%s, %s)"
            " on conflict (id) do update set topic_id = excluded.topic_id",
            item_id,
            arrivals.rng.choice((None, *TOPICS)),
        )
    return f"{item_id} {kind}"


def score(arrivals: Arrivals, connection: psycopg.Connection[Any]) -> str:
    """Append an ability of a session, and of some topics, through a connection."""
    scored = arrivals.connection.execute(
        "select session_id, user_id from exam.exam_results where user_id <> '' order by session_id"
    ).fetchall()
    session_id, student_id = arrivals.rng.choice(scored)
    run_id = arrivals.rng.choice(RUNS)
    effective_at = arrivals.moment(arrivals.days_ago())
    theta = arrivals.rng.uniform(-2, 2)
    row = connection.execute(
        "insert into irt.mirt_ability"
        " (user_id, theta, se, model, run_id, session_id, effective_at, n_responses)"
        " values (%s, %s, 0.4, '3PL', %s, %s, %s, 20) returning id",
        (student_id, theta, run_id, session_id, effective_at),
    ).fetchone()
    assert row is not None
    for topic_id in TOPICS[: arrivals.rng.randrange(4)]:
        connection.execute(
            "insert into irt.mirt_topic_ability (ability_id, user_id, topic_id, theta, se,"
            " run_id, session_id, effective_at, n_responses)"
            " values (%s, %s, %s, %s, 0.3, %s, %s, %s, %s)",
            (
                row[0],
                student_id,
                topic_id,
                theta + arrivals.rng.gauss(0, 0.3),
                run_id,
                session_id,
                effective_at,
                arrivals.rng.choice((4, 5, 20)),
            ),
        )
    return f"{session_id} of {student_id} under {run_id}, effective {effective_at:%F %T}"


def ability(arrivals: Arrivals) -> str:
    """A scoring that is appended late."""
    return score(arrivals, arrivals.connection)


def retraction(arrivals: Arrivals) -> str:
    """A scoring that is taken back."""
    ability_id = arrivals.pick("select id from irt.effective_ability order by id")
    arrivals.run(
        "insert into irt.mirt_ability_retraction (user_id, run_id, session_id, reason)"
        " select user_id, run_id, session_id, 'moved' from irt.mirt_ability where id = %s",
        ability_id,
    )
    return f"ability {ability_id}"


def publication(arrivals: Arrivals) -> str:
    """A run that comes into force on a day."""
    run_id = arrivals.rng.choice(RUNS)
    in_force_from = arrivals.today + timedelta(days=arrivals.rng.choice((1, 1, 3, -20)))
    arrivals.run(
        "insert into irt.publications (publication_id, run_id, in_force_from)"
        " overriding system value"
        " select max(publication_id) + 1, %s, %s from irt.publications",
        run_id,
        in_force_from,
    )
    return f"{run_id} from {in_force_from}"


def roll_back(arrivals: Arrivals) -> str:
    """The latest publication that counts, revoked."""
    count = arrivals.run(
        "update irt.publications set revoked_at = now() where publication_id ="
        " (select max(publication_id) from irt.publications where revoked_at is null)"
        " and publication_id > 1"
    )
    return f"{count} publication"


def erasure(arrivals: Arrivals) -> str:
    """A student who is never to be seen again."""
    student_id = arrivals.student_id()
    arrivals.run(
        "insert into ops.erased_students (student_id) values (%s) on conflict do nothing",
        student_id,
    )
    return student_id


def membership(arrivals: Arrivals) -> str:
    """A student who joins or leaves a class, and whose profile changes."""
    student_id = arrivals.student_id()
    arrivals.run(
        "insert into exam.classroom_student (classroom_id, user_id, from_date, to_date)"
        " values (%s, %s, %s, %s) on conflict do nothing",
        f"class-{arrivals.rng.randrange(3)}",
        student_id,
        arrivals.today - timedelta(days=arrivals.rng.randrange(40)),
        arrivals.rng.choice((None, arrivals.today)),
    )
    arrivals.run(
        "insert into exam.student_profile (user_id, display_name) values (%s, %s)"
        " on conflict (user_id) do update set display_name = excluded.display_name",
        student_id,
        f"name {arrivals.rng.randrange(9)}",
    )
    return student_id


KINDS: dict[str, Callable[[Arrivals], str]] = {
    kind.__name__: kind
    for kind in (
        late_session,
        delivered_again,
        replaced_row,
        rescored,
        moved,
        status_changed,
        deleted,
        malformed,
        loaded_with_an_old_date,
        committed_late,
        session_row,
        goal,
        question,
        ability,
        retraction,
        publication,
        roll_back,
        erasure,
        membership,
    )
}

# What leaves little to compare when it happens often.
RARE = {"erasure", "roll_back"}
