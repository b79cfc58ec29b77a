"""Calibration from the warehouse, by the command, on a real PostgreSQL."""

import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from irt_service.calibrate import Request, calibrate, read_input
from irt_service.cli import main
from irt_service.engines.base import CalibrationSettings, Progress
from irt_service.settings import GateSettings, Settings
from tests.conftest import ROOT, Database
from tests.irt_service.school import (
    DAY_ONE,
    build,
    deliver,
    deliver_school,
    effective,
    open_school,
    scalar,
)

N_STUDENTS = 300
N_ITEMS = 12


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


class Command(Protocol):
    """Runs a command of the service, in this process, against the test's database."""

    def __call__(self, *arguments: str) -> Done:
        """Run `python -m irt_service` with these arguments."""


@pytest.fixture
def command(
    database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """The commands; a new process for each would spend the time on importing."""
    monkeypatch.setenv("DATABASE_URL", database.url)

    def run(*arguments: str) -> Done:
        capsys.readouterr()
        try:
            code = main(arguments)
        except SystemExit as ended:
            code = int(str(ended.code))
        return Done(code, *capsys.readouterr())

    return run


@pytest.fixture
def school(database: Database) -> Database:
    """A school that has been built and not calibrated."""
    open_school(database.engine)
    deliver_school(database.engine, N_STUDENTS, N_ITEMS)
    build(database.engine)
    return database


def request() -> Request:
    """The default calibration."""
    return Request(CalibrationSettings())


def count(engine: Engine, table: str) -> object:
    """Rows of a table."""
    return scalar(engine, f"select count(*) from irt.{table}")  # noqa: S608 - constants


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
    assert len(run.input_fingerprint) == 64
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


def test_every_item_of_the_bank_is_calibrated_or_set_aside(
    command: Command, school: Database
) -> None:
    with school.engine.begin() as connection:
        deliver(connection, "old", "kim", DAY_ONE - timedelta(days=300), [("q_old", True)])
        deliver(connection, "few", "kim", DAY_ONE, [("q_few", True)])
        connection.execute(sa.text("insert into exam.question (id) values ('q_never')"))
    build(school.engine)
    command("calibrate", "--no-publish")
    with school.engine.connect() as connection:
        excluded = connection.execute(
            sa.text("select item_id, reason, n_responses from irt.excluded_items order by 1")
        ).all()
    assert [tuple(row) for row in excluded] == [
        ("q_few", "too_few_responses", 1),
        ("q_never", "no_responses", 0),
        ("q_old", "no_responses", 0),
    ]


def test_the_look_back_takes_whole_days_up_to_the_end_of_the_day_asked_for(
    school: Database,
) -> None:
    # 09:00 UTC is 18:00 in Seoul: the local day has six hours left.
    first_day = DAY_ONE.date()
    with school.engine.connect() as connection:
        given = {
            days: read_input(
                connection,
                Request(CalibrationSettings(), as_of=first_day + timedelta(days=20 + days),
                        lookback_days=21),
                Settings(),
            ).responses
            for days in (-1, 0, 1)
        }  # fmt: skip
    per_session = N_STUDENTS * N_ITEMS // 3
    assert {days: one.n_responses for days, one in given.items()} == {
        -1: per_session,
        0: 2 * per_session,
        1: per_session,
    }


def test_the_fingerprint_ignores_the_order_of_arrival_and_nothing_else(school: Database) -> None:
    def fingerprint() -> str:
        with school.engine.connect() as connection:
            return read_input(connection, request(), Settings()).run.fingerprint

    before = fingerprint()
    with school.engine.begin() as connection:
        connection.execute(
            sa.text(
                "create table shuffled as select * from exam.exam_results order by md5(session_id)"
            )
        )
        connection.execute(sa.text("truncate exam.exam_results"))
        connection.execute(sa.text("insert into exam.exam_results select * from shuffled"))
    build(school.engine)
    assert fingerprint() == before
    with school.engine.begin() as connection:
        deliver(connection, "s_0_0", "student_0", DAY_ONE, [("q_0", True)])
        deliver(connection, "s_1_0", "student_1", DAY_ONE, [("q_0", False)])
    build(school.engine)
    assert fingerprint() != before


def test_anchors_are_fixed_when_there_are_enough(school: Database) -> None:
    with school.engine.begin() as connection:
        for number in range(N_ITEMS):
            meta = '{"tags": ["anchor"], "irt": {"a": 1.1, "b": %s}}' % (number / 10)
            connection.execute(
                sa.text("insert into exam.question (id, meta) values (:id, cast(:meta as jsonb))"),
                {"id": f"q_{number}", "meta": meta if number < 6 else "{}"},
            )
        connection.execute(
            sa.text(
                "update exam.question set meta = jsonb_set(meta, '{irt,a}', '-1') where id = 'q_5'"
            )
        )
    build(school.engine)
    result = calibrate(school.engine, request(), Settings())
    assert result.scale is not None
    assert result.scale.method == "fixed anchors"
    with school.engine.connect() as connection:
        fixed = connection.execute(
            sa.text(
                "select item_id, discrimination, difficulty from irt.mirt_item_params"
                " where se_difficulty is null order by 1"
            )
        ).all()
        run = connection.execute(sa.text("select * from irt.mirt_fit_meta")).one()
    assert [tuple(row) for row in fixed] == [(f"q_{j}", 1.1, j / 10) for j in range(5)]
    assert run.metrics["ignored_anchors"] == ["q_5"]
    assert run.prior_sd != 1.0


def test_four_anchors_are_too_few_to_fix(school: Database) -> None:
    with school.engine.begin() as connection:
        for number in range(4):
            connection.execute(
                sa.text("insert into exam.question (id, meta) values (:id, cast(:meta as jsonb))"),
                {"id": f"q_{number}", "meta": '{"tags": ["anchor"], "irt": {"a": 1, "b": 0}}'},
            )
    build(school.engine)
    result = calibrate(school.engine, request(), Settings())
    assert result.scale is not None
    assert result.scale.method == "first run"


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
import sys, time
from irt_service import fitting
from irt_service.cli import main
fitted = fitting.fit
def slow(*arguments):
    print("fitting", flush=True)
    time.sleep(60)
import irt_service.calibrate
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
    for _ in range(50):
        if not scalar(school.engine, "select count(*) from pg_locks where locktype = 'advisory'"):
            break
        time.sleep(0.1)
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


def test_fewer_responses_per_item_can_be_allowed(database: Database) -> None:
    open_school(database.engine)
    deliver_school(database.engine, n_students=80)
    build(database.engine)
    gates = GateSettings(min_responses_per_item=50)
    assert calibrate(database.engine, request(), Settings(gates=gates)).is_accepted
    assert not calibrate(database.engine, request(), Settings()).is_accepted


def test_a_later_run_is_linked_to_the_one_in_force(command: Command, school: Database) -> None:
    command("calibrate")
    with school.engine.begin() as connection:
        connection.execute(
            sa.text(
                "update exam.exam_results set result_json = jsonb_set(result_json,"
                " '{questions,0,is_correct}', 'true') where session_id like 's_1__0'"
            )
        )
    build(school.engine)
    done = command("calibrate")
    assert done.returncode == 0, done.stderr
    with school.engine.connect() as connection:
        first, second = connection.execute(
            sa.text("select * from irt.mirt_fit_meta order by started_at")
        ).all()
    assert second.linking["method"] == "stocking-lord"
    assert second.linking["to_run"] == first.run_id
    assert second.prior_mean == second.linking["B"]
    assert second.prior_sd == second.linking["A"]
    assert second.prior_sd != 1.0
