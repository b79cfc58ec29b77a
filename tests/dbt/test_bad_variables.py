"""A bad variable stops dbt before it writes, and says which one, its value, what is allowed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
import yaml

from tests.conftest import ROOT, Database, DatabaseFactory
from tests.dbt.deliveries import SELECT_FACTS, answer, deliver
from tests.dbt_runner import DbtFailedError, DbtRunner

VARS = {"as_of_date": "2026-06-01"}
STATE = """
select 'consumed', input_key, version from analytics_state.fct_attempts
union all
select 'build', model, as_of_date::text || settings::text || built_at from ops.model_builds
order by 1, 2, 3
"""


def state(database: Database) -> list[tuple[object, ...]]:
    """What the models of the database have consumed and are builds of."""
    with psycopg.connect(database.url) as connection:
        return connection.execute(STATE).fetchall()


@pytest.mark.parametrize(
    ("variables", "parts"),
    [
        ({"as_of_date": "2026-02-30"}, ("as_of_date", "2026-02-30", "YYYY-MM-DD")),
        ({"as_of_date": "yesterday"}, ("as_of_date", "yesterday", "YYYY-MM-DD")),
        ({"as_of_date": "20226-01-01"}, ("as_of_date", "20226-01-01", "YYYY-MM-DD")),
        ({"as_of_date": "2026-05-31"}, ("as_of_date", "2026-05-31", "not before 2026-06-01")),
        ({"kpi_history_start": "2026-13-01"}, ("kpi_history_start", "2026-13-01")),
        ({"reporting_timezone": "Asia/Soul"}, ("reporting_timezone", "Asia/Soul")),
        ({"reporting_timezone": "'; drop"}, ("reporting_timezone", "; drop")),
        ({"reporting_timezone": "Asia/Tokyo"}, ("reporting_timezone", "--full-refresh")),
        ({"hint_count_max": 7}, ("hint_count_max", "7", "1000", "--full-refresh")),
        ({"hint_count_max": "many"}, ("hint_count_max", "many", "from 0 to 1000000")),
        ({"long_window_days": 0}, ("long_window_days", "0", "from 1 to 365")),
        ({"short_window_days": 28}, ("short_window_days", "28", "long_window_days")),
        ({"churn_weight_gap": 0.5}, ("churn_weight_gap", "1.25", "sum to 1")),
        ({"churn_weight_gap": float("nan")}, ("churn_weight_gap", "from 0 to 1")),
        ({"engagement_weight_hints": -0.1}, ("engagement_weight_hints", "-0.1", "from 0 to 1")),
        ({"backfill": "perhaps"}, ("backfill", "perhaps", "true or false")),
        (
            {"backfill": True, "backfill_from": "2026-05-01"},
            ("backfill_to", "null", "since backfill_from is 2026-05-01"),
        ),
        (
            {"backfill": True, "backfill_from": "2026-05-32", "backfill_to": "2026-06-01"},
            ("backfill_from", "2026-05-32", "YYYY-MM-DD"),
        ),
        (
            {"backfill_from": "2026-05-01", "backfill_to": "2026-05-02"},
            ("backfill_from", "2026-05-01", "unless backfill is true"),
        ),
        (
            {"backfill": True, "backfill_from": "2026-05-03", "backfill_to": "2026-05-02"},
            ("backfill_from", "2026-05-03", "not after backfill_to", "2026-05-02"),
        ),
        (
            {"backfill": True, "backfill_from": "2026-05-03", "backfill_to": "2026-06-02"},
            ("backfill_to", "2026-06-02", "not after the day of the build", "2026-06-01"),
        ),
        ({"as_of_day": "2026-06-02"}, ("as_of_day", "2026-06-02", "as_of_date")),
        ({"inactivity_threshold_days": 28}, ("inactivity_threshold_days", "dormant_threshold")),
        ({"test_scope": "some"}, ("test_scope", "some", "all or replaced")),
        ({"reporting_timezone": None}, ("reporting_timezone", "null")),
        ({"churn_full_sessions": True}, ("churn_full_sessions", "true", "from 1 to 10000")),
    ],
)
def test_a_bad_setting_stops_dbt_before_it_writes(
    settled: Database, run_dbt: DbtRunner, variables: dict[str, object], parts: tuple[str, ...]
) -> None:
    before = state(settled)
    with pytest.raises(DbtFailedError) as failure:
        run_dbt("run", *SELECT_FACTS, database=settled, vars={**VARS, **variables})
    for part in parts:
        assert part in str(failure.value)
    assert state(settled) == before


@pytest.fixture(scope="module")
def settled(new_database: DatabaseFactory, run_dbt: DbtRunner) -> Database:
    """A built database that no test changes."""
    database = new_database()
    with psycopg.connect(database.url) as connection:
        deliver(connection, "r0", {"questions": [answer("q1")]})
    run_dbt("run", *SELECT_FACTS, database=database, vars=VARS)
    return database


# What models calculate with while dbt still reads them: here the variable must be named too.
def test_the_command_names_the_variable(settled: Database, tmp_path: Path) -> None:
    variables = (
        "{short_window_days: many, long_window_days: [28], ability_lookback_days: x,"
        " notification_cooldown_days: y, backtest_goal_outcome_days: null}"
    )
    before = state(settled)
    result = subprocess.run(
        [
            Path(sys.executable).parent / "dbt",
            "build",
            "--vars",
            variables,
            "--target-path",
            tmp_path,
            "--log-path",
            tmp_path,
        ],
        cwd=ROOT,
        env=settled.env,
        check=False,
        capture_output=True,
        text=True,
    )
    assert result.returncode != 0
    for part in ("short_window_days", "many", "from 1 to 365", "Nothing was built"):
        assert part in result.stdout
    assert "Traceback" not in result.stdout + result.stderr
    assert state(settled) == before


def test_every_variable_has_a_rule() -> None:
    variables = yaml.safe_load((ROOT / "dbt_project.yml").read_text())["vars"]
    rules = (ROOT / "dbt/macros/settings/rules.sql").read_text()
    assert set(variables) == set(re.findall(r"^        '(\w+)': \{", rules, re.MULTILINE))


def test_the_documentation_shows_every_variable_with_its_value() -> None:
    project = (ROOT / "dbt_project.yml").read_text()
    shown = (ROOT / "dbt/models/overview.md").read_text()
    written = project.partition("\nvars:\n")[2].partition("\non-run-start:")[0]
    assert re.findall(r"^\| `(\w+)` \| (\S+) \|", shown, re.MULTILINE) == re.findall(
        r"^  (\w+): \"?([^\s\"]+)\"?$", written, re.MULTILINE
    )


def test_the_documentation_begins_with_models_that_exist() -> None:
    shown = (ROOT / "dbt/models/overview.md").read_text()
    named = set(re.findall(r"#!/model/model\.seedtest_analytics\.(\w+)\)", shown))
    assert named <= {path.stem for path in ROOT.glob("dbt/models/marts/**/*.sql")}
    assert len(named) == shown.count("](#!/model/")
