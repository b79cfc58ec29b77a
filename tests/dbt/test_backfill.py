"""Days that are built anew whether they changed or not, and go on where they were stopped."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import psycopg
import pytest

from tests.conftest import Database
from tests.dbt.every_mart import mart_differences, read_marts
from tests.dbt.kpi_scenario import KpiSchool
from tests.dbt_runner import DbtFailedError, DbtRunner

BUILD = (
    *("build", "--exclude-resource-type", "test", "unit_test"),
    *("--exclude", "config.materialized:view"),
)
FIRST = date(2026, 3, 1)
LAST = date(2026, 3, 20)
AS_OF = date(2026, 4, 10)
# Harm that no comparison with the sources finds, in the days of the backfill.
HARM = {
    "fct_attempts": "update analytics.fct_attempts set is_correct = not is_correct where {days}",
    "fct_sessions": "delete from analytics.fct_sessions where {days}",
    "fct_student_daily_kpis": "delete from analytics.fct_student_daily_kpis where {days}",
    "fct_topic_daily_features": "update analytics.fct_topic_daily_features"
    " set attempt_count = 7 where {days}",
    "fct_item_statistics": "update analytics.fct_item_statistics set exposure_count = 0"
    " where {days}",
    "fct_prediction_backtest": "delete from analytics.fct_prediction_backtest where {days}",
    "int_item_days__summarized": "delete from analytics.int_item_days__summarized where {days}",
    "int_activity__windowed": "delete from analytics.int_activity__windowed"
    " where student_id = 'student-0'",
}
DAYS = {
    "fct_attempts": "attempt_date",
    "fct_sessions": "session_date",
    "fct_student_daily_kpis": "kpi_date",
    "fct_topic_daily_features": "feature_date",
    "fct_item_statistics": "as_of",
    "fct_prediction_backtest": "as_of",
    "int_item_days__summarized": "attempt_date",
    "int_activity__windowed": "valid_from",
}
RANGE = {"as_of_date": AS_OF, "backfill": True, "backfill_from": FIRST, "backfill_to": LAST}


@pytest.fixture(scope="module")
def undamaged(new_warehouse: Callable[[], Database], run_dbt: DbtRunner) -> Database:
    """A small school, built as of a day after the backfill's."""
    database = new_warehouse()
    world = KpiSchool.random(31, students=4)
    world.write(database.url)
    world.write_abilities(database.url)
    run_dbt(*BUILD, database=database, vars={"as_of_date": AS_OF})
    return database


def damage(database: Database, first: date, last: date) -> None:
    """Do harm to the rows of some days."""
    with psycopg.connect(database.url) as connection:
        for mart, statement in HARM.items():
            days = f"{DAYS[mart]} between '{first}' and '{last}'"
            assert connection.execute(statement.format(days=days).encode()).rowcount > 0, mart


def test_a_backfill_builds_its_days_anew_and_goes_on_where_it_was_stopped(
    undamaged: Database, run_dbt: DbtRunner
) -> None:
    before = read_marts(undamaged.url)
    damage(undamaged, FIRST, LAST)
    run_dbt(*BUILD, database=undamaged, vars={"as_of_date": AS_OF})
    assert mart_differences(read_marts(undamaged.url), before) != []

    with psycopg.connect(undamaged.url) as connection:
        connection.execute(
            "create function ops.stop() returns trigger language plpgsql as"
            " $$ begin raise exception 'stopped'; end $$;"
            " create trigger stop before insert or update on ops.model_builds for each row"
            " when (new.model = 'fct_topic_daily_features') execute function ops.stop();"
        )
    with pytest.raises(DbtFailedError, match="stopped"):
        run_dbt(*BUILD, database=undamaged, vars=RANGE)
    built = "select max(built_at), count(distinct built_at) from analytics.fct_student_daily_kpis"
    with psycopg.connect(undamaged.url) as connection:
        connection.execute("drop function ops.stop() cascade")
        stamp = connection.execute(built).fetchone()
        done = connection.execute("select model from analytics_state.backfills").fetchall()
    assert ("fct_student_daily_kpis",) in done
    assert ("fct_topic_daily_features",) not in done

    run_dbt(*BUILD, database=undamaged, vars=RANGE)
    assert mart_differences(read_marts(undamaged.url), before) == []
    with psycopg.connect(undamaged.url) as connection:
        assert connection.execute(built).fetchone() == stamp
        assert connection.execute("select * from analytics_state.backfills").fetchall() == []


def test_a_backfill_leaves_facts_of_other_days_and_rows_before_alone(
    undamaged: Database, run_dbt: DbtRunner
) -> None:
    other_day = FIRST - timedelta(days=10)
    with psycopg.connect(undamaged.url) as connection:
        harmed = connection.execute(
            "update analytics.fct_student_daily_kpis set session_count_churn = 999"
            " where kpi_date < %s",
            (FIRST,),
        ).rowcount
        assert harmed > 0
        connection.execute(
            "update analytics.fct_attempts set hint_count = 77 where attempt_date <= %s",
            (other_day,),
        )
    run_dbt(*BUILD, database=undamaged, vars=RANGE)
    with psycopg.connect(undamaged.url) as connection:
        left = connection.execute(
            "select (select count(*) from analytics.fct_student_daily_kpis"
            " where session_count_churn = 999),"
            " (select count(*) from analytics.fct_attempts where hint_count = 77) > 0"
        ).fetchone()
    assert left == (harmed, True)
