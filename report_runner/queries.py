"""What student reports read from the marts, in bulk for a chunk of students."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import numpy as np
from sqlalchemy import Connection, TextClause, text

from report_runner.records import ItemBank, StudentInputs, Week

TREND_WEEKS = 12
RECENT_DAYS = 28

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
    order by weeks.student_id
    """
)

# Each statement gives a student's rows as one JSON text, in a stable order: the texts are the
# inputs of the content hash, and are taken apart only where a report has to be made.
_PARTS: Mapping[str, TextClause] = {
    "profile": text(
        """
        select
            student_id,
            cast(json_build_array(
                json_build_array(display_name, locale, grade, classroom_name, report_formats)
            ) as text)
        from analytics.dim_students
        where student_id = any(:student_ids)
        """
    ),
    "weeks": text(
        """
        select
            student_id,
            cast(json_agg(json_build_array(
                week_start, as_of_date, is_complete, improvement_index, improvement_basis,
                time_efficiency, recovery_rate, engagement, goal_probability, theta,
                standard_error, run_id
            ) order by week_start) as text)
        from analytics.fct_student_weekly_kpis
        where student_id = any(:student_ids) and week_start between :first_week and :week_start
        group by student_id
        """
    ),
    "detail": text(
        """
        select
            student_id,
            cast(json_build_array(json_build_array(
                goal_topic_id, goal_target_theta, goal_target_date, median_time_recent_ms,
                median_time_previous_ms, recovery_attempt_count
            )) as text)
        from analytics.fct_student_daily_kpis
        where student_id = any(:student_ids) and kpi_date = :as_of_date
        """
    ),
    "activity": text(
        """
        with weeks as (
            select
                student_id,
                attempt_date - (cast(extract(isodow from attempt_date) as int) - 1) as week_start,
                count(*) as attempt_count,
                count(is_correct) as graded_count,
                count(*) filter (where is_correct) as correct_count,
                count(distinct attempt_date) as day_count
            from analytics.fct_attempts
            where
                student_id = any(:student_ids)
                and attempt_date between :first_week and :as_of_date
            group by student_id, week_start
        )

        select
            student_id,
            cast(json_agg(json_build_array(
                week_start, attempt_count, graded_count, correct_count, day_count
            ) order by week_start) as text)
        from weeks
        group by student_id
        """
    ),
    "topics": text(
        """
        with topics as (
            select
                student_id,
                topic_id,
                sum(attempt_count) as attempt_count,
                sum(graded_count) as graded_count,
                sum(correct_count) as correct_count,
                (array_agg(strength order by feature_date desc))[1] as strength,
                (array_agg(theta_estimate order by feature_date desc))[1] as theta,
                (array_agg(theta_basis order by feature_date desc))[1] as theta_basis
            from analytics.fct_topic_daily_features
            where
                student_id = any(:student_ids)
                and feature_date between :recent_from and :as_of_date
                and topic_id is not null
            group by student_id, topic_id
        )

        select
            student_id,
            cast(json_agg(json_build_array(
                topic_id, attempt_count, graded_count, correct_count, strength, theta, theta_basis
            ) order by topic_id) as text)
        from topics
        group by student_id
        """
    ),
    "goals": text(
        """
        select
            student_id,
            cast(json_agg(json_build_array(
                topic_id, target_theta, target_date, priority, theta, standard_error, basis,
                probability, is_primary
            ) order by is_primary desc, priority desc, target_date nulls last, topic_id) as text)
        from analytics.fct_goal_probability
        where student_id = any(:student_ids) and kpi_date = :as_of_date
        group by student_id
        """
    ),
    "seen": text(
        """
        select student_id, cast(json_agg(distinct item_id order by item_id) as text)
        from analytics.fct_attempts
        where
            student_id = any(:student_ids)
            and attempt_date between :recent_from and :as_of_date
        group by student_id
        """
    ),
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


def read_inputs(
    connection: Connection, week: Week, student_ids: Sequence[str]
) -> list[StudentInputs]:
    """Return the raw inputs of `student_ids`, in their order, in a handful of statements."""
    parameters = {
        "student_ids": list(student_ids),
        "week_start": week.week_start,
        "first_week": week.week_start - timedelta(weeks=TREND_WEEKS - 1),
        "as_of_date": week.as_of_date,
        "recent_from": week.as_of_date - timedelta(days=RECENT_DAYS - 1),
    }
    found: dict[str, dict[str, str]] = {student_id: {} for student_id in student_ids}
    for name, statement in _PARTS.items():
        for row in connection.execute(statement, parameters):
            found[row[0]][name] = row[1]
    return [StudentInputs(student_id, parts) for student_id, parts in found.items()]


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
