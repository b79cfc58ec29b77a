"""What data tests read in a night, and that the week's tests read everything."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import psycopg
import pytest

from tests.conftest import Database
from tests.dbt.kpi_scenario import KpiSchool
from tests.dbt_runner import DbtFailedError, DbtRunner

FIRST_NIGHT = date(2026, 4, 10)
SECOND_NIGHT = date(2026, 4, 11)
BROKEN = "daily_kpis_count_sessions_in_nested_windows"
BUILD = ("build", "--exclude-resource-type", "unit_test")
TESTS = (
    "test",
    "--exclude-resource-type",
    "unit_test",
    "--select",
    "fct_student_daily_kpis",
    "fct_inactivity_daily",
    "fct_attempts",
)


@pytest.fixture(scope="module")
def built(new_warehouse: Callable[[], Database], run_dbt: DbtRunner) -> Database:
    """A school that was built whole, and one night more."""
    database = new_warehouse()
    world = KpiSchool.random(8, students=3)
    world.write(database.url)
    world.write_abilities(database.url)
    run_dbt(*BUILD, "test", database=database, vars=nightly(FIRST_NIGHT))
    run_dbt(*BUILD, database=database, vars=nightly(SECOND_NIGHT))
    return database


def nightly(night: date) -> dict[str, object]:
    """The variables of a night's build."""
    return {"as_of_date": night, "test_scope": "replaced"}


def test_a_night_tests_what_it_wrote(built: Database, run_dbt: DbtRunner) -> None:
    harm = "update analytics_state.fct_student_daily_kpis__replaced set session_count_churn = %s"
    with psycopg.connect(built.url) as connection:
        days = connection.execute(
            "select distinct kpi_date from analytics_state.fct_student_daily_kpis__replaced"
        )
        assert days.fetchall() == [(SECOND_NIGHT,)]
        connection.execute(harm, (-1,))
    with pytest.raises(DbtFailedError, match=BROKEN):
        run_dbt(*TESTS, database=built, vars=nightly(SECOND_NIGHT))
    with psycopg.connect(built.url) as connection:
        connection.execute(harm, (1000,))
    run_dbt(*TESTS, database=built, vars=nightly(SECOND_NIGHT))


@pytest.mark.drill
@pytest.mark.long
def test_what_is_wrong_with_older_rows_is_found_in_full(
    built: Database, run_dbt: DbtRunner
) -> None:
    harm = (
        "update analytics.fct_student_daily_kpis set session_count_churn = %s where kpi_date = %s"
    )
    with psycopg.connect(built.url) as connection:
        assert connection.execute(harm, (-1, FIRST_NIGHT)).rowcount > 0
    run_dbt(*TESTS, database=built, vars=nightly(SECOND_NIGHT))
    with pytest.raises(DbtFailedError, match=BROKEN):
        run_dbt(*TESTS, database=built, vars={"as_of_date": SECOND_NIGHT})
    with psycopg.connect(built.url) as connection:
        connection.execute(harm, (1000, FIRST_NIGHT))


@pytest.mark.parametrize(
    ("value", "column"),
    [("2", "churn_risk"), ("'NaN'", "engagement"), ("'guessed'", "improvement_basis")],
)
def test_a_value_that_cannot_be_is_refused_when_it_is_written(
    built: Database, value: str, column: str
) -> None:
    harm = f"update analytics.fct_student_daily_kpis set {column} = {value}"  # noqa: S608 - ours
    with (
        psycopg.connect(built.url) as connection,
        pytest.raises(psycopg.errors.CheckViolation, match=f"_kpis_{column}_check"),
    ):
        connection.execute(harm)


@pytest.mark.parametrize(
    ("relation", "column", "integrity_test"),
    [
        ("fct_sessions", "attempt_count", "sessions_add_up_to_their_attempts"),
        ("fct_topic_daily_features", "graded_count", "topic_features_add_up_to_attempts"),
        ("fct_student_daily_kpis", "attempt_count_recent", "daily_kpis_add_up_to_attempts"),
    ],
)
def test_marts_that_do_not_add_up_are_found(
    built: Database, run_dbt: DbtRunner, relation: str, column: str, integrity_test: str
) -> None:
    harm = (
        f"update analytics.{relation} set {column} = {column} + %s where student_id = 'student-1'"  # noqa: S608 - ours
    )
    test = ("test", "--select", integrity_test)
    run_dbt(*test, database=built, vars={"as_of_date": SECOND_NIGHT})
    with psycopg.connect(built.url) as connection:
        assert connection.execute(harm.encode(), (1,)).rowcount > 0
    with pytest.raises(DbtFailedError, match=integrity_test):
        run_dbt(*test, database=built, vars={"as_of_date": SECOND_NIGHT})
    with psycopg.connect(built.url) as connection:
        connection.execute(harm.encode(), (-1,))


@pytest.mark.drill
def test_what_arrives_after_a_build_is_no_failure_of_it(
    built: Database, run_dbt: DbtRunner
) -> None:
    move = "update exam.exam_results set user_id = %s where user_id = %s"
    models = ("fct_attempts", "fct_sessions")
    tests = ("test", "--select", "sessions_add_up_to_their_attempts")
    tests += ("topic_features_add_up_to_attempts", "daily_kpis_add_up_to_attempts")
    for students in (("student-9", "student-2"), ("student-2", "student-9")):
        with psycopg.connect(built.url) as connection:
            assert connection.execute(move, students).rowcount > 0
        for model in models:
            run_dbt("run", "--select", model, database=built, vars=nightly(SECOND_NIGHT))
            run_dbt(*tests, database=built, vars={"as_of_date": SECOND_NIGHT})


def test_after_a_full_refresh_everything_is_tested(built: Database, run_dbt: DbtRunner) -> None:
    run_dbt(
        *BUILD,
        "--full-refresh",
        "--select",
        "fct_student_daily_kpis",
        database=built,
        vars=nightly(SECOND_NIGHT),
    )
    with psycopg.connect(built.url) as connection:
        tables = connection.execute(
            "select to_regclass('analytics_state.fct_student_daily_kpis__replaced') is null,"
            " to_regclass('analytics_state.fct_attempts__replaced') is null"
        ).fetchone()
    assert tables == (True, False)


@pytest.mark.drill
def test_the_documentation_knows_every_column(built: Database, run_dbt: DbtRunner) -> None:
    catalog = run_dbt("docs", "generate", database=built).result
    manifest = run_dbt("parse", database=built).result
    assert len(catalog.nodes) > len(("staging", "intermediate", "marts"))
    nameless = [
        f"{node_id}.{column}"
        for node_id, table in catalog.nodes.items()
        for column in table.columns
        if column not in (known := manifest.nodes[node_id].columns) or not known[column].description
    ]
    assert nameless == []
