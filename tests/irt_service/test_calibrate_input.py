"""What a calibration from the warehouse takes: window, bank, anchors, scale."""

import json
import re
from datetime import timedelta

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from irt_service.calibrate import Request, calibrate, read_input
from irt_service.engines.base import CalibrationSettings
from irt_service.settings import GateSettings, Settings
from tests.conftest import Database
from tests.irt_service.school import (
    DAY_ONE,
    Command,
    build,
    count,
    deliver,
    deliver_school,
    open_school,
    request,
    scalar,
)

N_STUDENTS = 300
N_ITEMS = 12


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


def tag_anchors(engine: Engine, n_anchors: int, **moved: float) -> None:
    """Tag the first items as anchors, with their true parameters but for those moved."""
    discrimination = np.random.default_rng(7).uniform(0.8, 1.8, N_ITEMS)
    difficulty = np.linspace(-1.5, 1.5, N_ITEMS)
    with engine.begin() as connection:
        for number in range(N_ITEMS):
            item = f"q_{number}"
            values = {"a": discrimination[number], "b": difficulty[number] + moved.get(item, 0.0)}
            meta = {"tags": ["anchor"], "irt": values} if number < n_anchors else {}
            connection.execute(
                sa.text("insert into exam.question (id, meta) values (:id, cast(:meta as jsonb))"),
                {"id": item, "meta": json.dumps(meta)},
            )


def test_anchors_are_fixed_when_there_are_enough_and_drifted_ones_are_dropped(
    school: Database,
) -> None:
    tag_anchors(school.engine, 9, q_6=1.5)
    with school.engine.begin() as connection:
        connection.execute(
            sa.text(
                "update exam.question set meta = jsonb_set(meta, '{irt,a}', '-1') where id = 'q_5'"
            )
        )
    build(school.engine)
    result = calibrate(school.engine, request(), Settings())
    assert result.scale is not None
    with school.engine.connect() as connection:
        fixed = connection.execute(
            sa.text(
                "select item_id, difficulty from irt.mirt_item_params"
                " where se_difficulty is null order by 1"
            )
        ).all()
        run = connection.execute(sa.text("select * from irt.mirt_fit_meta")).one()
    assert run.linking["method"] == "fixed anchors"
    dropped = set(run.linking["dropped"])
    assert "q_6" in dropped
    assert run.linking["residuals"]["q_6"] == pytest.approx(1.5, abs=0.4)
    assert [tuple(row) for row in fixed] == [
        (f"q_{j}", pytest.approx(-1.5 + 3 * j / 11))
        for j in range(9)
        if j != 5 and f"q_{j}" not in dropped
    ]
    assert run.metrics["ignored_anchors"] == ["q_5"]
    assert run.metrics["gates"][-1]["gate"] == "anchors"
    assert run.prior_sd != 1.0


@pytest.mark.parametrize("linking", ["stocking-lord", "haebara", "mean-sigma", "mean-mean"])
def test_anchors_link_the_run_where_that_is_asked_for(linking: str, school: Database) -> None:
    tag_anchors(school.engine, 9)
    build(school.engine)
    asked = Request(CalibrationSettings(), linking=linking, has_diagnostics=False)
    result = calibrate(school.engine, asked, Settings())
    assert result.scale is not None
    assert result.scale.method == linking
    assert result.scale.shift == pytest.approx(0.0, abs=0.25)
    assert result.calibration is not None
    assert result.calibration.prior_sd == pytest.approx(result.scale.slope)


def test_a_run_whose_anchors_drifted_is_rejected(command: Command, school: Database) -> None:
    tag_anchors(school.engine, 5, q_2=1.5)
    build(school.engine)
    done = command("calibrate")
    assert done.returncode == 1
    assert re.search(r"\d of 5 anchors kept, 5 needed; drifted: .*q_2", done.stderr)
    assert scalar(school.engine, "select status from irt.mirt_fit_meta") == "rejected"
    assert count(school.engine, "mirt_item_params") == 0


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


def test_a_run_without_common_items_declares_a_new_scale(
    command: Command, school: Database
) -> None:
    command("calibrate")
    generator = np.random.default_rng(3)
    later = DAY_ONE + timedelta(days=200)
    with school.engine.begin() as connection:
        for number in range(150):
            theta = generator.normal()
            answers = [
                (f"other_{j}", bool(generator.random() < 1 / (1 + np.exp(j / 4 - 1 - theta))))
                for j in range(8)
            ]
            deliver(connection, f"other {number}", f"new_{number}", later, answers)
    build(school.engine)
    done = command("calibrate", "--no-publish", "--lookback-days", "30")
    assert done.returncode == 0, done.stderr
    assert "NEW SCALE: no link to run " in done.stdout
    assert "not comparable" in done.stdout
    linking = scalar(
        school.engine, "select linking from irt.mirt_fit_meta order by started_at desc limit 1"
    )
    assert isinstance(linking, dict)
    assert (linking["method"], linking["n_common"]) == ("break", 0)
    assert scalar(school.engine, "select count(*) from irt.item_drift") == 0
