"""Classical item statistics, built by dbt, against the slow oracle."""

from __future__ import annotations

from datetime import date, timedelta

import psycopg
import pytest

from tests.conftest import Database
from tests.dbt.item_statistics_oracle import ItemOracle
from tests.dbt.learning_scenario import School, write_exam
from tests.dbt.mart_rows import differences, read
from tests.dbt_runner import DbtRunner

KEY = ("item_id", "as_of")
BUILD = ("run", "--select", "+fct_item_statistics")
WEDNESDAY = date(2026, 4, 29)


def item_oracle(school: School, as_of_date: date) -> ItemOracle:
    """What the item statistics have to be."""
    return ItemOracle(school.attempts(), as_of_date, school.time_zone)


@pytest.mark.parametrize(("seed", "time_zone"), [(11, "Asia/Seoul"), (12, "America/New_York")])
def test_every_row_is_what_the_definition_says(
    database: Database, run_dbt: DbtRunner, seed: int, time_zone: str
) -> None:
    school = School.random(seed, time_zone=time_zone)
    with psycopg.connect(database.url) as connection:
        write_exam(connection, school)

    run_dbt(
        *BUILD,
        database=database,
        vars={"as_of_date": WEDNESDAY, "reporting_timezone": time_zone},
    )

    actual = read(database.url, "fct_item_statistics", "item_id, as_of")
    expected = item_oracle(school, WEDNESDAY).rows()
    assert differences(actual, expected, KEY) == []
    assert sum(row["point_biserial"] is not None for row in expected) > 100
    assert any(row["point_biserial"] is None for row in expected)


def test_the_current_day_is_replaced_and_sundays_stay(
    database: Database, run_dbt: DbtRunner
) -> None:
    school = School.random(13, students=4)
    with psycopg.connect(database.url) as connection:
        write_exam(connection, school)

    # Wednesday, Thursday, over a Sunday to Tuesday, onto a Sunday.
    for days in (0, 1, 6, 11):
        as_of_date = WEDNESDAY + timedelta(days=days)
        run_dbt(*BUILD, database=database, vars={"as_of_date": as_of_date})
        actual = read(database.url, "fct_item_statistics", "item_id, as_of")
        assert differences(actual, item_oracle(school, as_of_date).rows(), KEY) == []


def test_late_changed_and_deleted_sessions_end_as_a_full_refresh(
    database: Database, run_dbt: DbtRunner
) -> None:
    school = School.random(14, students=5)
    withheld = {key: school.sessions[key] for key in list(school.sessions)[10:14]}
    for key in withheld:
        del school.sessions[key]

    def build(as_of_date: date, *options: str) -> list[dict[str, object]]:
        with psycopg.connect(database.url) as connection:
            write_exam(connection, school)
        run_dbt(*BUILD, *options, database=database, vars={"as_of_date": as_of_date})
        return read(database.url, "fct_item_statistics", "item_id, as_of")

    build(WEDNESDAY)
    school.sessions.update(withheld)
    keys = sorted(school.sessions)
    del school.sessions[keys[3]]
    school.sessions[keys[20]].is_ready = False
    school.sessions[keys[30]].attempts = school.sessions[keys[30]].attempts[:1]
    # An item that loses all of its attempts leaves no row behind.
    for session in school.sessions.values():
        session.attempts = [a for a in session.attempts if a.item_id != "q_7"]
    after_arrivals = build(WEDNESDAY)
    assert differences(after_arrivals, item_oracle(school, WEDNESDAY).rows(), KEY) == []
    assert not any(row["item_id"] == "q_7" for row in after_arrivals)

    unchanged = build(WEDNESDAY)
    refreshed = build(WEDNESDAY, "--full-refresh")
    assert differences(unchanged, refreshed, KEY) == []
    assert len(unchanged) == len(refreshed) > 100
