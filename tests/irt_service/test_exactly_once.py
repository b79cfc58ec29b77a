"""Exactly once, whatever is killed: proved by one query over deliveries and abilities."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import Engine

from irt_service.replay import replay
from irt_service.scorer import Scorer
from irt_service.settings import Settings
from irt_service.store import trigger
from tests.conftest import Database
from tests.dbt_runner import DbtRunner
from tests.irt_service.school import build, open_school, publish_parameters
from tests.irt_service.storm import DAY_ONE, ITEMS, SERVICE, Plan, Storm
from warehouse.database import create_engine
from warehouse.schema import migrate
from warehouse.server import LocalServer

BRIEF = Plan(
    sessions=400,
    hold_seconds=4.0,
    pause_seconds=0.5,
    kill_every_seconds=0.5,
    kills=2,
    restarts=1,
)
LONG = Plan(
    sessions=5000,
    hold_seconds=60.0,
    pause_seconds=0.35,
    kill_every_seconds=3.0,
    kills=5,
    restarts=2,
    services=1,
)
FAST = {"fsync": "off", "shared_buffers": "128MB", "max_connections": "60"}
MARTS = ["+fct_sessions", "+fct_item_responses", "+dim_items"]

# What the batch scoring of the same results gives is in public.batch and public.batch_topics.
VERDICT = """
with scorings as (
    select
        user_id, session_id, run_id, fitted_at, id, theta, n_responses, effective_at,
        (
            select string_agg(topics.topic_id || topics.theta, ',' order by topics.topic_id)
            from irt.mirt_topic_ability as topics
            where topics.ability_id = ability.id
        ) as topics
    from irt.mirt_ability as ability
    union all
    select user_id, session_id, run_id, fitted_at, id, null, null, null, null
    from irt.mirt_ability_retraction
),
abilities as (
    select
        batch.theta is null as is_extra,
        online.theta is null as is_missing,
        abs(batch.theta - online.theta) > 1e-6
        or abs(batch.se - online.se) > 1e-6
        or batch.n_responses <> online.n_responses as is_unequal
    from irt.effective_ability as online
    full join public.batch as batch using (user_id, session_id, run_id)
    union all
    select
        batch.theta is null,
        online.theta is null,
        abs(batch.theta - online.theta) > 1e-6
        or abs(batch.se - online.se) > 1e-6
        or batch.n_responses <> online.n_responses
    from irt.effective_topic_ability as online
    full join public.batch_topics as batch using (user_id, session_id, run_id, topic_id)
),
deliveries as (
    select
        deliveries.session_id is null
        or deliveries.result_version <> results.xmin::text
        or deliveries.result_updated_at <> results.updated_at
        or deliveries.status = 'parked'
        or results.session_id is null as is_missing
    from exam.exam_results as results
    full join irt.deliveries as deliveries using (session_id)
)
select
    (select count(*) from deliveries where is_missing)
    + (select count(*) from abilities where is_missing) as missing,
    (
        select count(*)
        from (
            select
                (theta, n_responses, effective_at, topics) is not distinct from
                lag((theta, n_responses, effective_at, topics)) over (
                    partition by user_id, session_id, run_id order by fitted_at, id
                ) as is_same
            from scorings
        ) as compared
        where is_same
    ) as double,
    (select count(*) from abilities where is_unequal or is_extra) as unequal,
    (select count(*) from irt.effective_ability) as scored
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LocalServer]:
    """A PostgreSQL that may be stopped."""
    # Its user has to pass through the folders above.
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o711)
    server = LocalServer(tmp_path / "server", settings=FAST)
    server.start()
    yield server
    server.stop()


def new_database(server: LocalServer, template: Database | None = None) -> Database:
    """A migrated database of this server, or a copy of one to which nobody is connected."""
    # All names are of one length: see DbtRunner.
    name = f"seedtest_test_{uuid.uuid4().hex[:12]}"
    source = "template0" if template is None else template.name
    url = server.url.set(drivername="postgresql")
    with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as connection:
        connection.execute(f'create database "{name}" template "{source}"'.encode())
    url = url.set(database=name)
    engine = create_engine(url.set(drivername="postgresql+psycopg"))
    if template is None:
        migrate(engine, with_exam=True)
    return Database(url=url.render_as_string(hide_password=False), engine=engine)


def score_in_batch(server: LocalServer, database: Database, run_dbt: DbtRunner | None) -> None:
    """Score a copy from nothing, and bring what came out beside what the workers wrote."""
    batch = new_database(server, database)
    with psycopg.connect(batch.url) as connection:
        connection.execute(
            "truncate irt.deliveries, irt.mirt_topic_ability, irt.mirt_ability,"
            " irt.mirt_ability_retraction"
        )
    if run_dbt is None:
        build(batch.engine)
    else:
        run_dbt("run", "--select", *MARTS, "--full-refresh", database=batch)
    replay(batch.engine, Scorer(Settings()))
    with psycopg.connect(batch.url) as source, psycopg.connect(database.url) as target:
        for name, view, key in (
            ("batch", "effective_ability", "user_id, session_id, run_id"),
            ("batch_topics", "effective_topic_ability", "user_id, session_id, run_id, topic_id"),
        ):
            columns = f"{key}, theta, se, n_responses"
            target.execute(
                f"create table {name} as select {columns} from irt.{view} limit 0".encode()  # noqa: S608 - constants
            )
            with (
                source.cursor().copy(
                    f"copy (select {columns} from irt.{view}) to stdout".encode()  # noqa: S608 - constants
                ) as out,
                target.cursor().copy(f"copy {name} from stdin".encode()) as into,
            ):
                for part in out:
                    into.write(part)


def publish_two_runs(engine: Engine) -> None:
    """Two runs: most sessions need one of them, those in between both."""
    publish_parameters(engine, "run_1", ITEMS)
    publish_parameters(
        engine,
        "run_2",
        dict(list(ITEMS.items())[5:]),
        in_force_from=DAY_ONE.date().replace(month=6),
    )


def weather(storm: Storm, database: Database, run_dbt: DbtRunner | None) -> tuple[int, ...]:
    """Let a storm pass; returns the verdict."""
    if run_dbt is None:
        open_school(database.engine)
        storm.blow(lambda: build(database.engine))
    else:
        run_dbt("run", "--select", *MARTS, database=database)
        storm.blow(lambda: run_dbt("run", "--select", *MARTS, database=database))
    storm.calm()
    score_in_batch(storm.server, database, run_dbt)
    with psycopg.connect(database.url) as connection:
        row = connection.execute(VERDICT.encode()).fetchone()
    assert row is not None
    return row


@pytest.mark.timeout(240)
def test_every_delivery_is_scored_exactly_once(server: LocalServer, tmp_path: Path) -> None:
    database = new_database(server)
    publish_two_runs(database.engine)
    storm = Storm(BRIEF, server, database.url, tmp_path)
    missing, double, unequal, scored = weather(storm, database, None)
    assert (missing, double, unequal) == (0, 0, 0)
    assert scored > BRIEF.sessions * 0.9
    assert storm.restarts == BRIEF.restarts
    assert storm.kills >= BRIEF.kills
    assert storm.killed == {"worker_0", "worker_1"}


@pytest.mark.drill
@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("is_told", [False, True], ids=["looking", "told"])
def test_five_thousand_sessions_of_eight_writers_are_scored_exactly_once(
    server: LocalServer, tmp_path: Path, run_dbt: DbtRunner, *, is_told: bool
) -> None:
    database = new_database(server)
    publish_two_runs(database.engine)
    if is_told:
        with database.engine.begin() as connection:
            trigger.install(connection)
    storm = Storm(LONG, server, database.url, tmp_path)
    missing, double, unequal, scored = weather(storm, database, run_dbt)
    assert (missing, double, unequal) == (0, 0, 0)
    assert scored > LONG.sessions * 0.9
    assert storm.restarts == LONG.restarts
    assert storm.kills >= LONG.kills
    assert storm.killed == {"worker_0", "worker_1", SERVICE}
