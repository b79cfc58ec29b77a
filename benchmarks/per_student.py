"""The usual way of writing such a job: students one by one, with one query or with ten."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import psycopg

FOLDER = Path(__file__).resolve().parent
STUDENTS = 200
_KPIS = (
    "improvement_index, time_efficiency, recovery_rate, engagement, goal_probability, churn_risk"
)
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class StudentByStudent:
    """Milliseconds per student and day, and how many KPIs differ from the built ones."""

    one_query: float
    ten_queries: float
    differing: int


def student_by_student(connection: psycopg.Connection, day: date) -> StudentByStudent:
    """Compute the KPIs of 200 students on a day both ways, after a round to warm up."""
    built = {
        row[0]: row[1:]
        for row in connection.execute(
            f"select student_id, {_KPIS} from analytics.fct_student_daily_kpis "  # noqa: S608 - own names
            "where kpi_date = %s and attempt_count_recent > 0 "
            "order by md5(student_id) limit %s",
            (day, STUDENTS),
        )
    }
    one = [(FOLDER / "one_query.sql").read_text(encoding="utf-8")]
    ten = (FOLDER / "ten_queries.sql").read_text(encoding="utf-8").split(";")
    for queries in (one, ten):
        _answers(connection, queries, built, day)
    begin = time.perf_counter()
    answers = _answers(connection, one, built, day)
    middle = time.perf_counter()
    _answers(connection, ten, built, day)
    end = time.perf_counter()
    differing = sum(
        not _is_equal(found, expected)
        for student, row in answers.items()
        for found, expected in zip(row, built[student], strict=True)
    )
    per_student = 1000 / len(built)
    return StudentByStudent((middle - begin) * per_student, (end - middle) * per_student, differing)


def _answers(
    connection: psycopg.Connection,
    queries: list[str],
    students: dict[str, tuple[float | None, ...]],
    day: date,
) -> dict[str, tuple[float | None, ...]]:
    answers = {}
    for student in students:
        for query in queries:
            rows = connection.execute(query, {"student": student, "day": day}).fetchall()
        answers[student] = rows[0] if rows else ()
    return answers


def _is_equal(found: float | None, expected: float | None) -> bool:
    if found is None or expected is None:
        return found is expected
    return abs(float(found) - float(expected)) <= _TOLERANCE
