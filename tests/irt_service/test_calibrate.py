"""Calibration from the warehouse, by the command, on a real PostgreSQL."""

import subprocess
import sys

import numpy as np
import pytest
import sqlalchemy as sa

from irt_service.calibrate import calibrate
from irt_service.engines.base import Progress
from irt_service.settings import Settings
from tests.conftest import ROOT, Database
from tests.irt_service.school import (
    Command,
    build,
    count,
    deliver_school,
    effective,
    open_school,
    request,
    scalar,
)
from tests.warehouse.waiting import wait_until

N_STUDENTS = 300
N_ITEMS = 12


def test_a_calibration_is_stored_published_and_scores_every_session(
    command: Command, school: Database
) -> None:
    done = command("calibrate")
    assert done.returncode == 0, done.stderr
    engine = school.engine
    with engine.connect() as connection:
        run = connection.execute(sa.text("select * from irt.mirt_fit_meta")).one()
    assert (run.status, run.n_items, run.n_persons) == ("accepted", N_ITEMS, N_STUDENTS)
    assert run.n_responses == N_STUDENTS * N_ITEMS
    assert run.is_converged
    assert run.log_likelihood == pytest.approx(run.metrics["log_likelihood_path"][-1], abs=0.01)
    assert [gate["gate"] for gate in run.metrics["gates"] if not gate["is_met"]] == []
    versions = scalar(engine, "select versions from ops.pipeline_runs where step = 'irt-calibrate'")
    assert isinstance(versions, dict)
    assert versions["engine"] == f"{run.engine} {run.engine_version}"
    assert len(run.input_fingerprint) == 64
    day = scalar(engine, "select as_of_date from ops.pipeline_runs where step = 'irt-calibrate'")
    assert day == scalar(engine, "select max(as_of_date) from ops.model_builds")
    assert run.linking["method"] == "first run"
    assert run.run_id in done.stdout
    assert "iteration" in done.stderr
    assert scalar(engine, "select count(*) from irt.current_item_params") == N_ITEMS
    assert len(effective(engine)) == 3 * N_STUDENTS
    with engine.connect() as connection:
        difficulty = connection.execute(
            sa.text("select difficulty from irt.mirt_item_params order by length(item_id), item_id")
        ).scalars()
        assert np.corrcoef(list(difficulty), np.linspace(-1.5, 1.5, N_ITEMS))[0, 1] > 0.9


def test_the_same_responses_are_not_calibrated_again(command: Command, school: Database) -> None:
    command("calibrate")
    again = command("calibrate")
    assert again.returncode == 0
    assert "Nothing has changed" in again.stdout
    assert count(school.engine, "mirt_fit_meta") == 1
    assert count(school.engine, "publications") == 1
    assert count(school.engine, "mirt_ability") == 3 * N_STUDENTS


def test_another_model_or_force_is_a_new_run(command: Command, school: Database) -> None:
    command("calibrate", "--no-publish")
    command("calibrate", "--no-publish", "--force")
    command("calibrate", "--no-publish", "--model", "Rasch")
    with school.engine.connect() as connection:
        models = connection.execute(
            sa.text("select model from irt.mirt_fit_meta where status = 'accepted'")
        ).scalars()
        assert sorted(models) == ["2PL", "2PL", "Rasch"]
    assert count(school.engine, "publications") == 0


def test_a_run_that_was_not_published_is_published_by_the_next_start(
    command: Command, school: Database
) -> None:
    command("calibrate", "--no-publish")
    done = command("calibrate")
    assert "is in force from the beginning" in done.stdout
    assert count(school.engine, "mirt_fit_meta") == 1
    assert len(effective(school.engine)) == 3 * N_STUDENTS


def test_a_run_that_was_taken_back_stays_out_of_force(command: Command, school: Database) -> None:
    engine = school.engine
    command("calibrate", "--model", "Rasch")
    command("calibrate")
    back = command("publish", "--roll-back")
    assert back.returncode == 0, back.stderr
    command("calibrate")
    in_force = scalar(engine, "select run_id from irt.in_force_run")
    assert "Rasch" in str(in_force)


def test_a_dry_run_writes_nothing(command: Command, school: Database) -> None:
    done = command("calibrate", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "accepted" in done.stdout
    assert count(school.engine, "mirt_fit_meta") == 0
    assert scalar(school.engine, "select count(*) from ops.pipeline_runs") == 0


def test_a_run_that_a_gate_rejects_fails_and_does_not_come_into_force(
    command: Command, database: Database
) -> None:
    open_school(database.engine)
    deliver_school(database.engine, n_students=30)
    build(database.engine)
    done = command("calibrate")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: run ")
    assert scalar(database.engine, "select status from irt.mirt_fit_meta") == "rejected"
    assert scalar(database.engine, "select reasons ->> 0 from irt.mirt_fit_meta") != ""
    assert count(database.engine, "publications") == 0
    assert count(database.engine, "excluded_items") == N_ITEMS
    assert scalar(database.engine, "select error from ops.pipeline_runs") != ""


def test_an_empty_warehouse_is_said_in_one_line(command: Command, database: Database) -> None:
    done = command("calibrate")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "run dbt build" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["calibrate", "--model", "5PL"],
        ["calibrate", "--as-of", "yesterday"],
        ["calibrate", "--lookback-days", "0"],
        ["calibrate", "--out", "x"],
        ["publish"],
        ["publish", "run", "--roll-back"],
        ["worker", "--poll-seconds", "nan"],
        [],
    ],
)
def test_wrong_usage_ends_with_two(
    command: Command, database: Database, arguments: list[str]
) -> None:
    assert command(*arguments).returncode == 2


def test_an_error_while_fitting_marks_the_run_failed(school: Database) -> None:
    def fail(_: Progress) -> None:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="disk"):
        calibrate(school.engine, request(), Settings(), fail)
    assert scalar(school.engine, "select status from irt.mirt_fit_meta") == "failed"
    assert scalar(school.engine, "select reasons ->> 0 from irt.mirt_fit_meta") == (
        "OSError: the disk is full"
    )
    assert count(school.engine, "mirt_item_params") == 0


_SLOW = """
import sys
import time
import irt_service.calibrate
from irt_service.cli import main

def slow(*arguments):
    print("fitting", flush=True)
    time.sleep(600)

irt_service.calibrate.fit = slow
sys.exit(main(["calibrate"]))
"""


def test_a_killed_calibration_leaves_nothing_and_the_next_one_says_so(
    command: Command, school: Database
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _SLOW], env=school.env, cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "fitting\n"
    second = command("calibrate")
    assert second.returncode == 1
    assert "is held by" in second.stderr
    process.kill()
    process.wait()
    process.stdout.close()
    assert scalar(school.engine, "select status from irt.mirt_fit_meta") == "running"
    held = (
        "select count(*) from pg_locks where locktype = 'advisory' and database ="
        " (select oid from pg_database where datname = current_database())"
    )
    wait_until(lambda: scalar(school.engine, held) == 0)
    done = command("calibrate")
    assert done.returncode == 0, done.stderr
    assert "was interrupted and is marked failed" in done.stderr
    with school.engine.connect() as connection:
        statuses = connection.execute(
            sa.text("select status from irt.mirt_fit_meta order by started_at")
        ).scalars()
        assert list(statuses) == ["failed", "accepted"]
    assert (
        scalar(
            school.engine,
            "select count(*) from irt.mirt_item_params where run_id not in"
            " (select run_id from irt.mirt_fit_meta where status = 'accepted')",
        )
        == 0
    )


def test_a_bank_is_calibrated_for_analysis_only(command: Command, school: Database) -> None:
    done = command("calibrate", "--bank", "topic:algebra")
    assert done.returncode == 0, done.stderr
    assert "not published" in done.stdout
    assert scalar(school.engine, "select bank from irt.mirt_fit_meta") == "topic:algebra"
    assert count(school.engine, "publications") == 0


def test_runs_are_listed_with_the_one_in_force_marked(command: Command, school: Database) -> None:
    assert "no runs yet" in command("runs").stdout
    command("calibrate", "--model", "Rasch", "--no-publish")
    command("calibrate")
    lines = command("runs").stdout.splitlines()
    assert [line[0] for line in lines[1:]] == ["*", " "]
    assert "the beginning" in lines[1]
