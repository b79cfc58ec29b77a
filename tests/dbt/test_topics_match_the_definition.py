"""Topic features, built by dbt from delivered results, against the slow oracle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import psycopg
import pytest

from tests.conftest import Database, DatabaseFactory
from tests.dbt.learning_scenario import School, write_abilities, write_exam, write_runs
from tests.dbt.mart_rows import differences, read
from tests.dbt_runner import DbtRunner

KEY = ("student_id", "topic_id", "feature_date")
BUILD = ("run", "--select", "+fct_topic_daily_features")


@pytest.mark.parametrize(("seed", "time_zone"), [(1, "Asia/Seoul"), (2, "America/New_York")])
def test_every_row_is_what_the_definition_says(
    new_database: DatabaseFactory,
    new_warehouse: Callable[[], Database],
    run_dbt: DbtRunner,
    seed: int,
    time_zone: str,
) -> None:
    # Once incrementally, once from nothing: another time zone needs a full refresh.
    database = new_warehouse() if time_zone == "Asia/Seoul" else new_database()
    school = School.random(seed, time_zone=time_zone)
    as_of_date = school.first_day + timedelta(days=school.day_count - 7)
    with psycopg.connect(database.url) as connection:
        write_exam(connection, school)
        write_runs(connection, school)
        write_abilities(connection, school.abilities, superseding=True)

    run_dbt(
        *BUILD,
        database=database,
        vars={"as_of_date": as_of_date, "reporting_timezone": time_zone},
    )

    actual = read(database.url, "fct_topic_daily_features", ", ".join(KEY))
    expected = school.topic_oracle(as_of_date).rows()
    assert differences(actual, expected, KEY) == []
    # The scenario reaches every branch, else agreement would say little.
    assert len(expected) > 300
    for column, values in {
        "theta_basis": {"topic", "overall", None},
        "improvement_basis": {"theta", "accuracy", None},
        "strength": {"weak", "strong", None},
        "run_id": {"run-1", "run-3"},
    }.items():
        reached = Counter(row[column] for row in expected)
        assert set(reached) == values, f"{column} {reached}"
