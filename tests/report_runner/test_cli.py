"""The command: exit codes, words, the ledger, and a run that is killed."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from report_runner.cli import main
from tests.conftest import ROOT, Database
from tests.report_runner.marts import STUDENTS, clone_student, fill
from tests.report_runner.running import execute, report_path

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def marts(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    with database.engine.begin() as connection:
        fill(connection)
    monkeypatch.setenv("DATABASE_URL", database.url)
    return database


def test_a_run_ends_with_a_summary_and_a_report_to_open(
    marts: Database, tmp_path: Path, capsys: Capture
) -> None:
    assert main(["weekly", "--out", str(tmp_path)]) == 0
    summary, opened = capsys.readouterr().out.splitlines()
    assert summary.startswith("Reports of 2026-06-08 to 2026-06-14: 10 written, 0 unchanged, 0 f")
    assert opened == f"Open {report_path(tmp_path, 'rich')}"
    (row,) = execute(marts, "select * from ops.pipeline_runs")
    assert (row["step"], row["status"], row["row_count"]) == (
        "generate-weekly-report",
        "succeeded",
        10,
    )
    assert str(row["as_of_date"]) == "2026-06-14"
    assert main(["weekly", "--out", str(tmp_path)]) == 0
    assert "0 written, 10 unchanged, 0 failed" in capsys.readouterr().out


def test_one_student_in_one_language_can_be_asked_for(
    marts: Database, tmp_path: Path, capsys: Capture
) -> None:
    options = ["--student", "poor", "--language", "en", "--week", "2026-06-08"]
    assert main(["weekly", *options, "--out", str(tmp_path)]) == 0
    assert [path.parent.parent.name for path in tmp_path.rglob("*.html")] == ["poor"]
    assert '<html lang="en">' in report_path(tmp_path, "poor").read_text()
    assert capsys.readouterr().out.endswith(f"Open {report_path(tmp_path, 'poor')}\n")


def test_the_students_of_a_class_or_an_organisation_can_be_asked_for(
    marts: Database, tmp_path: Path, capsys: Capture
) -> None:
    execute(
        marts,
        "update analytics.dim_students set classroom_id = 'class-2' where student_id = 'poor'",
    )
    weekly = ["weekly", "--format", "html", "--out", str(tmp_path)]
    assert main([*weekly, "--cohort", "class-2"]) == 0
    assert [path.parent.parent.name for path in tmp_path.rglob("*.html")] == ["poor"]
    assert main([*weekly, "--by", "organisation", "--cohort", "org"]) == 0
    assert len(list(tmp_path.rglob("*.html"))) == len(STUDENTS)
    assert main([*weekly, "--cohort", "class-3"]) == 1
    assert "no weekly KPIs for classroom class-3 in that week" in capsys.readouterr().err


def test_a_reader_who_has_enough_is_no_error(marts: Database, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "report_runner", "missing", "--out", str(tmp_path)]
    out, to_nobody = os.pipe()
    os.close(out)
    env = {**marts.env, "PYTHONUNBUFFERED": ""}
    run = subprocess.run(
        command, cwd=ROOT, env=env, stdout=to_nobody, stderr=subprocess.PIPE, check=False
    )
    os.close(to_nobody)
    assert (run.returncode, b"Broken pipe" in run.stderr) == (1, False), run.stderr


def test_a_failed_report_is_named_and_the_command_exits_with_1(
    marts: Database, tmp_path: Path, capsys: Capture
) -> None:
    execute(
        marts,
        "update analytics.fct_student_weekly_kpis set theta = 'Infinity' "
        "where student_id = 'rich' and week_start = :week",
    )
    assert main(["weekly", "--out", str(tmp_path)]) == 1
    printed = capsys.readouterr()
    assert "failed: student 'rich': ReportDataError: theta is inf" in printed.err
    assert "error: 1 of 5 reports failed; the others are written" in printed.err
    assert "8 written, 0 unchanged, 1 failed" in printed.out
    (row,) = execute(marts, "select * from ops.pipeline_runs")
    assert row["status"] == "failed"
    assert row["error"].startswith("ReportError: 1 of 5 reports failed")
    assert list(row["details"]["failures"]) == ["rich"]


@pytest.mark.parametrize(
    "options",
    [
        ["--week", "2026-06-09"],
        ["--week", "soon"],
        ["--format", "docx"],
        ["--language", "fr"],
        ["--processes", "0"],
    ],
)
def test_wrong_usage_exits_with_2(options: list[str], capsys: Capture) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["weekly", *options])
    assert refused.value.code == 2
    assert options[0] in capsys.readouterr().err


def test_an_unknown_student_is_an_error_and_a_week_without_kpis_is_nothing_to_do(
    marts: Database, tmp_path: Path, capsys: Capture
) -> None:
    assert main(["weekly", "--student", "nobody", "--out", str(tmp_path)]) == 1
    assert "no weekly KPIs for nobody" in capsys.readouterr().err
    assert main(["weekly", "--week", "2020-01-06", "--out", str(tmp_path)]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["weekly", "cohort", "missing"])
def test_without_marts_the_command_says_what_to_run(
    database: Database, monkeypatch: pytest.MonkeyPatch, capsys: Capture, command: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", database.url)
    assert main([command]) == 1
    assert "run `dbt build`" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_ends_the_run(
    marts: Database, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "reports").write_text("in the way")
    assert main(["weekly", "--out", str(tmp_path)]) == 1
    assert "error:" in capsys.readouterr().err
    assert execute(marts, "select * from reports.report_artifacts") == []


@pytest.mark.parametrize("processes", [1, 2])
def test_a_killed_run_leaves_whole_reports_and_the_next_one_writes_the_rest(
    marts: Database, tmp_path: Path, capsys: Capture, processes: int
) -> None:
    with marts.engine.begin() as connection:
        clone_student(connection, "rich", 700)
    total = len(STUDENTS) + 700
    options = ["weekly", "--format", "html", "--out", str(tmp_path)]
    command = [sys.executable, "-m", "report_runner", *options]
    process = subprocess.Popen(
        [*command, "--processes", str(processes)],
        cwd=ROOT,
        env=marts.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not (rows := execute(marts, "select * from reports.report_artifacts")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    # Workers leave with their parent, and the last one closes the pipe; what they had begun is
    # whole or not recorded.
    process.communicate(timeout=60)
    rows = execute(marts, "select * from reports.report_artifacts")
    assert 0 < len(rows) < total
    for row in rows:
        content = (tmp_path / row["object_key"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == row["sha256"]
    assert main(options) == 0
    expected = f"{total - len(rows):,} written, {len(rows):,} unchanged, 0 failed"
    assert expected in capsys.readouterr().out
    assert len(list(tmp_path.rglob("report.html"))) == total
    runs = execute(marts, "select status, error from ops.pipeline_runs order by id")
    assert [run["status"] for run in runs] == ["failed", "succeeded"]
    assert runs[0]["error"].startswith("killed")
