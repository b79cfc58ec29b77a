"""An erased student is in no table and no report, and never comes back by what is delivered."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import psycopg
import pytest

from tests.conftest import ROOT, Database, DatabaseFactory
from tests.dbt.every_mart import mart_differences, read_marts
from tests.dbt.sequences import BUILD, copied, forget_builds
from tests.dbt_runner import DbtRunner
from tests.erasure.traces import files_with, tables_with

pytestmark = [pytest.mark.drill, pytest.mark.long]

LAST_DAY = date(2026, 9, 20)
FEW = {"MIRT_MIN_RESPONSES_PER_ITEM": "30"}
# What a command that was told the id, or failed on it, may leave in the ledger.
TALK = """
insert into ops.pipeline_runs (step, status, details, error)
values ('x', 'failed', jsonb_build_object('command', array['--student', %(id)s],
    'failures', jsonb_build_object(%(id)s, 'no KPIs')), 'failed: student ''' || %(id)s || '''');
insert into irt.requested_runs (run_id, status, result)
values ('asked', 'succeeded', jsonb_build_object('abilities', jsonb_build_array(
    jsonb_build_object('user_id', %(id)s, 'theta', 1), jsonb_build_object('user_id', 'other'))));
insert into irt.person_fit (run_id, user_id, lz_star, n_responses)
select run_id, %(id)s, -3, 20 from irt.mirt_fit_meta limit 1 on conflict do nothing
"""


@dataclass
class Academy:
    """A school that has lived through a week of the schedule, and the student who leaves."""

    database: Database
    folder: Path
    student_id: str = ""
    name: str = ""

    def run(self, module: str, *arguments: str) -> str:
        """Run a command of the product, and return what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env={**self.database.env, **FEW, "REPORTS_DIR": str(self.folder)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def execute(self, statement: str, **parameters: object) -> None:
        """Run statements that may hold parameters."""
        # Parameters become literals, whose types the server makes out by itself.
        with psycopg.connect(self.database.url, cursor_factory=psycopg.ClientCursor) as connection:
            for one in statement.split(";"):
                if one.strip():
                    connection.execute(one.encode(), parameters)

    def traces(self) -> list[str]:
        """Where the student's id or name is still to be found."""
        return [
            f"{found} ({text})"
            for text in (self.student_id, self.name)
            for found in (
                *tables_with(self.database.url, text),
                *files_with(self.folder, text),
            )
        ]


@pytest.fixture(scope="module")
def academy(
    new_database: DatabaseFactory, run_dbt: DbtRunner, tmp_path_factory: pytest.TempPathFactory
) -> Academy:
    """A school with marts, a published run, abilities, reports, a ledger; one erased student."""
    database = new_database()
    school = Academy(database, tmp_path_factory.mktemp("reports"))
    sample = tmp_path_factory.mktemp("sample")
    school.run(
        "warehouse", "sample", "--students", "120", "--items", "30", "--days", "40",
        "--until", LAST_DAY.isoformat(), "--seed", "5", "--out", str(sample), "--load",
    )  # fmt: skip
    _build(school, run_dbt, LAST_DAY, "--full-refresh")
    school.run("irt_service", "calibrate", "--model", "Rasch")
    school.run("irt_service", "score")
    _build(school, run_dbt, LAST_DAY, "--select", "source:irt+")
    with psycopg.connect(database.url) as connection:
        candidates = connection.execute(
            """
            select weeks.student_id, students.display_name
            from analytics.fct_student_weekly_kpis as weeks
            inner join analytics.dim_students as students on weeks.student_id = students.student_id
            inner join analytics.fct_attempts as attempts on weeks.student_id = attempts.student_id
            where
                students.display_name in (
                    select display_name from analytics.dim_students group by 1 having count(*) = 1
                )
                and students.report_formats @> '["pdf"]'
                and weeks.week_start = (
                    select max(week_start) from analytics.fct_student_weekly_kpis where is_complete
                )
            group by 1, 2
            order by count(*) desc
            """
        ).fetchall()
    school.run("report_runner", "weekly", "--format", "html")
    school.run("report_runner", "cohort", "--format", "html")
    # Somebody whom a tutor's report names.
    school.student_id, school.name = next(
        (student_id, name)
        for student_id, name in candidates
        if files_with(school.folder / "cohorts", name)
    )
    school.run("report_runner", "weekly", "--format", "pdf", "--student", school.student_id)
    school.execute(TALK, id=school.student_id)
    before = school.traces()
    for place in (
        "analytics.fct_attempts", "analytics.goal_history", "analytics_state.fct_sessions",
        "irt.mirt_ability", "irt.deliveries", "irt.requested_runs", "irt.person_fit",
        "ops.pipeline_runs", "reports.report_artifacts", "cohorts/classroom", ".pdf",
    ):  # fmt: skip
        assert [trace for trace in before if place in trace], (place, before)
    school.run("warehouse", "erase", school.student_id, "--reason", "asked for")
    return school


def _build(school: Academy, run_dbt: DbtRunner, day: date, *options: str) -> None:
    run_dbt(*BUILD, *options, database=school.database, vars={"as_of_date": day})


def test_at_once_no_table_and_no_file_holds_the_student(academy: Academy) -> None:
    assert academy.traces() == []


def test_nothing_brings_the_student_back(
    academy: Academy, run_dbt: DbtRunner, new_database: DatabaseFactory
) -> None:
    academy.execute(
        """
        insert into exam.exam_results (session_id, user_id, status, result_json, org_id)
        select 'came-later', user_id, status, result_json, org_id
        from exam.exam_results where user_id = %(id)s limit 1;
        update exam.exam_results set updated_at = now() where user_id = %(id)s
        """,
        id=academy.student_id,
    )
    academy.run("irt_service", "worker", "--once")
    academy.run("irt_service", "score", "--history")
    assert academy.traces() == []

    academy.run("irt_service", "calibrate", "--model", "Rasch", "--force")
    _build(academy, run_dbt, LAST_DAY + timedelta(days=1))
    academy.run("report_runner", "weekly", "--format", "html")
    academy.run("report_runner", "cohort", "--format", "html")
    assert academy.traces() == []
    assert list(academy.folder.glob("cohorts/*/*/*/report.html")) != []

    built = read_marts(academy.database.url)
    copy = copied(academy.database, new_database)
    forget_builds(copy)
    full = Academy(copy, academy.folder, academy.student_id, academy.name)
    _build(full, run_dbt, LAST_DAY + timedelta(days=1), "--full-refresh")
    assert mart_differences(built, read_marts(copy.url)) == []
    assert full.traces() == []
