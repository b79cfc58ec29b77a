"""Scorings and published runs that come and are taken back, as one small change each."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg

from tests.dbt.arrivals import Arrivals
from tests.dbt.learning_scenario import RUNS, TOPICS


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
