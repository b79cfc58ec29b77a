"""The rows of `report_artifacts`, each written after its object is in the store."""

import json
from collections.abc import Sequence
from datetime import date

from sqlalchemy import Connection, text

from report_runner.records import Artifact, Week

_ARTIFACTS = text(
    """
    select
        student_id, week_start, format, object_key, size_bytes, sha256, content_hash,
        template_version, language, run_id
    from reports.report_artifacts
    where student_id = any(:student_ids) and week_start = :week_start
    """
)

_ARTIFACT = text(
    """
    select
        student_id, week_start, format, object_key, size_bytes, sha256, content_hash,
        template_version, language, run_id
    from reports.report_artifacts
    where student_id = :student_id and week_start = :week_start and format = :format
    """
)

# A report that was asked for and is not recorded: of a student who has KPIs in the week, in a
# format of those named, unless the student's profile names others.
_NOT_RECORDED = """
    from analytics.fct_student_weekly_kpis as weeks
    cross join unnest(cast(:formats as text[])) as formats (format)
    left join reports.report_artifacts as artifacts
        on
            weeks.student_id = artifacts.student_id
            and weeks.week_start = artifacts.week_start
            and formats.format = artifacts.format
    left join analytics.dim_students as students on weeks.student_id = students.student_id
    where
        weeks.week_start = :week_start
        and artifacts.student_id is null
        and (
            coalesce(students.report_formats, '[]') = '[]'
            or jsonb_typeof(students.report_formats) <> 'array'
            or students.report_formats @> to_jsonb(formats.format)
        )
    """
_MISSING = text(f"select weeks.student_id, formats.format {_NOT_RECORDED} order by 1, 2")
_MISSING_COUNT = text(f"select count(*) {_NOT_RECORDED}")

_RECORDED = text(
    """
    select
        student_id, week_start, format, object_key, size_bytes, sha256, content_hash,
        template_version, language, run_id
    from reports.report_artifacts
    where week_start between :first_week and :last_week
    order by week_start, student_id, format
    """
)

_FORGET_ARTIFACTS = text(
    """
    delete from reports.report_artifacts
    where student_id = :student_id and week_start = :week_start and format = :format
    """
)

_SAVE_ARTIFACT = text(
    """
    insert into reports.report_artifacts (
        student_id, week_start, format, object_key, size_bytes, sha256, content_hash,
        template_version, language, run_id, created_at
    )
    select
        student_id, week_start, format, object_key, size_bytes, sha256, content_hash,
        template_version, language, run_id, now()
    from json_to_recordset(cast(:rows as json)) as fresh (
        student_id text, week_start date, format text, object_key text, size_bytes bigint,
        sha256 text, content_hash text, template_version text, language text, run_id text
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


def read_artifacts(
    connection: Connection, week: Week, student_ids: Sequence[str]
) -> dict[tuple[str, str], Artifact]:
    """Return what is stored already, by student and format."""
    parameters = {"student_ids": list(student_ids), "week_start": week.week_start}
    rows = connection.execute(_ARTIFACTS, parameters).mappings()
    return {(row["student_id"], row["format"]): Artifact(**row) for row in rows}


def find_artifact(
    connection: Connection, student_id: str, week_start: date, file_format: str
) -> Artifact | None:
    """Return what is recorded about one report."""
    parameters = {"student_id": student_id, "week_start": week_start, "format": file_format}
    row = connection.execute(_ARTIFACT, parameters).mappings().one_or_none()
    return None if row is None else Artifact(**row)


def read_missing(
    connection: Connection, week: Week, formats: Sequence[str]
) -> list[tuple[str, str]]:
    """Return students with KPIs in the week and formats in which no report is recorded."""
    parameters = {"week_start": week.week_start, "formats": list(formats)}
    return [(row.student_id, row.format) for row in connection.execute(_MISSING, parameters)]


def count_missing(connection: Connection, week: Week, formats: Sequence[str]) -> int:
    """Return how many `read_missing` lists."""
    parameters = {"week_start": week.week_start, "formats": list(formats)}
    return int(connection.execute(_MISSING_COUNT, parameters).scalar_one())


def read_recorded(connection: Connection, first_week: date, last_week: date) -> list[Artifact]:
    """Return what is recorded of these weeks, both included."""
    parameters = {"first_week": first_week, "last_week": last_week}
    rows = connection.execute(_RECORDED, parameters).mappings()
    return [Artifact(**row) for row in rows]


def forget_artifacts(connection: Connection, artifacts: Sequence[Artifact]) -> None:
    """Delete the rows of objects that are no longer in the store."""
    if artifacts:
        keys = ("student_id", "week_start", "format")
        rows = [{key: getattr(artifact, key) for key in keys} for artifact in artifacts]
        connection.execute(_FORGET_ARTIFACTS, rows)


def save_artifacts(connection: Connection, artifacts: Sequence[Artifact]) -> None:
    """Record objects that are in the store; one row per student, week and format."""
    if artifacts:
        rows = json.dumps([vars(artifact) for artifact in artifacts], default=str)
        connection.execute(_SAVE_ARTIFACT, {"rows": rows})


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
