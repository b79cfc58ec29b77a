"""The commands: what they print, and that their exit codes are true."""

import signal
import subprocess
import sys
import time
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.conftest import ROOT, Database, DatabaseFactory
from warehouse.cli import main
from warehouse.overview import as_of_date
from warehouse.status import read_status


@pytest.fixture
def here(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """The test's database, as the one that commands use."""
    monkeypatch.setenv("DATABASE_URL", database.url)
    return database


def _write(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


GOOD = '{"session_id": "s", "status": "ready", "created_at": "2026-03-01T00:00:00Z"}'


def test_rejected_lines_fail_the_load_unless_they_are_allowed(
    here: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _write(tmp_path / "x.jsonl", GOOD, "{")
    command = ["load", str(path), "--rejects", str(tmp_path / "rejects")]
    assert main(command) == 1
    printed = capsys.readouterr()
    assert "2 lines" in printed.out
    assert "1 new, 0 changed, 0 unchanged, 0 superseded, 1 rejected" in printed.out
    assert str(tmp_path / "rejects") in printed.err
    assert main([*command, "--allow-rejects"]) == 0
    with here.engine.connect() as connection:
        runs = read_status(connection)
    assert [(run.step, run.status, run.row_count) for run in runs] == [("load", "succeeded", 1)]


def test_wrong_usage_is_two_and_failure_is_one(here: Database, tmp_path: Path) -> None:
    assert main([]) == 2
    assert main(["load", str(tmp_path / "none")]) == 2
    assert main(["load", str(_write(tmp_path / "x", GOOD)), "--table", "pg_class"]) == 2
    assert main(["step", "x"]) == 2
    assert main(["load", str(_write(tmp_path / "x", GOOD))]) == 0
    with here.engine.begin() as connection:
        connection.execute(sa.text("drop table exam.exam_results"))
    assert main(["load", str(tmp_path / "x")]) == 1


def test_a_database_without_our_schema_is_refused_with_what_to_do(
    here: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["migrate", "--down", "--with-exam"]) == 0
    assert main(["status"]) == 1
    assert "run python -m warehouse migrate" in capsys.readouterr().err
    assert main(["migrate"]) == 0
    assert main(["status"]) == 0


def test_a_step_passes_its_commands_exit_code_on(
    here: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["step", "night", "--lock", "dbt", "--", "sh", "-c", "exit 7"]) == 7
    assert main(["status"]) == 1
    assert "error: failed: night" in capsys.readouterr().err
    assert main(["step", "night", "--as-of-date", "2026-03-01", "--", "true"]) == 0
    assert main(["status"]) == 0
    assert "2026-03-01" in capsys.readouterr().out
    assert main(["step", "night", "--", "no-such-command"]) == 127
    assert main(["step", "night", "--", "sh", "-c", "kill -9 $$"]) == 137


def test_a_steps_command_dies_with_it(here: Database, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    script = f"echo $$ > {note}; exec sleep 60"
    process = subprocess.Popen(
        [sys.executable, "-m", "warehouse", "step", "night", "--", "sh", "-c", script],
        cwd=ROOT,
        env=here.env,
    )
    deadline = time.monotonic() + 60
    while not (note.exists() and note.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    child = int(note.read_text())
    while _is_running(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _is_running(child)


def _is_running(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def _result(connection: sa.Connection, session: str, created_at: str) -> None:
    connection.execute(
        sa.text(
            "insert into exam.exam_results (session_id, status, created_at) "
            "values (:session, 'ready', :created_at)"
        ),
        {"session": session, "created_at": created_at},
    )


def test_as_of_is_the_later_of_the_data_and_the_last_build(database: Database) -> None:
    now = datetime(2026, 3, 10, 16, 0, tzinfo=UTC)  # already the 11th in Seoul
    engine = database.engine
    assert as_of_date(engine, "Asia/Seoul", now) == date(2026, 3, 10)
    assert as_of_date(engine, "UTC", now) == date(2026, 3, 9)
    with engine.begin() as connection:
        _result(connection, "a", "2026-03-01T15:00:00Z")
    assert as_of_date(engine, "Asia/Seoul", now) == date(2026, 3, 2)
    with engine.begin() as connection:
        _result(connection, "b", "2026-03-10T15:30:00Z")
    assert as_of_date(engine, "Asia/Seoul", now) == date(2026, 3, 10)
    with engine.begin() as connection:
        connection.execute(
            sa.text("insert into ops.model_builds (model, as_of_date) values ('m', '2026-03-12')")
        )
    assert as_of_date(engine, "Asia/Seoul", now) == date(2026, 3, 12)


def test_the_sample_is_loaded_once(
    here: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    size = ["--students", "20", "--items", "30", "--days", "20", "--out", str(tmp_path / "sample")]
    assert main(["sample", "--load-if-new", *size]) == 0
    with here.engine.connect() as connection:
        counts = connection.execute(
            sa.text("select (select count(*) from exam.exam_results), count(*) from exam.question")
        ).one()
    assert counts[0] > 20
    assert counts[1] == 30
    capsys.readouterr()
    assert main(["sample", "--load-if-new", *size]) == 0
    assert "no sample loaded" in capsys.readouterr().out


def test_no_sample_goes_into_an_applications_own_tables(
    new_database: DatabaseFactory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    own = new_database(empty=True)
    with own.engine.begin() as connection:
        connection.execute(sa.text("create schema exam"))
        connection.execute(sa.text("create table exam.exam_results (session_id text)"))
    monkeypatch.setenv("DATABASE_URL", own.url)
    assert main(["migrate", "--with-exam"]) == 0
    size = ["--students", "20", "--items", "30", "--days", "20", "--out", str(tmp_path / "sample")]
    capsys.readouterr()
    assert main(["sample", "--load-if-new", *size]) == 0
    assert "an application's own" in capsys.readouterr().out
    assert main(["sample", "--load", *size]) == 1
    with own.engine.connect() as connection:
        assert connection.execute(sa.text("select count(*) from exam.exam_results")).scalar() == 0


def test_the_summary_names_what_is_there(
    here: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    with here.engine.begin() as connection:
        _result(connection, "a", "2026-03-01T15:00:00Z")
    assert main(["summary"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["exam.exam_results", "1"] in lines
    assert ["analytics.fct_attempts", "not", "built"] in lines
    assert ["calibration", "none", "in", "force"] in lines


def test_url_is_what_was_given_in_sqlalchemys_spelling(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://u:p%40s@h:1/d")
    assert main(["url"]) == 0
    assert capsys.readouterr().out == "postgresql+psycopg://u:p%40s@h:1/d\n"
    assert main(["env"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "export PGHOST=h",
        "export PGPORT=1",
        "export PGUSER=u",
        "export PGPASSWORD=p@s",
        "export PGDATABASE=d",
    ]
    monkeypatch.setenv("DATABASE_URL", "mysql://u:p@h/d")
    assert main(["url"]) == 1
