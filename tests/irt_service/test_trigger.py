"""The optional trigger: it makes workers fast, and its absence makes them miss nothing."""

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from itertools import takewhile

import psycopg
import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry
from sqlalchemy.engine import Engine

from irt_service.background import BackgroundWorkers
from irt_service.metrics import BacklogCollector
from irt_service.settings import Settings
from tests.conftest import Database
from tests.irt_service.school import (
    DAY_ONE,
    Command,
    deliver,
    effective,
    open_school,
    publish_parameters,
    scalar,
)
from tests.warehouse.waiting import wait_until

ITEMS = {"q_1": (1.0, 0.0, 0.0), "q_2": (1.5, 0.5, 0.0)}
# Long enough that whoever waits for the next look is told from whoever was woken.
SLOW_POLL_SECONDS = 300.0
PATIENCE_SECONDS = 100.0
# What the listener is told last.
THE_END = "that is all"


@pytest.fixture
def school(database: Database) -> Engine:
    """A database with the staging view and run_1 in force."""
    open_school(database.engine)
    publish_parameters(database.engine, "run_1", ITEMS)
    return database.engine


@pytest.fixture
def workers(school: Engine) -> Iterator[BackgroundWorkers]:
    """Two workers that look every five minutes."""
    running = BackgroundWorkers(school, Settings(), count=2, poll_seconds=SLOW_POLL_SECONDS)
    yield running
    assert running.stop(60.0)
    assert not running.is_running


def wait_for_abilities(engine: Engine, count: int) -> None:
    """Wait until so many sessions have an ability; not as long as to the next look."""
    wait_until(lambda: len(effective(engine)) >= count, PATIENCE_SECONDS)


def finish(engine: Engine, number: int) -> None:
    """Deliver a session of a student of its own."""
    with engine.begin() as connection:
        deliver(connection, f"s_{number}", f"student_{number}", DAY_ONE, [("q_1", True)])


def is_told(engine: Engine, url: str, change: str) -> list[str]:
    """What a listener hears of a statement."""
    with psycopg.connect(url, autocommit=True) as listener:
        listener.execute("listen seedtest_results")
        with engine.begin() as connection:
            connection.execute(sa.text(change))
        with engine.begin() as connection:
            connection.execute(sa.text(f"notify seedtest_results, '{THE_END}'"))
        # Listening holds the connection until it is closed.
        with closing(listener.notifies(timeout=PATIENCE_SECONDS)) as heard:
            told = takewhile(lambda one: one.payload != THE_END, heard)
            return sorted(one.payload for one in told)


def test_with_the_trigger_a_worker_is_woken(
    school: Engine, workers: BackgroundWorkers, command: Command
) -> None:
    assert command("trigger", "install").returncode == 0
    finish(school, 0)
    workers.start()
    wait_for_abilities(school, 1)
    finish(school, 1)
    wait_for_abilities(school, 2)


def test_without_the_trigger_a_worker_looks_for_itself(school: Engine) -> None:
    workers = BackgroundWorkers(school, Settings(), poll_seconds=0.2)
    workers.start()
    finish(school, 0)
    wait_for_abilities(school, 1)
    assert workers.stop(60.0)


def test_every_kind_of_change_is_told_and_a_load_tells_once(
    school: Engine, database: Database, command: Command
) -> None:
    command("trigger", "install")
    for number in range(2):
        finish(school, number)
    changes = {
        "update exam.exam_results set status = 'failed' where session_id = 's_1'": ["s_1"],
        "delete from exam.exam_results": ["s_0", "s_1"],
        "insert into exam.exam_results (session_id, status)"
        " select 'x_' || number, 'ready' from generate_series(1, 1000) as number": [""],
        "insert into exam.exam_results (session_id, status) values (repeat('y', 2000), 'ready')": [
            ""
        ],
        "update exam.exam_results set status = 'ready' where false": [],
    }
    for change, told in changes.items():
        assert is_told(school, database.url, change) == told


def test_the_trigger_is_installed_twice_and_removed_without_a_trace(
    school: Engine, database: Database, command: Command
) -> None:
    for action in ("install", "install", "remove", "remove"):
        assert command("trigger", action).returncode == 0
    assert is_told(school, database.url, "update exam.exam_results set status = 'ready'") == []
    assert scalar(school, "select count(*) from pg_trigger where tgname like 'seedtest%'") == 0
    assert scalar(school, "select to_regproc('irt.tell_of_results') is null") is True


def test_the_application_needs_no_right_on_schema_irt(school: Engine, command: Command) -> None:
    command("trigger", "install")
    with school.begin() as connection:
        connection.execute(sa.text("create role someone_who_writes_results nologin"))
    try:
        with school.begin() as connection:
            for statement in (
                "grant usage on schema exam to someone_who_writes_results",
                "grant insert on exam.exam_results to someone_who_writes_results",
                "set local role someone_who_writes_results",
                "insert into exam.exam_results (session_id, status) values ('s_1', 'failed')",
            ):
                connection.execute(sa.text(statement))
    finally:
        with school.begin() as connection:
            connection.execute(sa.text("drop owned by someone_who_writes_results"))
            connection.execute(sa.text("drop role someone_who_writes_results"))
    assert scalar(school, "select count(*) from exam.exam_results") == 1


def test_a_worker_comes_back_when_its_connections_are_cut(
    school: Engine, workers: BackgroundWorkers, command: Command
) -> None:
    command("trigger", "install")
    finish(school, 0)
    workers.start()
    wait_for_abilities(school, 1)
    with school.begin() as connection:
        connection.execute(
            sa.text(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid()"
            )
        )
    finish(school, 1)
    wait_for_abilities(school, 2)
    assert workers.is_running


def test_the_backlog_tells_what_waits_and_what_is_in_force(school: Engine) -> None:
    finish(school, 0)
    with school.begin() as connection:
        deliver(connection, "s_1", "kim", DAY_ONE + timedelta(days=1), [("q_1", True)])
        connection.execute(
            sa.text(
                "insert into irt.deliveries (session_id, result_version, status, tries, reason)"
                " values ('gone', '', 'parked', 3, 'DataError: of somebody')"
            )
        )
    registry = CollectorRegistry()
    registry.register(BacklogCollector(school, max_tries=3))
    assert registry.get_sample_value("irt_queue_depth") == 2
    age = registry.get_sample_value("irt_queue_oldest_seconds")
    now = scalar(school, "select extract(epoch from now() - '2026-03-01 09:00Z')::float8")
    assert age == pytest.approx(now, abs=60.0)
    assert registry.get_sample_value("irt_parked_deliveries", {"reason": "DataError"}) == 1
    assert registry.get_sample_value("irt_run_in_force_info", {"run_id": "run_1"}) == 1
