"""From the runbook to a scheduled pipeline on one machine, each program under its own login."""

from __future__ import annotations

import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import psycopg
import pytest

from tests.conftest import ROOT, DatabaseFactory
from tests.dbt.every_mart import mart_differences, read_marts
from tests.erasure.traces import files_with, tables_with
from tests.ops.one_machine import Machine
from tests.ops.units import read_unit
from tests.ports import free_port
from warehouse.schedule import JOBS

pytestmark = [pytest.mark.drill, pytest.mark.long]

# What a restored database has as it was: row versions are others.
RESTORED = ("fct_student_daily_kpis", "fct_goal_probability", "fct_item_statistics", "goal_history")


@pytest.fixture(scope="module")
def machine(
    new_database: DatabaseFactory, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    """A machine with logins and a sample school, on which every timer has run once."""
    installed = Machine(new_database(empty=True), tmp_path_factory.mktemp("machine"))
    installed.make_logins()
    installed.run(
        "owner", "-m", "warehouse", "sample", "--load", "--students", "150", "--items", "30",
        "--days", "40", "--seed", "5", "--out", str(installed.folder / "sample"),
    )  # fmt: skip
    for job in JOBS:
        units = installed.start_timer(f"seedtest-{job.name}.timer")
        assert len(units) == len(job.steps)
    yield installed
    installed.drop_logins()


def test_every_step_has_succeeded_under_the_login_of_its_role(machine: Machine) -> None:
    with psycopg.connect(machine.database.url) as connection:
        found = dict(connection.execute("select step, status from ops.pipeline_runs").fetchall())
        owners = connection.execute(
            "select distinct tableowner from pg_tables where schemaname like 'analytics%'"
        ).fetchall()
    assert {step.name: found.get(step.name) for job in JOBS for step in job.steps} == {
        step.name: "succeeded" for job in JOBS for step in job.steps
    }
    assert owners == [("seedtest_analytics_writer",)]
    assert list((machine.folder / "reports").glob("reports/*/*/report.html")) != []


def test_whoever_watches_sees_the_night_and_may_change_nothing(machine: Machine) -> None:
    told = machine.run("metrics", "-m", "warehouse", "status")
    assert "compute-daily-kpis" in told
    for statement in (
        "delete from ops.pipeline_runs",
        "select result_json from exam.exam_results",
        "select * from ops.erased_students",
        "select * from irt.person_fit",
    ):
        with (
            psycopg.connect(machine.url("metrics")) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute(statement.encode())


@pytest.mark.parametrize(
    ("login", "statement"),
    [
        ("dbt", "delete from irt.mirt_ability"),
        ("dbt", "update exam.exam_results set status = 'failed'"),
        ("dbt", "delete from ops.erased_students"),
        ("irt", "delete from irt.mirt_ability"),
        ("irt", "delete from analytics.fct_attempts"),
        ("irt", "select result_json from exam.exam_results"),
        ("reports", "delete from irt.publications"),
        ("reports", "select * from exam.student_profile"),
        ("reports", "create table reports.more (x int)"),
    ],
)
def test_no_login_may_do_what_is_another_ones(machine: Machine, login: str, statement: str) -> None:
    with (
        psycopg.connect(machine.url(login)) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement.encode())


@pytest.mark.parametrize(
    ("unit", "path", "expected"),
    [("irt", "/readyz", "200"), ("exporter", "/metrics", "seedtest_step_last_succeeded")],
)
def test_what_stays_up_answers_and_ends_when_told(
    machine: Machine, unit: str, path: str, expected: str
) -> None:
    if unit == "irt":
        machine.run("irt", "-m", "irt_service", "token", "create", "--label", "exam-app")
    port = free_port()
    found = read_unit(f"seedtest-{unit}.service")
    command = [
        str(port) if part in ("8000", "9464") else part for part in machine.here(found.commands[-1])
    ]
    process = _popen(machine, found.login, command)
    answer = ""
    while expected not in answer:
        assert process.poll() is None
        answer = _get(f"http://127.0.0.1:{port}{path}")
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert process.wait() in (0, -signal.SIGTERM)


def test_a_worker_scores_what_arrives_and_ends_when_told(machine: Machine) -> None:
    found = read_unit("seedtest-worker.service")
    process = _popen(machine, found.login, machine.here(found.commands[-1]))
    with psycopg.connect(machine.database.url, autocommit=True) as connection:
        connection.execute(
            "insert into exam.exam_results (session_id, user_id, status, result_json)"
            " select 'arrives-now', user_id, status, result_json from exam.exam_results"
            " where status = 'ready' and user_id is not null limit 1"
        )
        while not connection.execute(
            "select from irt.deliveries where session_id = 'arrives-now'"
        ).fetchall():
            assert process.poll() is None
            time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 0


def test_the_owner_erases_and_retains(machine: Machine) -> None:
    with psycopg.connect(machine.database.url) as connection:
        row = connection.execute(
            "select student_id from reports.report_artifacts order by 1 limit 1"
        ).fetchone()
    assert row is not None
    machine.run("owner", "-m", "warehouse", "erase", row[0])
    assert tables_with(machine.database.url, row[0]) == []
    assert files_with(machine.folder / "reports", row[0]) == []
    machine.start("seedtest-retain.service")


def test_the_commands_for_a_newcomer_run(machine: Machine) -> None:
    machine.run_blocks("Install on one machine")


def test_what_was_backed_up_is_there_again(machine: Machine, new_database: DatabaseFactory) -> None:
    # The application's own backup, of its own schema.
    restored = new_database(empty=True)
    plain = machine.folder / "exam.sql"
    with plain.open("w") as out:
        subprocess.run(
            ["pg_dump", "--schema=exam", "--no-owner", "--no-privileges", machine.database.url],
            env=machine.env(""), stdout=out, check=True,
        )  # fmt: skip
    subprocess.run(
        ["psql", "--quiet", "--set=ON_ERROR_STOP=1", f"--file={plain}", restored.url],
        env=machine.env(""), stdout=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    # A build of the present state, with which the restored one is compared.
    machine.run("irt", "-m", "irt_service", "score")
    machine.run_command("dbt", ["dbt", "build", "--exclude-resource-type", "test", "unit_test"])
    machine.run_blocks("Backup and restore", PGURL=machine.database.url, NEW_PGURL=restored.url)
    before, after = read_marts(machine.database.url), read_marts(restored.url)
    assert (
        mart_differences(
            {name: after[name] for name in RESTORED}, {name: before[name] for name in RESTORED}
        )
        == []
    )
    count = "select count(*), max(id) from irt.mirt_ability"
    with psycopg.connect(machine.database.url) as one, psycopg.connect(restored.url) as other:
        assert one.execute(count).fetchall() == other.execute(count).fetchall()


def _popen(machine: Machine, login: str, command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=machine.env(machine.url(login)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _get(url: str) -> str:
    try:
        with urllib.request.urlopen(url) as response:  # noqa: S310 - our own address
            return f"{response.status} {response.read().decode()}"
    except (urllib.error.URLError, ConnectionError):
        return ""
