"""What a calibration of the warehouse is judged by is stored with it and said at its end."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine, Row

from tests.conftest import Database
from tests.irt_service.school import (
    DAY_ONE,
    Command,
    build,
    deliver_school,
    label_students,
    open_school,
    scalar,
)

N_STUDENTS = 300
N_ITEMS = 12
LATER = DAY_ONE + timedelta(days=200)
TABLES = ("item_fit", "item_dif", "item_drift", "local_dependence", "person_fit")


def rows(engine: Engine, query: str) -> list[Row[Any]]:
    """All rows of a query."""
    with engine.connect() as connection:
        return list(connection.execute(sa.text(query)))


def stored(engine: Engine) -> dict[str, object]:
    """How many rows each table of findings holds."""
    return {
        name: scalar(engine, f"select count(*) from irt.{name}")  # noqa: S608 - constants
        for name in TABLES
    }


def test_item_fit_reliability_and_covariances_are_stored_with_the_run(
    command: Command, school: Database
) -> None:
    done = command("calibrate", "--no-publish")
    assert done.returncode == 0, done.stderr
    fit = rows(school.engine, "select * from irt.item_fit order by item_id")
    assert len(fit) == N_ITEMS
    assert {(one.n_responses, one.method, one.s_x2_reason) for one in fit} == {
        (N_STUDENTS, "s_x2", None)
    }
    assert all(0.5 < one.infit < 1.3 and one.s_x2_p <= one.q + 1e-12 for one in fit)
    assert scalar(school.engine, "select bool_or(is_misfit) from irt.item_fit") is False
    assert "item fit        all 12 items tested fit" in done.stdout
    found = rows(school.engine, "select metrics -> 'diagnostics' as found from irt.mirt_fit_meta")
    information = found[0].found["information"]
    assert len(information["theta"]) == len(information["information"]) == 33
    assert 0.5 < information["marginal_reliability"] < 0.85
    covariances = rows(
        school.engine,
        "select cov_discrimination_difficulty / (se_discrimination * se_difficulty) as correlation"
        " from irt.mirt_item_params",
    )
    assert all(abs(one.correlation) < 1 for one in covariances)


def test_only_students_who_answer_improbably_are_named(command: Command, school: Database) -> None:
    command("calibrate", "--no-publish")
    persons = rows(school.engine, "select * from irt.person_fit")
    (found,) = rows(
        school.engine,
        "select metrics #> '{diagnostics,person_fit}' as found from irt.mirt_fit_meta",
    )
    assert found.found["judged"] == N_STUDENTS
    assert found.found["flagged"] == len(persons)
    assert 0 < len(persons) < 20
    assert all(one.lz_star < -2.326 and one.n_responses == N_ITEMS for one in persons)


def test_drift_is_measured_against_the_run_before_and_the_baseline(
    command: Command, school: Database
) -> None:
    command("calibrate")
    first = str(scalar(school.engine, "select run_id from irt.mirt_fit_meta"))
    pinned = command("baseline", first)
    assert pinned.returncode == 0, pinned.stderr
    deliver_school(school.engine, 600, N_ITEMS, seed=8, cohort="b", start=LATER, harder={3: 1.2})
    build(school.engine)
    done = command("calibrate", "--lookback-days", "90")
    assert done.returncode == 0, done.stderr
    drift = rows(school.engine, "select * from irt.item_drift order by comparison, item_id")
    assert {one.compared_run_id for one in drift} == {first}
    assert {one.n_common for one in drift} == {0}
    assert [(one.comparison, one.item_id) for one in drift if one.severity == "severe"] == [
        ("baseline", "q_3"),
        ("previous", "q_3"),
    ]
    moved = next(one for one in drift if one.severity == "severe")
    assert moved.delta_difficulty == pytest.approx(1.2, abs=0.5)
    assert moved.q < 0.05
    assert "LOOK: against the run before" in done.stdout
    assert "q_3 (b +" in done.stdout


def test_responses_that_both_runs_rest_on_are_counted(command: Command, school: Database) -> None:
    command("calibrate", "--no-publish")
    deliver_school(school.engine, 200, N_ITEMS, seed=8, cohort="b", start=LATER)
    build(school.engine)
    done = command("calibrate", "--no-publish", "--lookback-days", "400")
    assert done.returncode == 0, done.stderr
    drift = rows(school.engine, "select * from irt.item_drift")
    assert [(one.comparison, one.n_common) for one in drift] == [("previous", N_STUDENTS)] * N_ITEMS


def test_an_item_that_is_harder_for_one_group_is_found(
    command: Command, database: Database
) -> None:
    open_school(database.engine)
    deliver_school(database.engine, 1000, N_ITEMS, harder={3: 1.2}, harder_from=500)
    build(database.engine)
    label_students(
        database.engine,
        {
            f"student_{number}": {
                "track": "x" if number >= 500 else "y",
                "club": f"c{number % 20}",
                "languages": ["ko"],
            }
            for number in range(1000)
        },
    )
    done = command("calibrate", "--no-publish")
    assert done.returncode == 0, done.stderr
    dif = rows(database.engine, "select * from irt.item_dif order by item_id")
    assert {(one.grouping, len(dif)) for one in dif} == {("track", N_ITEMS)}
    assert [one.item_id for one in dif if one.severity == "severe"] == ["q_3"]
    moved = next(one for one in dif if one.item_id == "q_3")
    sign = 1 if moved.focal_group == "x" else -1
    assert {moved.focal_group, moved.reference_group} == {"x", "y"}
    assert sign * moved.delta_difficulty == pytest.approx(1.2, abs=0.4)
    assert (moved.n_focal, moved.n_reference, moved.kind) == (500, 500, moved.kind)
    assert "LOOK: track, " in done.stdout
    assert "club: too few students in its groups" in done.stdout


def test_a_dry_run_shows_the_findings_and_stores_none(command: Command, school: Database) -> None:
    done = command("calibrate", "--dry-run")
    assert "item fit" in done.stdout
    assert "reliability" in done.stdout
    assert stored(school.engine) == dict.fromkeys(TABLES, 0)


def test_diagnostics_can_be_left_out(command: Command, school: Database) -> None:
    done = command("calibrate", "--no-publish", "--no-diagnostics")
    assert done.returncode == 0, done.stderr
    assert stored(school.engine) == dict.fromkeys(TABLES, 0)
    assert scalar(school.engine, "select status from irt.mirt_fit_meta") == "accepted"


def test_a_run_that_cannot_be_stored_whole_is_not_stored_in_part(
    command: Command, school: Database
) -> None:
    with school.engine.begin() as connection:
        connection.execute(sa.text("alter table irt.item_fit add check (item_id <> 'q_7')"))
    done = command("calibrate")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: the database refused")
    assert stored(school.engine) == dict.fromkeys(TABLES, 0)
    assert scalar(school.engine, "select count(*) from irt.mirt_item_params") == 0
    assert scalar(school.engine, "select status from irt.mirt_fit_meta") == "failed"


def test_only_an_accepted_run_is_a_baseline_and_the_latest_pin_counts(
    command: Command, school: Database
) -> None:
    absent = command("baseline", "nothing")
    assert (absent.returncode, "there is no such run" in absent.stderr) == (1, True)
    command("calibrate", "--no-publish")
    command("calibrate", "--no-publish", "--force")
    first, second = (
        one.run_id
        for one in rows(school.engine, "select run_id from irt.mirt_fit_meta order by started_at")
    )
    for run_id in (second, first):
        assert command("baseline", run_id).returncode == 0
    assert scalar(school.engine, "select run_id from irt.pinned_baseline") == first
    assert scalar(school.engine, "select count(*) from irt.baselines") == 2
    with school.engine.begin() as connection:
        connection.execute(
            sa.text("update irt.mirt_fit_meta set status = 'rejected' where run_id = :run"),
            {"run": second},
        )
    assert "no baseline" in command("baseline", second).stderr
