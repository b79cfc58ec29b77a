"""Every SQL statement of the package: bulk reads for a chunk of students, and artifacts."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import date, timedelta

import numpy as np
from sqlalchemy import Connection, TextClause, text

from report_runner.records import Artifact, ItemBank, Row, StudentRecord, Week

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

_WEEKS = text(
    """
    select
        student_id, week_start, as_of_date, is_complete, improvement_index, improvement_basis,
        time_efficiency, recovery_rate, engagement, goal_probability, theta, standard_error,
        run_id
    from analytics.fct_student_weekly_kpis
    where student_id = any(:student_ids) and week_start between :first_week and :week_start
    order by student_id, week_start
    """
)

_DETAIL = text(
    """
    select
        days.student_id, days.goal_topic_id, days.goal_target_theta, days.goal_target_date,
        days.median_time_recent_ms, days.median_time_previous_ms, days.recovery_attempt_count
    from analytics.fct_student_daily_kpis as days
    where days.student_id = any(:student_ids) and days.kpi_date = :as_of_date
    """
)

_PROFILES = text(
    """
    select student_id, display_name, locale, grade, classroom_name
    from analytics.dim_students
    where student_id = any(:student_ids)
    """
)

_ACTIVITY = text(
    """
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
    """
)

_TOPICS = text(
    """
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
    order by student_id, topic_id
    """
)

_GOALS = text(
    """
    select
        student_id, topic_id, target_theta, target_date, priority, theta, standard_error,
        basis, probability, is_primary
    from analytics.fct_goal_probability
    where student_id = any(:student_ids) and kpi_date = :as_of_date
    order by student_id, is_primary desc, priority desc, target_date nulls last, topic_id
    """
)

_SEEN = text(
    """
    select student_id, array_agg(distinct item_id) as item_ids
    from analytics.fct_attempts
    where
        student_id = any(:student_ids)
        and attempt_date between :recent_from and :as_of_date
    group by student_id
    """
)

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

_ARTIFACTS = text(
    """
    select
        student_id, week_start, format, object_key, size_bytes, sha256, content_hash,
        template_version, language, run_id
    from reports.report_artifacts
    where student_id = any(:student_ids) and week_start = :week_start
    """
)

_SAVE_ARTIFACT = text(
    """
    insert into reports.report_artifacts (
        student_id, week_start, format, object_key, size_bytes, sha256, content_hash,
        template_version, language, run_id, created_at
    )
    values (
        :student_id, :week_start, :format, :object_key, :size_bytes, :sha256, :content_hash,
        :template_version, :language, :run_id, now()
    )
    on conflict (student_id, week_start, format) do update set
        object_key = excluded.object_key,
        size_bytes = excluded.size_bytes,
        sha256 = excluded.sha256,
        content_hash = excluded.content_hash,
        template_version = excluded.template_version,
        language = excluded.language,
        run_id = excluded.run_id,
        created_at = excluded.created_at
    """
)

# The largest document is the one with most to show.
_RICHEST = text(
    """
    select object_key
    from reports.report_artifacts
    where
        week_start = :week_start
        and format = :format
        and (cast(:student_ids as text[]) is null or student_id = any(:student_ids))
    order by size_bytes desc, student_id
    limit 1
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


def read_records(
    connection: Connection, week: Week, student_ids: Sequence[str]
) -> list[StudentRecord]:
    """Return the records of `student_ids`, in their order, in a handful of statements."""
    parameters = {
        "student_ids": list(student_ids),
        "week_start": week.week_start,
        "first_week": week.week_start - timedelta(weeks=TREND_WEEKS - 1),
        "as_of_date": week.as_of_date,
        "recent_from": week.as_of_date - timedelta(days=RECENT_DAYS - 1),
    }

    def rows(statement: TextClause) -> Iterator[Row]:
        for row in connection.execute(statement, parameters).mappings():
            yield dict(row)

    weeks = _by_student(rows(_WEEKS))
    topics = _by_student(rows(_TOPICS))
    goals = _by_student(rows(_GOALS))
    profiles = {row["student_id"]: row for row in rows(_PROFILES)}
    details = {row["student_id"]: row for row in rows(_DETAIL)}
    seen = {row["student_id"]: frozenset(row["item_ids"]) for row in rows(_SEEN)}
    activity: dict[str, dict[date, Row]] = defaultdict(dict)
    for row in rows(_ACTIVITY):
        activity[row["student_id"]][row["week_start"]] = row
    return [
        StudentRecord(
            student_id=student_id,
            profile=profiles.get(student_id, {}),
            weeks=weeks.get(student_id, []),
            detail=details.get(student_id, {}),
            activity=activity.get(student_id, {}),
            topics=topics.get(student_id, []),
            goals=goals.get(student_id, []),
            seen_items=seen.get(student_id, frozenset()),
        )
        for student_id in student_ids
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


def read_artifacts(
    connection: Connection, week: Week, student_ids: Sequence[str]
) -> dict[tuple[str, str], Artifact]:
    """Return what is stored already, by student and format."""
    parameters = {"student_ids": list(student_ids), "week_start": week.week_start}
    rows = connection.execute(_ARTIFACTS, parameters).mappings()
    return {(row["student_id"], row["format"]): Artifact(**row) for row in rows}


def save_artifacts(connection: Connection, artifacts: Sequence[Artifact]) -> None:
    """Record objects that are in the store; one row per student, week and format."""
    if artifacts:
        connection.execute(_SAVE_ARTIFACT, [asdict(artifact) for artifact in artifacts])


def find_richest(
    connection: Connection, week: Week, file_format: str, student_ids: Sequence[str] | None
) -> str | None:
    """Return the key of the report with most to show."""
    parameters = {
        "week_start": week.week_start,
        "format": file_format,
        "student_ids": None if student_ids is None else list(student_ids),
    }
    return connection.execute(_RICHEST, parameters).scalar_one_or_none()


def _by_student(rows: Iterable[Row]) -> Mapping[str, list[Row]]:
    grouped: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        grouped[row["student_id"]].append(row)
    return grouped
