"""Classical item statistics, built by dbt, against the slow oracle."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

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
NEW_YORK = "America/New_York"

Rows = list[dict[str, Any]]


@dataclass
class Life:
    """A school and the item statistics of its warehouse."""

    school: School
    database: Database
    run_dbt: DbtRunner

    def build(self, as_of_date: date, *options: str, **variables: object) -> Rows:
        """Deliver the school as it is and build; the mart's rows."""
        with psycopg.connect(self.database.url) as connection:
            write_exam(connection, self.school)
        given = {"as_of_date": as_of_date, **variables}
        self.run_dbt(*BUILD, *options, database=self.database, vars=given)
        return read(self.database.url, "fct_item_statistics", "item_id, as_of")

    def expected(self, as_of_date: date) -> Rows:
        """What the item statistics have to be."""
        return ItemOracle(self.school.attempts(), as_of_date, self.school.time_zone).rows()


def test_every_row_is_what_the_definition_says_in_a_zone_with_summer_time(
    database: Database, run_dbt: DbtRunner
) -> None:
    life = Life(School.random(12, time_zone=NEW_YORK), database, run_dbt)
    actual = life.build(WEDNESDAY, reporting_timezone=NEW_YORK)
    expected = life.expected(WEDNESDAY)
    assert differences(actual, expected, KEY) == []
    assert sum(row["point_biserial"] is not None for row in expected) > 100
    assert any(row["point_biserial"] is None for row in expected)


@pytest.mark.drill
def test_the_current_day_is_replaced_sundays_stay_and_late_sessions_count(
    warehouse: Database, run_dbt: DbtRunner
) -> None:
    life = Life(School.random(14, students=5), warehouse, run_dbt)
    school = life.school
    withheld = {key: school.sessions[key] for key in list(school.sessions)[10:14]}
    for key in withheld:
        del school.sessions[key]
    # Wednesday, Thursday, over a Sunday to Tuesday, onto a Sunday.
    for days in (0, 1, 6, 11):
        as_of_date = WEDNESDAY + timedelta(days=days)
        assert differences(life.build(as_of_date), life.expected(as_of_date), KEY) == []

    school.sessions.update(withheld)
    keys = sorted(school.sessions)
    del school.sessions[keys[3]]
    school.sessions[keys[20]].is_ready = False
    school.sessions[keys[30]].attempts = school.sessions[keys[30]].attempts[:1]
    # An item that loses all of its attempts leaves no row behind.
    for session in school.sessions.values():
        session.attempts = [a for a in session.attempts if a.item_id != "q_7"]
    after_arrivals = life.build(as_of_date)
    assert differences(after_arrivals, life.expected(as_of_date), KEY) == []
    assert not any(row["item_id"] == "q_7" for row in after_arrivals)

    refreshed = life.build(as_of_date, "--full-refresh")
    assert differences(after_arrivals, refreshed, KEY) == []
    assert len(after_arrivals) == len(refreshed) > 100


@pytest.mark.drill
def test_item_days_are_added_up_anew_when_nobody_knows_what_to_take_back(
    warehouse: Database, run_dbt: DbtRunner
) -> None:
    life = Life(School.random(15, students=3), warehouse, run_dbt)
    life.build(WEDNESDAY)
    for key in sorted(life.school.sessions)[:5]:
        life.school.sessions[key].attempts = life.school.sessions[key].attempts[1:]
    with psycopg.connect(warehouse.url) as connection:
        write_exam(connection, life.school)
    run_dbt("run", "--select", "fct_attempts", database=warehouse, vars={"as_of_date": WEDNESDAY})
    with psycopg.connect(warehouse.url) as connection:
        forgotten = connection.execute(
            "delete from analytics_state.fct_attempts__superseded where session_id ="
            " (select min(session_id) from analytics_state.fct_attempts__superseded)"
        )
        assert forgotten.rowcount > 0
    assert differences(life.build(WEDNESDAY), life.expected(WEDNESDAY), KEY) == []
