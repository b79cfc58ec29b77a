"""The whole pipeline on real responses, called step by step as `make run DATA=…` does."""

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.conftest import Database
from tests.dbt_runner import DbtRunner
from tests.pipeline.checkout import ROOT

RESPONSES = ROOT.parent / "shared" / "data" / "assist2009.jsonl.gz"
AS_OF = "2026-10-14"

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        not RESPONSES.is_file(), reason="the real responses are not beside this checkout"
    ),
]


def _call(database: Database, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env=database.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_real_responses_become_attempts_abilities_and_a_report(
    database: Database, run_dbt: DbtRunner, tmp_path: Path
) -> None:
    _call(database, "warehouse", "load", str(RESPONSES))
    build = ["build", "--exclude-resource-type", "unit_test"]
    run_dbt(*build, database=database, vars={"as_of_date": AS_OF})
    _call(database, "irt_service", "calibrate", "--as-of", AS_OF)
    run_dbt(*build, "--select", "source:irt+", database=database, vars={"as_of_date": AS_OF})
    with psycopg.connect(database.url) as connection:

        def one(query: str) -> tuple[object, ...]:
            row = connection.execute(query.encode()).fetchone()
            assert row is not None
            return row

        attempts, students = one(
            "select count(*), count(distinct student_id) from analytics.fct_attempts"
        )
        (rejected,) = one("select count(*) from analytics.fct_rejected_questions")
        assert (attempts, rejected, students) == (325_637, 0, 4_151)

        (calibrated,) = one("select count(*) from irt.current_item_params")
        set_aside, without_reason = one(
            "select count(*), count(*) filter (where reason is null) from irt.excluded_items"
        )
        assert calibrated + set_aside == 110
        assert calibrated >= 50
        assert without_reason == 0

        first, last, with_theta = one(
            "select min(kpi_date)::text, max(kpi_date)::text, count(theta) "
            "from analytics.fct_student_daily_kpis where theta is not null"
        )
        assert first < "2026-05-01" < last == AS_OF
        assert with_theta > 10_000

        (student,) = one(
            "select student_id from analytics.fct_student_weekly_kpis "
            "where is_complete order by week_start desc, student_id limit 1"
        )
    _call(database, "report_runner", "weekly", "--student", str(student), "--out", str(tmp_path))
    (report,) = tmp_path.rglob("report.html")
    page = report.read_text(encoding="utf-8")
    assert page.count("<h1") == 1
    assert str(student) in page
