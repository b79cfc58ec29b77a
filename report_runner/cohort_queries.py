"""What a cohort report reads: a class or an organisation, in a handful of statements."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from sqlalchemy import Connection, text

from report_runner.records import Row, Week

CohortKind = Literal["classroom", "organisation"]
CHANGE_WEEKS = 4
TOPIC_WEEKS = 6

# kind -> the column that tells cohorts apart, and the one that names them
_KINDS: dict[CohortKind, tuple[str, str]] = {
    "classroom": ("classroom_id", "classroom_name"),
    "organisation": ("org_id", "org_id"),
}

_COHORTS = """
    select students.{key} as cohort_id, max(students.{name}) as name
    from analytics.dim_students as students
    inner join analytics.fct_student_weekly_kpis as weeks
        on students.student_id = weeks.student_id and weeks.week_start = :week_start
    where
        students.{key} is not null
        and (cast(:cohort_ids as text[]) is null or students.{key} = any(:cohort_ids))
        and students.student_id not in (
            select erased.student_id from ops.erased_students as erased
        )
    group by students.{key}
    order by students.{key}
"""

_MEMBERS = """
    select students.student_id
    from analytics.dim_students as students
    where students.{key} = any(:cohort_ids)
"""

_STUDENTS = """
    select
        students.student_id, students.display_name, weeks.theta, weeks.standard_error,
        weeks.churn_risk, weeks.days_since_last_activity, weeks.graded_recent_short_count,
        before.theta as theta_before, inactivity.state,
        transitions.to_state, transitions.days_since_last_activity as days_at_transition,
        goals.probability as goal_probability, goals.target_date
    from analytics.dim_students as students
    inner join analytics.fct_student_weekly_kpis as weeks
        on students.student_id = weeks.student_id and weeks.week_start = :week_start
    left join analytics.fct_student_weekly_kpis as before
        on students.student_id = before.student_id and before.week_start = :before_week
    left join analytics.fct_inactivity_daily as inactivity
        on
            students.student_id = inactivity.student_id
            and inactivity.inactivity_date = :as_of_date
    left join lateral (
        select found.to_state, found.days_since_last_activity
        from analytics.fct_inactivity_transitions as found
        where
            found.student_id = students.student_id
            and found.changed_on between :week_start and :as_of_date
            and found.should_notify
        order by found.changed_on desc
        limit 1
    ) as transitions on true
    left join lateral (
        select found.probability, found.target_date
        from analytics.fct_goal_probability as found
        where
            found.student_id = students.student_id
            and found.kpi_date = :as_of_date
            and found.target_date between :as_of_date and :due_until
        order by found.target_date, found.probability
        limit 1
    ) as goals on true
    where
        students.{key} = :cohort_id
        and students.student_id not in (
            select erased.student_id from ops.erased_students as erased
        )
    order by students.student_id
"""

_TOPICS = """
    select
        topics.topic_id,
        topics.feature_date - (cast(extract(isodow from topics.feature_date) as int) - 1)
            as week_start,
        sum(topics.graded_count) as graded_count,
        sum(topics.correct_count) as correct_count
    from analytics.fct_topic_daily_features as topics
    inner join analytics.dim_students as students on topics.student_id = students.student_id
    where
        students.{key} = :cohort_id
        and students.student_id not in (
            select erased.student_id from ops.erased_students as erased
        )
        and topics.topic_id is not null
        and topics.feature_date between :topics_from and :as_of_date
    group by topics.topic_id, week_start
    order by topics.topic_id, week_start
"""

_DUE_DAYS = 14


@dataclass(frozen=True)
class CohortRecord:
    """The rows of one cohort and week."""

    cohort_id: str
    name: str | None
    students: Sequence[Row]
    topics: Sequence[Row]


def read_cohorts(
    connection: Connection, week: Week, kind: CohortKind, cohort_ids: Sequence[str] | None
) -> list[tuple[str, str | None]]:
    """Return id and name of the cohorts that have students with KPIs in the week."""
    key, name = _KINDS[kind]
    parameters = {
        "week_start": week.week_start,
        "cohort_ids": None if cohort_ids is None else list(cohort_ids),
    }
    rows = connection.execute(text(_COHORTS.format(key=key, name=name)), parameters)
    return [(row.cohort_id, row.name) for row in rows]


def read_members(connection: Connection, kind: CohortKind, cohort_ids: Sequence[str]) -> list[str]:
    """Return the ids of the students of these cohorts."""
    key, _name = _KINDS[kind]
    parameters = {"cohort_ids": list(cohort_ids)}
    return list(connection.execute(text(_MEMBERS.format(key=key)), parameters).scalars())


def read_cohort(
    connection: Connection, week: Week, kind: CohortKind, cohort_id: str, name: str | None
) -> CohortRecord:
    """Return the rows of one cohort."""
    key, _name = _KINDS[kind]
    parameters: dict[str, Any] = {
        "cohort_id": cohort_id,
        "week_start": week.week_start,
        "before_week": week.week_start - timedelta(weeks=CHANGE_WEEKS),
        "as_of_date": week.as_of_date,
        "due_until": week.as_of_date + timedelta(days=_DUE_DAYS),
        "topics_from": week.week_start - timedelta(weeks=TOPIC_WEEKS - 1),
    }

    def rows(statement: str) -> list[Row]:
        found = connection.execute(text(statement.format(key=key)), parameters)
        return [dict(row) for row in found.mappings()]

    return CohortRecord(cohort_id, name, rows(_STUDENTS), rows(_TOPICS))
