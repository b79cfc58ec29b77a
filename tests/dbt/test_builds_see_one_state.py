"""What arrives, or is built by somebody else, while a model is being built."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from tests.conftest import Database
from tests.dbt.deliveries import SELECT_FACTS, answer, deliver, fact_differences, facts
from tests.dbt_runner import DbtFailedError, DbtRunner

VARS = {"as_of_date": "2026-06-01"}
# A model's build stops here: it has noted the versions of its inputs, and not read them.
PAUSE = """
create function pause() returns event_trigger language plpgsql as
$$ begin perform pg_advisory_xact_lock_shared(77); end $$;
create event trigger pause on ddl_command_end when tag in ('CREATE TABLE AS')
execute function pause();
"""


@pytest.fixture
def built(database: Database, run_dbt: DbtRunner) -> Database:
    """One student, built."""
    with psycopg.connect(database.url) as connection:
        for number in range(3):
            deliver(connection, f"r{number}", {"questions": [answer("q1"), "bad"]})
    run_dbt("run", *SELECT_FACTS, database=database, vars=VARS)
    return database


@contextmanager
def building(
    run_dbt: DbtRunner, database: Database, wait_event: str, *arguments: str
) -> Iterator[list[str]]:
    """A build that has come to wait for what the test holds; yields its failures."""
    failures: list[str] = []

    def build() -> None:
        try:
            run_dbt("run", *arguments, database=database, vars=VARS)
        except DbtFailedError as error:
            failures.append(str(error))

    builder = threading.Thread(target=build)
    builder.start()
    with psycopg.connect(database.url, autocommit=True) as observer:
        while (
            builder.is_alive()
            and not observer.execute(
                "select 1 from pg_stat_activity where datname = current_database()"
                " and application_name = 'dbt' and wait_event = %s",
                (wait_event,),
            ).fetchall()
        ):
            time.sleep(0.05)
    yield failures
    builder.join()


@pytest.mark.parametrize("options", [("--full-refresh",), ()])
def test_a_session_that_is_gone_before_it_was_noted_leaves_no_rows(
    built: Database, run_dbt: DbtRunner, options: tuple[str, ...]
) -> None:
    with psycopg.connect(built.url, autocommit=True) as connection:
        connection.execute(PAUSE)
        deliver(connection, "r1", {"questions": [answer("q2")]})
        connection.execute("select pg_advisory_lock(77)")
        arguments = ("--select", "fct_attempts", *options)
        with building(run_dbt, built, "advisory", *arguments) as failures:
            deliver(connection, "ghost", {"questions": [answer("q1"), answer("q3")]})
            connection.execute("select pg_advisory_unlock(77)")
        assert failures == []
        connection.execute("drop event trigger pause")
        connection.execute("delete from exam.exam_results where session_id = 'ghost'")
    run_dbt("run", *SELECT_FACTS, database=built, vars=VARS)
    assert {row["session_id"] for row in facts(built.url)["fct_attempts"]} == {"r0", "r1", "r2"}


def test_a_delivery_during_a_build_is_of_the_next_one(built: Database, run_dbt: DbtRunner) -> None:
    with psycopg.connect(built.url, autocommit=True) as connection:
        connection.execute(PAUSE)
        deliver(connection, "r1", {"questions": [answer("q2")]})
        connection.execute("select pg_advisory_lock(77)")
        with building(run_dbt, built, "advisory", "--select", "fct_attempts") as failures:
            deliver(connection, "r1", {"questions": [answer("q5")]})
            connection.execute("select pg_advisory_unlock(77)")
        assert failures == []
        connection.execute("drop event trigger pause")
    items = [r["item_id"] for r in facts(built.url)["fct_attempts"] if r["session_id"] == "r1"]
    assert items == ["q2"]
    run_dbt("run", *SELECT_FACTS, database=built, vars=VARS)
    incremental = facts(built.url)
    run_dbt("run", "--full-refresh", *SELECT_FACTS, database=built, vars=VARS)
    assert fact_differences(incremental, facts(built.url)) == []


def test_a_build_that_waited_for_one_that_went_back_is_refused(
    built: Database, run_dbt: DbtRunner
) -> None:
    selection = ("--select", "int_item_days__summarized+", "int_inputs__attempts")
    run_dbt("run", *selection, database=built, vars=VARS)
    with psycopg.connect(built.url) as other:
        other.execute("lock table analytics_state.fct_item_statistics in share row exclusive mode")
        with building(run_dbt, built, "relation", *selection) as failures:
            other.execute(
                "update ops.model_builds set as_of_date = '2026-05-20'"
                " where model = 'fct_item_statistics'"
            )
            other.commit()
    assert len(failures) == 1
    assert "fct_item_statistics back from 2026-06-01 to 2026-05-20" in failures[0]
