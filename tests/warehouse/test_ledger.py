"""Every run leaves a true row, and a lock is held by whoever is alive."""

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import date

import pytest
import sqlalchemy as sa

from tests.conftest import ROOT, Database
from tests.warehouse.waiting import wait_until
from warehouse.errors import LockHeldError
from warehouse.ledger import step
from warehouse.status import read_status

HOLD = """
import sys, time
from warehouse.database import create_engine
from warehouse.ledger import step
with step(create_engine(), "night", lock="dbt"):
    print("in", flush=True)
    time.sleep(60)
"""


def _rows(database: Database) -> list[sa.RowMapping]:
    with database.engine.connect() as connection:
        statement = sa.text("select * from ops.pipeline_runs order by id")
        return list(connection.execute(statement).mappings())


def _last_status(database: Database) -> str:
    with database.engine.connect() as connection:
        return read_status(connection)[-1].status


def _holder(database: Database) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD], cwd=ROOT, env=database.env, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "in\n"
    return process


def test_a_run_that_ends_well_says_what_it_did(database: Database) -> None:
    with step(database.engine, "irt-calibrate", lock="irt") as run:
        assert _rows(database)[0]["status"] == "running"
        run.row_count = 7
        run.details["note"] = float("nan")
    [row] = _rows(database)
    assert (row["step"], row["status"], row["row_count"]) == ("irt-calibrate", "succeeded", 7)
    assert row["details"]["note"] == "nan"
    assert row["ended_at"] >= row["started_at"]
    assert row["pid"] == os.getpid()
    assert set(row["versions"]) == {"python", "postgresql", "seedtest-analytics"}


def test_a_run_that_raises_is_failed_and_raises(database: Database) -> None:
    with pytest.raises(ValueError, match="no \0 luck"), step(database.engine, "x"):
        raise ValueError("no \0 luck")
    [row] = _rows(database)
    assert (row["status"], row["error"]) == ("failed", "ValueError: no \\0 luck")


def test_a_held_lock_is_refused_and_its_holder_named(database: Database) -> None:
    with step(database.engine, "first", lock="dbt") as run:
        with (
            pytest.raises(
                LockHeldError, match=rf"run {run.run_id} of first \(process {os.getpid()}"
            ),
            step(database.engine, "second", lock="dbt"),
        ):
            pytest.fail("two held one lock")
        with step(database.engine, "other", lock="irt"):
            pass
    with step(database.engine, "second", lock="dbt"):
        pass
    assert [row["status"] for row in _rows(database)] == ["succeeded"] * 3


def test_a_session_that_is_no_step_is_named_too(database: Database) -> None:
    with database.engine.connect() as connection:
        connection.execute(sa.text("select pg_advisory_lock(hashtextextended('seedtest:dbt', 0))"))
        with (
            pytest.raises(
                LockHeldError, match=r"held by database session \d+ \(seedtest-analytics\)"
            ),
            step(database.engine, "second", lock="dbt"),
        ):
            pytest.fail("two held one lock")


def test_waiting_for_a_lock_runs_one_after_the_other(database: Database) -> None:
    order: list[str] = []

    def second() -> None:
        with step(database.engine, "second", lock="dbt", wait=True):
            order.append("second")

    with step(database.engine, "first", lock="dbt"):
        waiting = threading.Thread(target=second)
        waiting.start()
        wait_until(lambda: bool(_waiting(database)))
        order.append("first")
    waiting.join()
    assert order == ["first", "second"]


def test_a_killed_run_is_seen_at_once_and_recorded_by_the_next(database: Database) -> None:
    process = _holder(database)
    assert _last_status(database) == "running"
    process.kill()
    process.wait()
    wait_until(lambda: _last_status(database) == "killed")
    assert _rows(database)[0]["status"] == "running"
    with step(database.engine, "another"):
        pass
    killed, another = _rows(database)
    assert (killed["status"], killed["error"][:6]) == ("failed", "killed")
    assert another["status"] == "succeeded"


def test_a_living_run_is_not_declared_dead(database: Database) -> None:
    process = _holder(database)
    try:
        with step(database.engine, "another"):
            pass
        assert [row["status"] for row in _rows(database)] == ["running", "succeeded"]
    finally:
        process.kill()
        process.wait()


def test_sigterm_is_a_failure_with_its_exit_code(database: Database) -> None:
    process = _holder(database)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 143
    [row] = _rows(database)
    assert (row["status"], row["error"]) == ("failed", "terminated (SIGTERM)")


def test_a_lock_lost_with_its_connection_is_part_of_the_story(database: Database) -> None:
    with step(database.engine, "x", lock="dbt") as run:
        assert run.is_lock_held()
        with database.engine.begin() as connection:
            connection.execute(
                sa.text("select pg_terminate_backend(:pid)"), {"pid": run.details["backend_pid"]}
            )
        wait_until(lambda: not run.is_lock_held())
    [row] = _rows(database)
    assert (row["status"], row["details"]["lock_lost"]) == ("succeeded", True)


WAIT = """
import sys
from warehouse.database import create_engine
from warehouse.ledger import step
with step(create_engine(), "waiter", lock="dbt", wait=True, is_alone=True):
    print("in", flush=True)
"""


def _waiter(database: Database) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", WAIT], cwd=ROOT, env=database.env, stdout=subprocess.PIPE
    )
    wait_until(lambda: bool(_waiting(database)))
    return process


def _waiting(database: Database) -> list[int]:
    with database.engine.connect() as connection:
        statement = sa.text(
            "select pid from pg_stat_activity "
            "where datname = current_database() and wait_event = 'advisory'"
        )
        return list(connection.execute(statement).scalars())


def test_a_step_waits_for_its_lock_visibly_and_in_time_not_counted(database: Database) -> None:
    with step(database.engine, "first", lock="dbt"):
        process = _waiter(database)
        assert _last_status(database) == "waiting"
        time.sleep(0.2)  # tenths are counted
        freed_at = time.time()
    assert process.communicate() == (b"in\n", None)
    waiter = _rows(database)[-1]
    assert waiter["started_at"].timestamp() > freed_at
    assert waiter["details"]["waited_seconds"] > 0
    assert "waiting_for" not in waiter["details"]


def test_a_waiter_that_is_killed_leaves_the_queue_and_its_name(database: Database) -> None:
    with step(database.engine, "first", lock="dbt"):
        process = _waiter(database)
        process.kill()
        process.wait()
        wait_until(lambda: not _waiting(database))
        again = _waiter(database)
    assert again.wait() == 0
    assert [(row["step"], row["status"]) for row in _rows(database)] == [
        ("first", "succeeded"),
        ("waiter", "failed"),
        ("waiter", "succeeded"),
    ]


def test_a_waiter_that_is_asked_to_end_does_so_at_once(database: Database) -> None:
    with step(database.engine, "first", lock="dbt"):
        process = _waiter(database)
        process.terminate()
        assert process.wait() == 143
        assert _waiting(database) == []
        row = _rows(database)[-1]
    assert (row["status"], row["error"]) == ("failed", "terminated (SIGTERM)")


def test_the_holder_keeps_who_was_refused(database: Database) -> None:
    with step(database.engine, "night", is_alone=True) as run:
        run.details["own"] = 1
        for _ in range(2):
            with (
                pytest.raises(LockHeldError, match=rf"'step:night' is held by run {run.run_id} of"),
                step(database.engine, "night", is_alone=True),
            ):
                pytest.fail("two of one name")
    [row] = _rows(database)
    assert [text.split()[:2] for text in row["details"]["refused"]] == [
        ["process", str(os.getpid())]
    ] * 2
    assert row["details"]["own"] == 1


def test_a_date_is_found_out_once_the_lock_is_held(database: Database) -> None:
    days = iter([date(2026, 3, 2)])
    with step(database.engine, "first", lock="dbt"):
        pass
    with step(database.engine, "night", lock="dbt", wait=True, as_of_date=lambda: next(days)):
        assert _rows(database)[-1]["as_of_date"] == date(2026, 3, 2)
    assert _rows(database)[-1]["as_of_date"] == date(2026, 3, 2)


def test_the_revision_of_the_image_is_among_the_versions(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEEDTEST_REVISION", "0123abc")
    with step(database.engine, "night"):
        pass
    assert _rows(database)[0]["versions"]["revision"] == "0123abc"
