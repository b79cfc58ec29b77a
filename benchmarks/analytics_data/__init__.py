"""A school of any size as an exam application would deliver it, made inside PostgreSQL.

Ten million attempts take about three minutes, where the sample academy, whose students learn
and forget, would take an hour. Everything that the models read is there: results as JSON,
sessions, questions, goals, classes, and a published run with an ability for each session.
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import psycopg

FOLDER = Path(__file__).resolve().parent
FIRST_DAY = date(2026, 1, 5)
HISTORY_DAYS = 180
NIGHTS = 3
ATTEMPTS_PER_STUDENT = 200
_SOURCES = (
    "exam.exam_results, exam.session, exam.question, exam.interest_goal, exam.classroom_student, "
    "irt.mirt_ability, irt.mirt_topic_ability, irt.mirt_item_params"
)


def day_of_night(night: int) -> date:
    """Return the day that is complete in a night; night 0 ends the history."""
    return FIRST_DAY + timedelta(days=HISTORY_DAYS - 1 + night)


def attempts_made(connection: psycopg.Connection) -> int | None:
    """Return for how many attempts the data in the database was made, None when for none."""
    found = connection.execute("select to_regclass('bench.students')").fetchone()
    if found is None or found[0] is None:
        return None
    row = connection.execute("select count(*) from bench.students").fetchone()
    return int(row[0]) * ATTEMPTS_PER_STUDENT if row else None


def nights_made(connection: psycopg.Connection) -> int:
    """Return how many nights have arrived after the history."""
    row = connection.execute(
        "select coalesce(max(night), 0) from bench.sessions "
        "where session_id in (select id from exam.session where started_at >= %s)",
        (day_of_night(0),),
    ).fetchone()
    return int(row[0]) if row else 0


def make_history(connection: psycopg.Connection, attempts: int) -> None:
    """Fill the sources with 180 days."""
    with connection.transaction():
        _run(connection, "plan.sql", students=str(attempts // ATTEMPTS_PER_STUDENT))
        for script in ("arrivals.sql", "abilities.sql"):
            _run(connection, script, night="0")
    connection.execute(f"vacuum (analyze) {_SOURCES}")


def make_night(connection: psycopg.Connection, night: int) -> None:
    """Let a new day arrive, and 1 % of the last 60 days' sessions late or re-scored."""
    with connection.transaction():
        for script in ("arrivals.sql", "rescored.sql", "abilities.sql"):
            _run(connection, script, night=str(night))


def _run(connection: psycopg.Connection, script: str, **values: str) -> None:
    text = (FOLDER / script).read_text(encoding="utf-8")
    for name, value in {"start": f"'{FIRST_DAY} 00:00+09'", **values}.items():
        text = text.replace(f":{name}", value)
    connection.execute(text)
