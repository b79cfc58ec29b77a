"""The weekly run on a real database: everybody once, what changed again, nothing twice."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from report_runner import queries
from report_runner.cli import main
from report_runner.weekly import Outcome
from tests.conftest import Database
from tests.report_runner.marts import STUDENTS, WEEK, clone_student, fill
from tests.report_runner.running import execute, read, report_path, run


@pytest.fixture
def marts(database: Database) -> Database:
    with database.engine.begin() as connection:
        fill(connection)
    return database


def test_an_unchanged_week_renders_nothing(marts: Database, tmp_path: Path) -> None:
    run(marts, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.html")}
    rows = execute(marts, "select * from reports.report_artifacts order by student_id")
    assert run(marts, tmp_path) == Outcome(written=0, unchanged=len(STUDENTS))
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.html")} == before
    assert execute(marts, "select * from reports.report_artifacts order by student_id") == rows


@pytest.mark.parametrize(
    "change",
    [
        "update analytics.dim_students set display_name = '김바다' where student_id = 'rich'",
        "update analytics.fct_student_weekly_kpis set engagement = 0.5 "
        "where student_id = 'rich' and week_start = '2026-06-08'",
        "update analytics.fct_goal_probability set target_date = null where student_id = 'rich'",
        "delete from reports.report_artifacts where student_id = 'rich'",
    ],
)
def test_a_change_of_one_student_renders_one_report(
    marts: Database, tmp_path: Path, change: str
) -> None:
    run(marts, tmp_path)
    execute(marts, change)
    assert run(marts, tmp_path) == Outcome(written=1, unchanged=len(STUDENTS) - 1)


def test_a_lost_or_torn_file_is_written_again(marts: Database, tmp_path: Path) -> None:
    run(marts, tmp_path)
    content = report_path(tmp_path, "rich").read_bytes()
    report_path(tmp_path, "rich").write_bytes(b"")
    report_path(tmp_path, "poor").unlink()
    assert run(marts, tmp_path).written == 2
    assert report_path(tmp_path, "rich").read_bytes() == content


def test_a_student_gets_the_formats_of_the_profile(
    marts: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(
        marts,
        "update analytics.dim_students set report_formats = "
        "cast(case student_id when 'rich' then '[\"html\"]' when 'poor' then '[]' end as jsonb)",
    )
    formats = ("html", "pdf")
    written = 2 * len(STUDENTS) - 1
    assert run(marts, tmp_path, formats=formats).written == written
    assert run(marts, tmp_path, formats=formats) == Outcome(unchanged=written)
    assert not report_path(tmp_path, "rich").with_suffix(".pdf").exists()
    assert report_path(tmp_path, "poor").with_suffix(".pdf").exists()
    monkeypatch.setenv("DATABASE_URL", marts.url)
    assert main(["missing", "--out", str(tmp_path)]) == 0


def test_another_language_replaces_the_report(marts: Database, tmp_path: Path) -> None:
    run(marts, tmp_path)
    assert run(marts, tmp_path, languages=("en",)).written == len(STUDENTS) - 1
    assert read(tmp_path, "rich").find("html")[0].attributes["lang"] == "en"
    (count,) = execute(marts, "select count(*) as rows from reports.report_artifacts")
    assert count["rows"] == len(STUDENTS)


def test_one_students_failure_is_recorded_and_the_others_are_finished(
    marts: Database, tmp_path: Path
) -> None:
    execute(
        marts,
        "update analytics.fct_student_weekly_kpis set standard_error = 'NaN' "
        "where student_id = 'poor' and week_start = '2026-06-08'",
    )
    outcome = run(marts, tmp_path)
    assert (outcome.written, list(outcome.failures)) == (len(STUDENTS) - 1, ["poor"])
    assert outcome.failures["poor"].startswith("ReportDataError: standard_error is nan")
    assert not report_path(tmp_path, "poor").exists()
    (row,) = execute(
        marts, "select count(*) as rows from reports.report_artifacts where student_id = 'poor'"
    )
    assert row["rows"] == 0


def test_whatever_stands_in_a_column_comes_back_from_the_database(marts: Database) -> None:
    student_id, name = "a\tb\\N\nc", "\\N \x85\u2028\x1c\t\\t\b\v{}"
    with marts.engine.begin() as connection:
        clone_student(connection, "rich", 1)
        for table in ("dim_students", "fct_student_weekly_kpis", "fct_attempts"):
            student = sa.table(table, sa.column("student_id"), schema="analytics")
            mine = student.c.student_id == "rich-00000"
            connection.execute(student.update().where(mine).values(student_id=student_id))
        connection.execute(
            sa.text("update analytics.dim_students set display_name = :name, grade = ''"),
            {"name": name},
        )
        week = queries.read_week(connection, None)
        assert week is not None
        (inputs,) = queries.read_inputs(connection, week, [student_id])
        (plain,) = queries.read_inputs(connection, week, ["rich"])
    record, like = inputs.record(week), plain.record(week)
    assert (record.profile["display_name"], record.profile["grade"]) == (name, "")
    assert record.profile["report_formats"] is None
    assert (record.weeks, record.activity, record.seen_items) == (
        like.weeks, like.activity, like.seen_items,
    )  # fmt: skip
    assert record.goals == []


def test_several_processes_write_what_one_writes(marts: Database, tmp_path: Path) -> None:
    with marts.engine.begin() as connection:
        clone_student(connection, "rich", 450)
    done: list[int] = []
    outcome = run(marts, tmp_path, processes=2, progress=lambda _outcome, count: done.append(count))
    total = len(STUDENTS) + 450
    assert (outcome.written, done[-1], len(done)) == (total, total, 10)
    contents = {path.read_bytes() for path in tmp_path.glob("reports/rich*/*/report.html")}
    assert len(contents) == 1
    assert run(marts, tmp_path, processes=1) == Outcome(written=0, unchanged=total)


def test_the_running_week_is_reported_only_when_no_week_is_complete(
    marts: Database, tmp_path: Path
) -> None:
    execute(
        marts,
        "update analytics.fct_student_weekly_kpis set is_complete = false, "
        "as_of_date = '2026-06-11' where week_start = '2026-06-08'",
    )
    with marts.engine.connect() as connection:
        week = queries.read_week(connection, None)
        running = queries.read_week(connection, WEEK)
    assert week is not None
    assert str(week.week_start) == "2026-06-01"
    assert running is not None
    assert (running.is_complete, str(running.as_of_date)) == (False, "2026-06-11")
    execute(marts, "delete from analytics.fct_student_weekly_kpis where is_complete")
    assert run(marts, tmp_path).written == len(STUDENTS)
    text = read(tmp_path, "rich").visible_text
    assert "이번 주는 아직 끝나지 않았습니다. 2026년 6월 11일까지의 기록입니다." in text
