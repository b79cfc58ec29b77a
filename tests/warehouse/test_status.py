"""Status and metrics: what failed, what is stale, what waits, as the ledger has it."""

import json
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import ROOT, Database
from tests.warehouse.waiting import wait_until
from warehouse.cli import main
from warehouse.ledger import INVOCATION_ENVIRONMENT, step
from warehouse.status import StepStatus, read_status

NOW = datetime(2026, 3, 10, 6, 0, tzinfo=UTC)
DAILY, WEEKLY = "compute-daily-kpis", "prepare-calibration"


@pytest.fixture
def here(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """The test's database, as the one that commands use."""
    monkeypatch.setenv("DATABASE_URL", database.url)
    return database


def _ran(database: Database, name: str, ended_at: datetime, status: str = "succeeded") -> None:
    with database.engine.begin() as connection:
        connection.execute(
            sa.text(
                """
                insert into ops.pipeline_runs
                    (step, status, started_at, ended_at, as_of_date, row_count, error, details)
                values (:step, :status, :started_at, :ended_at, :day, 1234567, :error, :details)
                """
            ),
            {
                "step": name,
                "status": status,
                "started_at": ended_at - timedelta(seconds=312),
                "ended_at": ended_at,
                "day": ended_at.date() - timedelta(days=1),
                "error": None if status == "succeeded" else "CommandFailedError: dbt ended with 1",
                "details": json.dumps({"failures": ["model.x: no"] if status == "failed" else []}),
            },
        )


def _status(database: Database, now: datetime = NOW) -> dict[str, StepStatus]:
    with database.engine.connect() as connection:
        return {status.step: status for status in read_status(connection, now)}


def test_a_step_is_stale_a_day_and_its_deadline_and_an_hour_after_its_success(
    database: Database,
) -> None:
    allowed = timedelta(hours=24 + 2 + 1)
    _ran(database, DAILY, NOW - allowed)
    assert _status(database)[DAILY].stale_since is None
    late = _status(database, NOW + timedelta(seconds=1))[DAILY]
    assert late.stale_since == NOW
    assert late.is_bad


def test_a_step_that_never_ran_is_stale_once_it_is_due(database: Database) -> None:
    assert _status(database) == {}
    _ran(database, DAILY, NOW)
    found = _status(database)
    assert found[WEEKLY].status == "never"
    assert not found[WEEKLY].is_bad
    assert next(iter(found)) == DAILY
    assert _status(database, NOW + timedelta(days=8))[WEEKLY].is_bad


def test_by_hand_nothing_is_stale(database: Database) -> None:
    # `make run` runs steps of these names, and promises no other night.
    _ran(database, "irt-calibrate", NOW - timedelta(days=90))
    _ran(database, "dbt-build", NOW - timedelta(days=90))
    assert [status.is_bad for status in _status(database).values()] == [False, False]


def test_a_failure_after_a_success_is_bad_and_leaves_the_success_known(database: Database) -> None:
    _ran(database, DAILY, NOW - timedelta(hours=20))
    _ran(database, DAILY, NOW - timedelta(hours=1), status="failed")
    found = _status(database)[DAILY]
    assert (found.status, found.is_bad, found.stale_since) == ("failed", True, None)
    assert found.succeeded_at == NOW - timedelta(hours=20)


def test_the_night_at_a_glance(here: Database, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status"]) == 0
    assert "nothing has run yet" in capsys.readouterr().out
    now = datetime.now(UTC)
    _ran(here, "load", now - timedelta(days=60))
    _ran(here, DAILY, now - timedelta(hours=2))
    assert main(["status"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert " ".join(lines[1].split()) == "step as of ended (UTC) took rows status tries"
    assert lines[2].split()[0] == DAILY
    assert "5 min 12" in lines[2]
    assert "1,234,567  succeeded" in lines[2]
    assert lines[-1].startswith("load ")
    _ran(here, DAILY, now, status="failed")
    assert main(["status"]) == 1
    printed = capsys.readouterr()
    assert "    model.x: no\n" in printed.out
    assert printed.err == f"error: failed: {DAILY}\n"
    assert main(["status", "--json"]) == 1
    [entry] = [entry for entry in json.loads(capsys.readouterr().out) if entry["step"] == DAILY]
    assert (entry["status"], entry["failures"], entry["is_bad"]) == (
        "failed",
        ["model.x: no"],
        True,
    )


def test_tries_of_one_job_are_counted(here: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    for job, tries in (("night-1", 1), ("night-2", 3)):
        monkeypatch.setenv(INVOCATION_ENVIRONMENT, job)
        for _ in range(tries):
            with step(here.engine, DAILY):
                pass
        assert _status(here)[DAILY].tries == tries


def test_who_is_waited_for_is_named(here: Database, capsys: pytest.CaptureFixture[str]) -> None:
    with step(here.engine, "other", lock="dbt") as other:
        waiting = subprocess.Popen(
            [sys.executable, "-m", "warehouse", "dbt", DAILY, "--wait-seconds", "600"],
            cwd=ROOT,
            env=here.env,
        )
        wait_until(lambda: DAILY in _status(here) and _status(here)[DAILY].status == "waiting")
        capsys.readouterr()
        assert main(["status"]) == 0
        held = f"    waits for lock 'dbt', held by run {other.run_id} of other (process "
        assert held in capsys.readouterr().out
        waiting.terminate()
        assert waiting.wait() == 143
    assert _status(here)[DAILY].waits_for is None


def _values(text: str) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_are_those_of_the_ledger_and_of_the_marts(
    here: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    _ran(here, DAILY, now - timedelta(hours=40))
    _ran(here, DAILY, now - timedelta(hours=1), status="failed")
    with here.engine.begin() as connection:
        for statement in CONTENTS:
            connection.execute(sa.text(statement))
    assert main(["metrics"]) == 0
    values = _values(capsys.readouterr().out)
    expected = {
        ("seedtest_ledger_up",): 1,
        ("seedtest_step_last_success_timestamp_seconds", DAILY): now.timestamp() - 40 * 3600,
        ("seedtest_step_last_end_timestamp_seconds", DAILY): now.timestamp() - 3600,
        ("seedtest_step_last_succeeded", DAILY): 0,
        ("seedtest_step_running", DAILY): 0,
        ("seedtest_step_last_rows", DAILY): 1234567,
        ("seedtest_step_last_duration_seconds", DAILY): 312,
        ("seedtest_step_max_age_seconds", DAILY): 27 * 3600,
        ("seedtest_step_stale", DAILY): 1,
        ("seedtest_step_stale", WEEKLY): 0,
        ("seedtest_mart_last_date_timestamp_seconds", "fct_attempts"): 1772323200,
        ("seedtest_calibration_last_rejected", "all"): 1,
        ("seedtest_calibration_last_rejected", "topic:x"): 0,
        ("seedtest_items_drifted_severely", "all"): 1,
        ("seedtest_items_drifted_severely", "topic:x"): 0,
        ("seedtest_reports_missing",): 2,
        ("seedtest_deliveries_waiting",): 2,
        ("seedtest_deliveries_parked",): 1,
    }
    assert {name: values.get(name) for name in expected} == expected
    assert ("seedtest_step_last_success_timestamp_seconds", WEEKLY) not in values


CONTENTS = [
    "insert into ops.model_builds (model, as_of_date) values ('fct_attempts', '2026-03-01')",
    """
    insert into irt.mirt_fit_meta (run_id, bank, model, engine, status, started_at) values
        ('r1', 'all', '2PL', 'native', 'accepted', '2026-02-01'),
        ('r2', 'all', '2PL', 'native', 'rejected', '2026-03-01'),
        ('r3', 'all', '2PL', 'native', 'running', '2026-03-02'),
        ('r4', 'topic:x', '2PL', 'native', 'accepted', '2026-03-02')
    """,
    """
    insert into irt.item_drift
        (run_id, comparison, item_id, compared_run_id, n_common, severity) values
        ('r1', 'previous', 'i1', 'r1', 9, 'severe'), ('r1', 'baseline', 'i1', 'r1', 9, 'severe'),
        ('r1', 'previous', 'i2', 'r1', 9, 'moderate'), ('r2', 'previous', 'i3', 'r1', 9, 'severe')
    """,
    "create table analytics.fct_student_weekly_kpis "
    "(student_id text, week_start date, as_of_date date, is_complete boolean)",
    """
    insert into analytics.fct_student_weekly_kpis values
        ('a', '2026-03-02', '2026-03-08', true), ('b', '2026-03-02', '2026-03-08', true),
        ('c', '2026-02-23', '2026-03-01', true), ('a', '2026-03-09', '2026-03-10', false),
        ('b', '2026-03-09', '2026-03-10', false)
    """,
    # One report of two is there of a; b gets pages alone, and there is none.
    "create table analytics.dim_students (student_id text, report_formats jsonb)",
    """insert into analytics.dim_students values ('a', null), ('b', '["html"]')""",
    """
    insert into reports.report_artifacts (student_id, week_start, format, object_key, size_bytes,
        sha256, content_hash, template_version, language)
    values ('a', '2026-03-02', 'html', 'k', 1, '', '', '1', 'ko')
    """,
    """
    insert into exam.exam_results (session_id, status, created_at, updated_at)
    select 's' || n, 'ready', now(), now() from generate_series(1, 3) as n
    """,
    """
    insert into irt.deliveries
        (session_id, result_version, result_updated_at, status, tries, reason)
    select session_id, xmin::text, updated_at, 'parked', 3, 'no such luck: ' || session_id
    from exam.exam_results
    where session_id = 's1'
    """,
]


@pytest.fixture
def exporter(database: Database) -> Iterator[tuple[Database, str]]:
    """`metrics --serve` as a login that may only read, and its address."""
    login = f"m_{database.name}"
    with database.engine.begin() as connection:
        connection.execute(sa.text(f"create role {login} login in role seedtest_analyst"))
    url = database.engine.url.set(username=login, drivername="postgresql")
    process = subprocess.Popen(
        [sys.executable, "-m", "warehouse", "metrics", "--serve", "0"],
        cwd=ROOT,
        env={**database.env, "DATABASE_URL": url.render_as_string(hide_password=False)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said = process.stderr.readline()
    assert said.startswith("metrics on http://localhost:"), said
    yield database, said.split()[2]
    process.terminate()
    assert process.wait(60) == 0
    with database.engine.begin() as connection:
        connection.execute(sa.text(f"drop role {login}"))


def _scrape(address: str) -> dict[tuple[str, ...], float]:
    with urllib.request.urlopen(address) as answer:  # noqa: S310 - our own process
        return _values(answer.read().decode())


def test_a_reader_may_serve_them_and_says_when_the_database_is_away(
    exporter: tuple[Database, str],
) -> None:
    database, address = exporter
    with step(database.engine, DAILY) as run:
        run.row_count = 5
        found = _scrape(address)
        assert found[("seedtest_step_running", DAILY)] == 1
        assert found[("seedtest_deliveries_waiting",)] == 0
    assert _scrape(address)[("seedtest_step_last_rows", DAILY)] == 5
    name = database.name
    server = sa.create_engine(
        database.engine.url.set(database="postgres"), isolation_level="AUTOCOMMIT"
    )
    with server.connect() as connection:
        connection.execute(sa.text(f'alter database "{name}" with allow_connections false'))
        try:
            away = _scrape(address)
        finally:
            connection.execute(sa.text(f'alter database "{name}" with allow_connections true'))
    assert away[("seedtest_ledger_up",)] == 0
    assert ("seedtest_step_last_rows", DAILY) not in away
    wait_until(lambda: _scrape(address)[("seedtest_ledger_up",)] == 1)


def test_a_port_that_cannot_be_had_is_named() -> None:
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        for asked in (port, 65536):
            done = subprocess.run(
                [sys.executable, "-m", "warehouse", "metrics", "--serve", str(asked)],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 1
            assert done.stderr.startswith(f"error: cannot listen on port {asked}: ")
