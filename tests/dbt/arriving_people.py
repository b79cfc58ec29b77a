"""Goals, questions, classes and erasures that arrive, as one small change each."""

from __future__ import annotations

from datetime import timedelta

from tests.dbt.arrivals import Arrivals
from tests.dbt.learning_scenario import TOPICS


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
