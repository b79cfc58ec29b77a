"""Marts as the reports read them, in an empty database, and students to put into them."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

WEEK = date(2026, 6, 8)
SUNDAY = date(2026, 6, 14)
RUN = "run-7"
TREND_WEEKS = 12

# Only the columns that reports read; the marts have more.
TABLES: Mapping[str, str] = {
    "fct_student_weekly_kpis": """
        student_id text, week_start date, as_of_date date, is_complete boolean,
        improvement_index float8, improvement_basis text, time_efficiency float8,
        recovery_rate float8, engagement float8, goal_probability float8, churn_risk float8,
        theta float8, standard_error float8, run_id text,
        days_since_last_activity integer default 1, graded_recent_short_count bigint default 9,
        primary key (week_start, student_id)""",
    "fct_student_daily_kpis": """
        student_id text, kpi_date date, goal_topic_id text, goal_target_theta float8,
        goal_target_date date, median_time_recent_ms float8, median_time_previous_ms float8,
        recovery_attempt_count integer, primary key (kpi_date, student_id)""",
    "dim_students": """
        student_id text primary key, display_name text, locale text, grade text,
        classroom_name text, classroom_id text, org_id text, report_formats jsonb""",
    "fct_inactivity_daily": "student_id text, inactivity_date date, state text",
    "fct_inactivity_transitions": """
        student_id text, changed_on date, to_state text, days_since_last_activity integer,
        should_notify boolean""",
    "fct_attempts": """
        student_id text, item_id text, session_id text, attempt_date date, is_correct boolean""",
    "fct_topic_daily_features": """
        student_id text, topic_id text, feature_date date, attempt_count bigint,
        graded_count bigint, correct_count bigint, theta_estimate float8, theta_basis text,
        strength text""",
    "fct_goal_probability": """
        student_id text, topic_id text, kpi_date date, target_theta float8, target_date date,
        priority integer, theta float8, standard_error float8, basis text, probability float8,
        is_primary boolean""",
    "dim_item_parameters": """
        item_id text primary key, run_id text, discrimination float8, difficulty float8,
        guessing float8, flags jsonb default '[]'""",
    "dim_items": "item_id text primary key, topic_id text, content text",
}
ARTIFACTS = """
    create schema if not exists reports;
    create table if not exists reports.report_artifacts (
        student_id text, week_start date, format text, object_key text, size_bytes bigint,
        sha256 text, content_hash text, template_version text, language text, run_id text,
        created_at timestamptz, primary key (student_id, week_start, format))"""


def create_marts(connection: sa.Connection) -> None:
    """Create empty marts in the schema `analytics`."""
    connection.execute(sa.text("create schema if not exists analytics"))
    for name, columns in TABLES.items():
        connection.execute(sa.text(f"drop table if exists analytics.{name} cascade"))
        connection.execute(sa.text(f"create table analytics.{name} ({columns})"))
    for name in ("fct_attempts", "fct_topic_daily_features", "fct_goal_probability"):
        connection.execute(sa.text(f"create index on analytics.{name} (student_id)"))


def insert(connection: sa.Connection, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Insert `rows`, which all have the same columns."""
    rows = list(rows)
    if rows:
        columns: list[sa.ColumnClause[Any]] = [sa.column(name) for name in rows[0]]
        connection.execute(sa.table(table, *columns, schema="analytics").insert(), rows)


@dataclass
class Student:
    """A student with a history; the defaults are a rich one."""

    student_id: str
    display_name: str | None = "김하늘"
    locale: str | None = "ko"
    grade: str | None = "고1"
    classroom_name: str | None = "수학 심화반"
    thetas: tuple[float, ...] = (
        -0.31, -0.28, -0.2, -0.22, -0.05, 0.02, 0.1, 0.08, 0.21, 0.3, 0.38, 0.482,
    )  # fmt: skip
    standard_error: float = 0.24
    kpis: Mapping[str, float | None] = field(
        default_factory=lambda: {
            "improvement_index": 0.225920,
            "time_efficiency": 0.25,
            "recovery_rate": 0.625,
            "engagement": 0.450833,
        }
    )
    topics: Mapping[str, tuple[int, int, str | None]] = field(
        default_factory=lambda: {
            "이차함수": (24, 21, "strong"),
            "삼각비": (18, 7, "weak"),
            "확률": (15, 10, None),
            "집합과 명제": (12, 9, None),
            "수열": (9, 5, None),
        }
    )
    goals: tuple[tuple[str | None, float, date | None, float], ...] = (
        (None, 0.6, date(2026, 7, 31), 0.311),
        ("삼각비", 0.2, date(2026, 6, 30), 0.12),
    )
    attempts_per_week: int = 32
    is_active_this_week: bool = True


def add_student(connection: sa.Connection, student: Student) -> None:
    """Put one student's rows into the marts."""
    identity = {"student_id": student.student_id}
    insert(
        connection,
        "dim_students",
        [
            {
                **identity,
                "display_name": student.display_name,
                "locale": student.locale,
                "grade": student.grade,
                "classroom_name": student.classroom_name,
                "classroom_id": "class-1",
                "org_id": "org",
            }
        ],
    )
    count = max(len(student.thetas), 1)
    weeks = [WEEK - timedelta(weeks=count - 1 - index) for index in range(count)]
    insert(
        connection,
        "fct_student_weekly_kpis",
        [
            {
                **identity,
                "week_start": week,
                "as_of_date": week + timedelta(days=6),
                "is_complete": True,
                "improvement_basis": "theta" if student.thetas else "accuracy",
                "goal_probability": student.goals[0][3] if student.goals else 0.5,
                "churn_risk": 0.987654,
                "theta": student.thetas[index] if student.thetas else None,
                "standard_error": student.standard_error if student.thetas else None,
                "run_id": RUN if student.thetas else None,
                **(
                    student.kpis
                    if week == WEEK
                    else {name: value and value * 0.8 for name, value in student.kpis.items()}
                ),
            }
            for index, week in enumerate(weeks)
        ],
    )
    insert(
        connection,
        "fct_student_daily_kpis",
        [
            {
                **identity,
                "kpi_date": SUNDAY,
                "goal_target_theta": student.goals[0][1] if student.goals else 0.0,
                "goal_topic_id": student.goals[0][0] if student.goals else None,
                "goal_target_date": student.goals[0][2] if student.goals else None,
                "median_time_recent_ms": 45000.0,
                "median_time_previous_ms": 60000.0,
                "recovery_attempt_count": 8,
            }
        ],
    )
    active = weeks if student.is_active_this_week else weeks[:-1]
    insert(
        connection,
        "fct_attempts",
        [
            {
                **identity,
                "item_id": f"q_{number % 40}",
                "session_id": f"{student.student_id}-{week}-{number % 3}",
                "attempt_date": week + timedelta(days=number % 5),
                "is_correct": number % 10 < 7,
            }
            for week in active[-12:]
            for number in range(student.attempts_per_week)
        ],
    )
    insert(
        connection,
        "fct_topic_daily_features",
        [
            {
                **identity,
                "topic_id": topic_id,
                "feature_date": SUNDAY - timedelta(days=day),
                "attempt_count": graded if day == 0 else 0,
                "graded_count": graded if day == 0 else 0,
                "correct_count": correct if day == 0 else 0,
                "theta_estimate": 0.4
                if strength is None
                else 0.9
                if strength == "strong"
                else -0.4,
                "theta_basis": "topic",
                "strength": strength if day == 0 else None,
            }
            for topic_id, (graded, correct, strength) in student.topics.items()
            for day in (0, 3)
        ],
    )
    insert(
        connection,
        "fct_goal_probability",
        [
            {
                **identity,
                "topic_id": topic_id,
                "kpi_date": SUNDAY,
                "target_theta": target,
                "target_date": target_date,
                "priority": 90 - number,
                "theta": student.thetas[-1] if student.thetas else None,
                "standard_error": student.standard_error,
                "basis": "topic" if topic_id else "overall",
                "probability": probability,
                "is_primary": number == 0,
            }
            for number, (topic_id, target, target_date, probability) in enumerate(student.goals)
        ],
    )


def add_bank(connection: sa.Connection, topics: Iterable[str], per_topic: int = 30) -> None:
    """Put a calibrated item bank into the marts; items q_0 to q_39 are the ones attempted."""
    items = [(topic, number) for topic in topics for number in range(per_topic)]
    insert(
        connection,
        "dim_items",
        [
            {
                "item_id": f"q_{position}",
                "topic_id": topic,
                "content": f"{topic} 연습 문항 {number}: 다음 식의 값을 구하시오."
                if number % 3
                else None,
            }
            for position, (topic, number) in enumerate(items)
        ],
    )
    insert(
        connection,
        "dim_item_parameters",
        [
            {
                "item_id": f"q_{position}",
                "run_id": RUN,
                "discrimination": 0.8 + 0.05 * (number % 10),
                "difficulty": -2.0 + 4.0 * number / per_topic,
                "guessing": 0.0,
                "flags": json.dumps([]),
            }
            for position, (_topic, number) in enumerate(items)
        ],
    )


RICH = Student("rich")
ENGLISH = Student("english", display_name="Haneul", locale="en-GB", grade=None)
POOR = Student(
    "poor",
    thetas=(-1.2, -1.35, -1.6),
    standard_error=0.41,
    kpis={
        "improvement_index": -0.08,
        "time_efficiency": 0.0,
        "recovery_rate": None,
        "engagement": 0.21,
    },
    topics={"확률": (6, 1, None)},
    goals=(),
    attempts_per_week=9,
)
NEW = Student(
    "new",
    thetas=(),
    kpis=dict.fromkeys(("improvement_index", "time_efficiency", "recovery_rate", "engagement")),
    topics={},
    goals=(),
    attempts_per_week=4,
)
QUIET = Student("quiet", is_active_this_week=False)
STUDENTS = (RICH, ENGLISH, POOR, NEW, QUIET)


def fill(connection: sa.Connection) -> None:
    """Create the marts and put a bank and one student of every kind into them."""
    create_marts(connection)
    add_bank(connection, RICH.topics)
    for student in STUDENTS:
        add_student(connection, student)


def clone_student(connection: sa.Connection, student_id: str, count: int) -> list[str]:
    """Give `count` further students the same rows; return their ids in order."""
    clones = [f"{student_id}-{number:05d}" for number in range(count)]
    for table in sa.inspect(connection).get_table_names(schema="analytics"):
        names = [
            column["name"] for column in sa.inspect(connection).get_columns(table, "analytics")
        ]
        if "student_id" not in names:
            continue
        rows = sa.table(table, *(sa.column(name) for name in names), schema="analytics")
        clone = (
            sa.func.unnest(sa.literal(clones, postgresql.ARRAY(sa.Text)))
            .table_valued("id")
            .render_derived()
        )
        selected = [clone.c.id if name == "student_id" else rows.c[name] for name in names]
        source = sa.select(*selected).select_from(rows.join(clone, sa.true()))
        connection.execute(
            rows.insert().from_select(names, source.where(rows.c.student_id == student_id))
        )
    return clones
