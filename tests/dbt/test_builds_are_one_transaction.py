"""A build that dies leaves what was there, and one that is refused writes nothing."""

from __future__ import annotations

import threading
import time

import psycopg
import pytest

from tests.conftest import Database
from tests.dbt.deliveries import SELECT_FACTS, answer, deliver, fact_differences, facts
from tests.dbt_runner import DbtFailedError, DbtRunner

VARS = {"as_of_date": "2026-06-01"}
STATE = """
select 'consumed', input_key, version from analytics_state.fct_attempts
union all
select 'revision', key, revision::text from analytics_state.fct_attempts__revisions
union all
select 'build', model, as_of_date::text || settings::text from ops.model_builds
order by 1, 2, 3
"""


@pytest.fixture
def built(database: Database, run_dbt: DbtRunner) -> Database:
    """Two students, built; then two more sessions."""
    with psycopg.connect(database.url) as connection:
        for number in range(4):
            deliver(connection, f"r{number}", {"questions": [answer("q1"), "bad"]})
    run_dbt("run", *SELECT_FACTS, database=database, vars=VARS)
    with psycopg.connect(database.url) as connection:
        deliver(connection, "r0", {"questions": [answer("q2")]}, student_id="s2")
        deliver(connection, "r9", {"questions": [answer("q1")]})
    return database


def state(database: Database) -> list[tuple[object, ...]]:
    """What the models of the database have consumed and are builds of."""
    with psycopg.connect(database.url) as connection:
        return connection.execute(STATE).fetchall()


def test_a_build_killed_at_its_last_statement_never_was(
    built: Database, run_dbt: DbtRunner
) -> None:
    before = facts(built.url), state(built)
    with psycopg.connect(built.url) as connection:
        connection.execute(
            """
            create function pause() returns trigger language plpgsql as
            $$ begin perform pg_sleep(60); return new; end $$;
            create trigger pause before insert or update on ops.model_builds
            for each row when (new.model = 'fct_attempts') execute function pause();
            """
        )
    failures: list[str] = []

    def build() -> None:
        try:
            run_dbt("run", "--select", "fct_attempts", database=built, vars=VARS)
        except DbtFailedError as error:
            failures.append(str(error))

    builder = threading.Thread(target=build)
    builder.start()
    with psycopg.connect(built.url, autocommit=True) as connection:
        killed = []
        while not killed and builder.is_alive():
            time.sleep(0.05)
            killed = connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and wait_event = 'PgSleep'"
            ).fetchall()
    builder.join()
    assert killed == [(True,)]
    assert len(failures) == 1
    assert (facts(built.url), state(built)) == before

    with psycopg.connect(built.url) as connection:
        connection.execute("drop function pause() cascade")
    run_dbt("run", *SELECT_FACTS, database=built, vars=VARS)
    incremental = facts(built.url)
    assert incremental != before[0]
    run_dbt("run", "--full-refresh", *SELECT_FACTS, database=built, vars=VARS)
    assert fact_differences(incremental, facts(built.url)) == []


def test_another_build_of_the_same_model_waits(built: Database, run_dbt: DbtRunner) -> None:
    with (
        psycopg.connect(built.url, autocommit=True) as observer,
        psycopg.connect(built.url) as other,
    ):
        other.execute("lock table analytics_state.fct_attempts in share row exclusive mode")
        builder = threading.Thread(
            target=run_dbt,
            args=("run", "--select", "fct_attempts"),
            kwargs={"database": built, "vars": VARS},
        )
        builder.start()
        waits = False
        while not waits and builder.is_alive():
            time.sleep(0.05)
            waits = bool(
                observer.execute(
                    "select 1 from pg_stat_activity"
                    " where datname = current_database() and wait_event = 'relation'"
                ).fetchall()
            )
    builder.join()
    assert waits
    stored = facts(built.url)["fct_attempts"]
    assert {row["session_id"] for row in stored} == {"r0", "r1", "r2", "r3", "r9"}


def test_a_backfill_may_go_back(built: Database, run_dbt: DbtRunner) -> None:
    variables = {"as_of_date": "2026-05-05", "backfill": True}
    run_dbt("run", *SELECT_FACTS, database=built, vars=variables)
    with psycopg.connect(built.url) as connection:
        dates = connection.execute("select distinct as_of_date::text from ops.model_builds")
        assert dates.fetchall() == [("2026-05-05",)]


def test_without_a_date_a_build_is_of_the_last_one(built: Database, run_dbt: DbtRunner) -> None:
    run_dbt("run", "--select", "fct_attempts", database=built)
    with psycopg.connect(built.url) as connection:
        dates = connection.execute("select distinct as_of_date::text from ops.model_builds")
        assert dates.fetchall() == [("2026-06-01",)]


def test_the_environment_may_give_the_date_and_what_tests_read(
    built: Database, run_dbt: DbtRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AS_OF_DATE", "2026-02-30")
    with pytest.raises(DbtFailedError, match=r"as_of_date is \"2026-02-30\""):
        run_dbt("run", "--select", "fct_attempts", database=built)
    monkeypatch.setenv("AS_OF_DATE", "2026-06-04")
    monkeypatch.setenv("TEST_SCOPE", "some")
    with pytest.raises(DbtFailedError, match=r"test_scope is \"some\""):
        run_dbt("run", "--select", "fct_attempts", database=built)
    monkeypatch.setenv("TEST_SCOPE", "replaced")
    run_dbt("run", "--select", "fct_attempts", database=built)
    # A variable says it for one call.
    run_dbt("run", "--select", "fct_sessions", database=built, vars={"as_of_date": "2026-06-03"})
    with psycopg.connect(built.url) as connection:
        dates = connection.execute(
            "select model, as_of_date::text from ops.model_builds"
            " where model in ('fct_attempts', 'fct_sessions') order by model"
        )
        assert dates.fetchall() == [("fct_attempts", "2026-06-04"), ("fct_sessions", "2026-06-03")]
        kept = connection.execute("select to_regclass('analytics_state.fct_attempts__replaced')")
        assert kept.fetchall() == [("analytics_state.fct_attempts__replaced",)]
