"""What student reports read from the marts, in bulk for a chunk of students."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, timedelta

import numpy as np
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import ProgrammingError

from report_runner.errors import ReportError
from report_runner.records import ITEM_SEPARATOR, ItemBank, StudentInputs, Week, escaped
from report_runner.sections import MINIMUM_GRADED_COUNT

TREND_WEEKS = 12
RECENT_DAYS = 28
_UNDEFINED_TABLE = "42P01"

_WEEK = text(
    """
    select
        weeks.week_start,
        max(weeks.as_of_date) as as_of_date,
        bool_and(weeks.is_complete) as is_complete
    from analytics.fct_student_weekly_kpis as weeks
    where
        weeks.week_start = coalesce(
            cast(:week_start as date),
            (
                select max(candidates.week_start)
                from analytics.fct_student_weekly_kpis as candidates
                where candidates.is_complete
            ),
            (select max(candidates.week_start) from analytics.fct_student_weekly_kpis as candidates)
        )
    group by weeks.week_start
    """
)

_STUDENTS = text(
    """
    select weeks.student_id
    from analytics.fct_student_weekly_kpis as weeks
    where
        weeks.week_start = :week_start
        and (cast(:student_ids as text[]) is null or weeks.student_id = any(:student_ids))
        and weeks.student_id not in (
            select erased.student_id from ops.erased_students as erased
        )
    order by weeks.student_id
    """
)

_ERASED = text("select student_id from ops.erased_students where student_id = any(:student_ids)")

# Each statement gives lines of the wire's text format, a student's id first, in a stable order.
# The lines are the inputs of the content hash, and are taken apart only where a report has to
# be made: COPY spares both sides the types of what nobody looks at. Weeks are named one by one,
# because an index that begins with the week finds a student's only then.
_PARTS: Mapping[str, str] = {
    "profile": """
        select student_id, display_name, locale, grade, classroom_name, report_formats
        from analytics.dim_students
        where student_id = any(%(student_ids)s)
        """,
    "weeks": """
        select
            student_id, week_start, as_of_date, is_complete, improvement_index,
            improvement_basis, time_efficiency, recovery_rate, engagement, goal_probability,
            theta, standard_error, run_id
        from analytics.fct_student_weekly_kpis
        where student_id = any(%(student_ids)s) and week_start = any(%(weeks)s)
        order by student_id, week_start
        """,
    "detail": """
        select
            student_id, goal_topic_id, goal_target_theta, goal_target_date,
            median_time_recent_ms, median_time_previous_ms, recovery_attempt_count
        from analytics.fct_student_daily_kpis
        where student_id = any(%(student_ids)s) and kpi_date = %(as_of_date)s
        """,
    # Of graded questions no more are counted than a report asks for. Days are the bits of a
    # number, items are put into order later.
    "attempts": """
        select
            students.student_id,
            (
                select count(*)
                from (
                    select 1
                    from analytics.fct_attempts as attempts
                    where
                        attempts.student_id = students.student_id
                        and attempts.attempt_date between %(first_week)s and %(as_of_date)s
                        and attempts.is_correct is not null
                    limit %(enough)s
                ) as graded
            ),
            recent.*
        from unnest(cast(%(student_ids)s as text[])) as students (student_id)
        cross join lateral (
            select
                count(*) filter (where attempt_date >= %(week_start)s),
                count(is_correct) filter (where attempt_date >= %(week_start)s),
                count(*) filter (where is_correct and attempt_date >= %(week_start)s),
                coalesce(
                    bit_or(1 << (attempt_date - %(week_start)s))
                        filter (where attempt_date >= %(week_start)s),
                    0
                ),
                count(*) filter (where attempt_date between %(week_before)s and %(day_before)s),
                count(is_correct) filter (
                    where attempt_date between %(week_before)s and %(day_before)s
                ),
                count(*) filter (
                    where is_correct and attempt_date between %(week_before)s and %(day_before)s
                ),
                coalesce(
                    bit_or(1 << (attempt_date - %(week_before)s))
                        filter (where attempt_date between %(week_before)s and %(day_before)s),
                    0
                ),
                string_agg(item_id, %(separator)s)
            from analytics.fct_attempts as attempts
            where
                attempts.student_id = students.student_id
                and attempts.attempt_date between %(recent_from)s and %(as_of_date)s
        ) as recent
        """,
    "topics": """
        select
            student_id, topic_id, attempt_count, graded_count, correct_count, strength,
            theta_estimate, theta_basis
        from analytics.fct_topic_daily_features
        where
            student_id = any(%(student_ids)s)
            and feature_date between %(recent_from)s and %(as_of_date)s
            and topic_id is not null
        order by student_id, topic_id, feature_date
        """,
    "goals": """
        select
            student_id, topic_id, target_theta, target_date, priority, theta, standard_error,
            basis, probability, is_primary
        from analytics.fct_goal_probability
        where student_id = any(%(student_ids)s) and kpi_date = %(as_of_date)s
        order by
            student_id, is_primary desc, priority desc, target_date nulls last, topic_id
        """,
}

_BANK = text(
    """
    select
        parameters.item_id, parameters.run_id, items.topic_id, items.content,
        parameters.discrimination, parameters.difficulty, parameters.guessing
    from analytics.dim_item_parameters as parameters
    left join analytics.dim_items as items on parameters.item_id = items.item_id
    where coalesce(parameters.flags, '[]') in ('[]', '{}')
    order by parameters.item_id
    """
)


@contextmanager
def reading_marts(engine: Engine) -> Iterator[Connection]:
    """Give a connection; raise ReportError when what is read has not been built yet."""
    try:
        with engine.connect() as connection:
            yield connection
    except ProgrammingError as error:
        if getattr(error.orig, "sqlstate", None) == _UNDEFINED_TABLE:
            raise ReportError(
                "the marts are not there yet: run `dbt build` (or `make run`) first"
            ) from error
        raise


def read_week(connection: Connection, week_start: date | None) -> Week | None:
    """Return the week asked for, else the last complete one, else the running one."""
    row = connection.execute(_WEEK, {"week_start": week_start}).one_or_none()
    return None if row is None else Week(row.week_start, row.as_of_date, row.is_complete)


def read_student_ids(
    connection: Connection, week: Week, student_ids: Sequence[str] | None = None
) -> list[str]:
    """Return the students who have KPIs in the week, in a stable order."""
    parameters = {
        "week_start": week.week_start,
        "student_ids": None if student_ids is None else list(student_ids),
    }
    return list(connection.execute(_STUDENTS, parameters).scalars())


def read_erased(connection: Connection, student_ids: Sequence[str]) -> set[str]:
    """Return those of some students who were erased, whatever the marts still hold."""
    return set(connection.execute(_ERASED, {"student_ids": list(student_ids)}).scalars())


def read_inputs(
    connection: Connection, week: Week, student_ids: Sequence[str]
) -> list[StudentInputs]:
    """Return the raw inputs of `student_ids`, in their order, in a handful of statements."""
    first_week = week.week_start - timedelta(weeks=TREND_WEEKS - 1)
    parameters = {
        "student_ids": list(student_ids),
        "week_start": week.week_start,
        "week_before": week.week_start - timedelta(days=7),
        "day_before": week.week_start - timedelta(days=1),
        "first_week": first_week,
        "weeks": [first_week + timedelta(weeks=number) for number in range(TREND_WEEKS)],
        "as_of_date": week.as_of_date,
        "recent_from": week.as_of_date - timedelta(days=RECENT_DAYS - 1),
        "separator": ITEM_SEPARATOR,
        "enough": MINIMUM_GRADED_COUNT,
    }
    parts: dict[str, dict[bytes, bytes]] = {}
    driver = connection.connection.driver_connection
    if driver is None:
        raise RuntimeError("the connection is closed")
    with driver.cursor() as cursor:
        for name, statement in _PARTS.items():
            lines: dict[bytes, bytes] = {}
            with cursor.copy(f"copy ({statement}) to stdout", parameters) as copy:
                for line in copy:
                    student, _tab, row = bytes(line).partition(b"\t")
                    before = lines.get(student)
                    lines[student] = row if before is None else before + row
            parts[name] = lines
    return [
        StudentInputs(student_id, {name: rows.get(key, b"") for name, rows in parts.items()})
        for student_id in student_ids
        for key in (escaped(student_id),)
    ]


def read_item_bank(connection: Connection) -> ItemBank:
    """Return the calibrated items that carry no flag."""
    rows = connection.execute(_BANK).all()
    return ItemBank(
        run_id=rows[0].run_id if rows else None,
        item_ids=tuple(row.item_id for row in rows),
        topic_ids=tuple(row.topic_id for row in rows),
        contents=tuple(row.content for row in rows),
        discrimination=np.array([row.discrimination for row in rows], dtype=np.float64),
        difficulty=np.array([row.difficulty for row in rows], dtype=np.float64),
        guessing=np.array([row.guessing or 0.0 for row in rows], dtype=np.float64),
    )
