"""A dbt that is killed half-way leaves whole models, and the next build ends the same."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from datetime import date

import psycopg
import pytest

from tests.conftest import Database, DatabaseFactory
from tests.dbt.every_mart import mart_differences, read_marts
from tests.dbt.sequences import BUILD, TABLES, Life, Step, terminate_dbt
from tests.dbt_runner import DbtRunner

ARRIVALS = ("rescored", "moved", "deleted", "late_session", "question", "goal", "ability")


def kill_once_built(
    database: Database, run_dbt: DbtRunner, as_of_date: date, model_count: int
) -> int:
    """Run dbt in a process of its own, kill -9 it after so many models; how many there were."""
    since = "select count(*) from ops.model_builds where as_of_date = %s"
    with psycopg.connect(database.url, autocommit=True) as connection:
        process = run_dbt.start(*BUILD, *TABLES, database=database, vars={"as_of_date": as_of_date})
        built = 0
        while process.poll() is None and built < model_count:
            time.sleep(0.02)
            row = connection.execute(since, (as_of_date,)).fetchone()
            assert row is not None
            built = row[0]
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    return built


@pytest.mark.parametrize(
    "model_count",
    [
        pytest.param(3, marks=pytest.mark.drill),
        *(pytest.param(count, marks=[pytest.mark.drill, pytest.mark.long]) for count in (0, 6)),
    ],
)
def test_a_killed_dbt_ends_the_same_when_it_is_run_again(
    new_warehouse: Callable[[], Database],
    new_database: DatabaseFactory,
    run_dbt: DbtRunner,
    model_count: int,
) -> None:
    database = new_warehouse()
    life = Life(database, run_dbt, school_seed=model_count)
    rng = random.Random(model_count)  # noqa: S311 - a test's arrivals
    for kind in ARRIVALS * 2:
        life.take(Step(kind, rng.randrange(1_000_000)))
    life.next_day()
    kill_once_built(database, run_dbt, life.today, model_count)
    # The server's processes would roll back by themselves, once they notice.
    terminate_dbt(database)
    report = life.finish(new_database)
    assert not report.differences, str(report)


@pytest.mark.drill
@pytest.mark.long
def test_a_killed_full_refresh_leaves_the_rows_of_before(
    new_warehouse: Callable[[], Database], new_database: DatabaseFactory, run_dbt: DbtRunner
) -> None:
    database = new_warehouse()
    life = Life(database, run_dbt, school_seed=2)
    before = read_marts(database.url)
    life.build_and_be_killed(2.5, "--full-refresh")
    # A view goes with the table below it, and is back when the refresh has been run again.
    tables = read_marts(database.url)
    assert {"fct_attempts", "fct_sessions", "fct_student_daily_kpis"} <= tables.keys()
    assert mart_differences(tables, {name: before[name] for name in tables}) == []
    run_dbt(*BUILD, "--full-refresh", database=database, vars={"as_of_date": life.today})
    assert life.finish(new_database).differences == []
