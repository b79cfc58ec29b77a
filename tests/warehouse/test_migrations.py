"""Schemas go up and down, wait for each other, and grant each role its own and no more."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
import sqlalchemy as sa
from alembic import command
from sqlalchemy.engine import Connection

from tests.conftest import Database, DatabaseFactory
from warehouse import revisions, schema
from warehouse.database import create_engine
from warehouse.errors import SchemaAheadError, SchemaVersionError, WarehouseError
from warehouse.migrations import roles

NEWEST = "0007"
OURS = {"irt", "reports", "ops", "exam", "analytics", "analytics_state"}


def _schemas(database: Database) -> set[str]:
    with database.engine.connect() as connection:
        return set(sa.inspect(connection).get_schema_names()) & OURS


def test_up_down_and_up_again_on_an_empty_database(new_database: DatabaseFactory) -> None:
    database = new_database(empty=True)
    assert schema.migrate(database.engine, with_exam=True) == [NEWEST, "exam_0001"]
    assert _schemas(database) == OURS
    assert schema.migrate(database.engine, with_exam=True) == []
    assert schema.take_back(database.engine, with_exam=True) == [NEWEST, "exam_0001"]
    assert _schemas(database) == set()
    assert schema.migrate(database.engine) == [NEWEST]
    assert _schemas(database) == OURS - {"exam"}


def _shape(connection: Connection) -> list[tuple[object, ...]]:
    rows = connection.execute(
        sa.text(
            "select table_schema, table_name, column_name, data_type, is_nullable "
            "from information_schema.columns where table_schema in ('irt', 'reports', 'ops') "
            "order by 1, 2, 3"
        )
    )
    return [tuple(row) for row in rows]


def test_each_step_is_taken_back_to_what_was_before_it(new_database: DatabaseFactory) -> None:
    with new_database(empty=True).engine.begin() as connection:
        connection.execute(sa.text("create schema ops"))
        config = revisions.configuration(connection)
        before: dict[str, list[tuple[object, ...]]] = {}
        for script in reversed(revisions.scripts(revisions.WAREHOUSE)):
            before[script.revision] = _shape(connection)
            command.upgrade(config, script.revision)
        for script in revisions.scripts(revisions.WAREHOUSE)[:-1]:
            command.downgrade(config, str(script.down_revision))
            assert _shape(connection) == before[script.revision], script.revision


def test_code_refuses_a_database_that_is_behind_or_ahead(new_database: DatabaseFactory) -> None:
    database = new_database(empty=True)
    with pytest.raises(SchemaVersionError, match=r"at no version, the code needs \w+: run python"):
        schema.require_current(database.engine)
    schema.migrate(database.engine)
    schema.require_current(database.engine)
    with database.engine.begin() as connection:
        connection.execute(sa.text("update ops.schema_version set version_num = 'later'"))
        connection.execute(sa.text("update ops.schema_window set oldest_code = 'later'"))
    with pytest.raises(SchemaAheadError, match=r"at later, which is newer .* update the code"):
        schema.require_current(database.engine)
    with pytest.raises(SchemaAheadError, match="no longer works with it"):
        schema.migrate(database.engine)


def test_code_works_with_a_database_that_is_ahead_by_steps_that_only_add(
    database: Database,
) -> None:
    with database.engine.begin() as connection:
        connection.execute(
            sa.text(
                "update ops.schema_version set version_num = 'later' "
                "where version_num not like 'exam%'"
            )
        )
    schema.require_current(database.engine)
    assert schema.migrate(database.engine) == []


def test_concurrent_migrations_wait_for_each_other(new_database: DatabaseFactory) -> None:
    database = new_database(empty=True)
    applied: list[list[str]] = []

    def migrate() -> None:
        applied.append(schema.migrate(create_engine(database.url), with_exam=True))

    threads = [threading.Thread(target=migrate) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(applied) == [[], [], [NEWEST, "exam_0001"]]


def test_taking_back_refuses_while_marts_depend_on_it(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.execute(
            sa.text(
                "create view analytics.dim_item_parameters as select * from irt.mirt_item_params"
            )
        )
    with pytest.raises(WarehouseError, match="not taken back, nothing was changed"):
        schema.take_back(database.engine)
    schema.require_current(database.engine)


def test_taking_back_keeps_the_marts_of_dbt(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.execute(sa.text("create table analytics.fct_attempts (attempt_id text)"))
    schema.take_back(database.engine, with_exam=True)
    assert _schemas(database) == {"analytics"}


def test_a_migration_gives_up_on_a_lock_and_changes_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "LOCK_TIMEOUT", "100ms")
    monkeypatch.setattr(schema, "LOCK_TRIES", 2)
    monkeypatch.setattr(schema, "LOCK_PAUSE_SECONDS", 0.1)
    with database.engine.begin() as reader:
        reader.execute(sa.text("select count(*) from irt.mirt_ability"))
        with pytest.raises(WarehouseError, match="waited 100ms for a lock, 2 times, and gave up"):
            schema.take_back(database.engine)
    schema.require_current(database.engine)


def test_a_migration_tries_again_until_a_long_transaction_has_ended(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(schema, "LOCK_TIMEOUT", "100ms")
    monkeypatch.setattr(schema, "LOCK_TRIES", 100)
    monkeypatch.setattr(schema, "LOCK_PAUSE_SECONDS", 0.1)
    reader = database.engine.connect()
    reader.execute(sa.text("select count(*) from irt.mirt_ability"))

    def read_until_it_was_in_the_way() -> None:
        while "did not get its locks" not in caplog.text:
            time.sleep(0.02)
        reader.close()

    thread = threading.Thread(target=read_until_it_was_in_the_way)
    thread.start()
    assert schema.take_back(database.engine, with_exam=True) == [NEWEST, "exam_0001"]
    thread.join()


def test_the_applications_own_exam_tables_are_left_alone(new_database: DatabaseFactory) -> None:
    database = new_database(empty=True)
    with database.engine.begin() as connection:
        connection.execute(sa.text("create schema exam"))
        connection.execute(sa.text("create table exam.exam_results (session_id text, mine int)"))
    assert schema.migrate(database.engine, with_exam=True) == [NEWEST]
    with database.engine.connect() as connection:
        columns = sa.inspect(connection).get_columns("exam_results", schema="exam")
    assert [column["name"] for column in columns] == ["session_id", "mine"]


def test_an_exam_schema_that_holds_something_else_is_refused(
    new_database: DatabaseFactory,
) -> None:
    database = new_database(empty=True)
    with database.engine.begin() as connection:
        connection.execute(sa.text("create schema exam"))
        connection.execute(sa.text("create table exam.other (x int)"))
    with pytest.raises(WarehouseError, match="1 relations that these migrations did not make"):
        schema.migrate(database.engine, with_exam=True)
    assert _schemas(database) == {"exam"}


@contextmanager
def _as_role(database: Database, role: str) -> Iterator[Connection]:
    with database.engine.begin() as connection:
        connection.execute(sa.text(f'set local role "{role}"'))
        yield connection


def _may(database: Database, role: str, statement: str) -> bool:
    try:
        with _as_role(database, role) as connection:
            connection.execute(sa.text(statement))
            connection.rollback()
    except sa.exc.ProgrammingError as error:
        assert isinstance(error.orig, psycopg.errors.InsufficientPrivilege), error
        return False
    return True


ABILITY = (
    "insert into irt.mirt_ability "
    "(user_id, theta, se, model, run_id, session_id, effective_at, n_responses) "
    "select 'u', 0, 1, '2PL', run_id, 's', now(), 5 from irt.mirt_fit_meta"
)
RETRACTION = (
    "insert into irt.mirt_ability_retraction (user_id, run_id, session_id, reason) "
    "select 'u', run_id, 's', 'moved' from irt.mirt_fit_meta"
)
PERSON_FIT = (
    "insert into irt.person_fit (run_id, user_id, lz_star, n_responses) "
    "select run_id, 'u', -3, 20 from irt.mirt_fit_meta"
)
RESULT = "insert into exam.exam_results (session_id, status) values ('s', 'ready')"
MAY = (
    ("seedtest_irt_writer", ABILITY, True),
    ("seedtest_irt_writer", RETRACTION, True),
    ("seedtest_irt_writer", PERSON_FIT, True),
    ("seedtest_irt_writer", "update irt.item_drift set q = 0", False),
    ("seedtest_irt_writer", "delete from irt.baselines", False),
    ("seedtest_irt_writer", "update irt.mirt_ability set theta = 9", False),
    ("seedtest_irt_writer", "delete from irt.mirt_ability", False),
    ("seedtest_irt_writer", "update irt.publications set revoked_at = now()", True),
    ("seedtest_irt_writer", "update irt.publications set in_force_from = now()", False),
    ("seedtest_irt_writer", "select session_id, updated_at, xmin from exam.exam_results", True),
    ("seedtest_irt_writer", "select result_json from exam.exam_results", False),
    ("seedtest_irt_writer", "delete from reports.report_artifacts", False),
    (
        "seedtest_irt_writer",
        "insert into ops.pipeline_runs (step, status) values ('x', 'failed')",
        True,
    ),
    ("seedtest_exam_reader", "select * from exam.exam_results", True),
    ("seedtest_exam_reader", RESULT, False),
    ("seedtest_exam_reader", "select * from irt.mirt_ability", False),
    ("seedtest_analytics_writer", "create table analytics.x (y int)", True),
    ("seedtest_analytics_writer", "select * from exam.exam_results", True),
    ("seedtest_analytics_writer", "update exam.exam_results set status = 'failed'", False),
    ("seedtest_analytics_writer", ABILITY, False),
    ("seedtest_analytics_writer", "insert into ops.model_builds (model) values ('x')", True),
    ("seedtest_reports_writer", "delete from reports.report_artifacts", True),
    ("seedtest_reports_writer", ABILITY, False),
    ("seedtest_reports_writer", "select * from irt.pinned_baseline", True),
    ("seedtest_reports_writer", "select * from irt.person_fit", False),
    ("seedtest_analyst", "select * from analytics.later", True),
    ("seedtest_analyst", "select * from irt.current_ability", True),
    ("seedtest_analyst", "select * from irt.item_dif", True),
    ("seedtest_analyst", "select * from irt.person_fit", False),
    ("seedtest_analyst", "select session_id, updated_at, xmin from exam.exam_results", True),
    ("seedtest_analyst", "select * from exam.exam_results", False),
    ("seedtest_analyst", "select * from irt.api_tokens", False),
    ("seedtest_analyst", "select * from ops.erased_students", False),
    ("seedtest_analyst", "delete from analytics.later", False),
    ("seedtest_analyst", "create table analytics.x (y int)", False),
    ("seedtest_application", "select * from irt.mirt_ability", True),
    ("seedtest_application", "select * from reports.report_artifacts", False),
    ("seedtest_application", "select * from irt.person_fit", False),
    ("seedtest_application", ABILITY, False),
    ("seedtest_application", "select * from irt.api_tokens", False),
    ("seedtest_analytics_writer", "select * from irt.api_tokens", False),
    ("seedtest_reports_writer", "select * from irt.api_tokens", False),
    ("seedtest_irt_writer", "update irt.api_tokens set revoked_at = now()", True),
    ("seedtest_irt_writer", "update irt.api_tokens set expires_at = null", False),
    ("seedtest_irt_writer", "delete from irt.requested_runs", True),
    ("seedtest_irt_writer", "select * from reports.report_artifacts", True),
    ("seedtest_analyst", "select * from irt.requested_runs", False),
)


def test_each_role_may_do_its_work_and_nothing_else(database: Database) -> None:
    with database.engine.begin() as connection:
        # Made after the migration, as dbt's tables are.
        connection.execute(sa.text("create table analytics.later (x int)"))
    found = [(role, what, _may(database, role, what)) for role, what, _ in MAY]
    assert found == list(MAY)


def test_the_applications_search_path_finds_abilities(new_database: DatabaseFactory) -> None:
    database = new_database(empty=True)
    schema.migrate(database.engine)
    with database.engine.connect() as connection:
        settings: list[str] = connection.execute(
            sa.text(
                "select setconfig from pg_catalog.pg_db_role_setting "
                "where setdatabase = (select oid from pg_database where datname = :name) "
                "and setrole = 'seedtest_application'::regrole"
            ),
            {"name": database.name},
        ).scalar_one()
    assert settings == ['search_path="$user", public, irt, analytics']


def test_without_the_right_to_create_roles_the_schemas_stand_and_a_warning_says_so(
    new_database: DatabaseFactory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    database = new_database(empty=True)
    login = f"plain_{database.name[-12:]}"
    with database.engine.begin() as connection:
        connection.execute(sa.text(f'create role "{login}"'))
        connection.execute(sa.text(f'grant create on database "{database.name}" to "{login}"'))
    # Another name, because the server's roles exist already.
    monkeypatch.setattr(roles, "ROLES", ("seedtest_no_such_role",))
    engine = create_engine(database.url, connect_args={"options": f"-c role={login}"})
    try:
        assert schema.migrate(engine) == [NEWEST]
        schema.require_current(engine)
        assert "create role seedtest_no_such_role nologin" in caplog.text
    finally:
        with database.engine.begin() as connection:
            connection.execute(sa.text(f'drop owned by "{login}" cascade'))
            connection.execute(sa.text(f'drop role "{login}"'))
