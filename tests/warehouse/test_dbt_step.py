"""A dbt step: of which day, under which lock, and what the ledger knows of it afterwards."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from tests.conftest import ROOT, Database
from tests.warehouse.waiting import wait_until
from warehouse.cli import main
from warehouse.ledger import step

GOOD = """{{ config(materialized='table') }}
select
    '{{ env_var("AS_OF_DATE", "") }}' as day,
    '{{ var("test_scope", none) or env_var("TEST_SCOPE", "") }}' as scope
union all select '', ''
"""
BAD = "select * from nowhere"
TESTS = """
models:
  - name: good
    columns:
      - name: day
        data_tests: [{not_null: {name: day_is_there}}]
      - name: scope
        data_tests:
          - accepted_values: {arguments: {values: [""]}, name: scope_is_empty}
          - not_null: {name: scope_is_there, config: {tags: [weekly]}}
"""


@pytest.fixture
def project(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A dbt project of two models in the working directory, and the database that it builds."""
    (tmp_path / "dbt_project.yml").write_text(
        "name: small\nprofile: seedtest_analytics\nflags: {send_anonymous_usage_stats: false}\n"
        "vars: {reporting_timezone: Pacific/Kiritimati}\n"
    )
    (tmp_path / "profiles.yml").write_text((ROOT / "profiles.yml").read_text())
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "good.sql").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", database.url)
    return tmp_path


def _runs(database: Database) -> list[sa.RowMapping]:
    with database.engine.connect() as connection:
        statement = sa.text("select * from ops.pipeline_runs order by id")
        return list(connection.execute(statement).mappings())


def _built(database: Database) -> tuple[str, str]:
    with database.engine.connect() as connection:
        row = connection.execute(
            sa.text("select day, scope from analytics.good order by day desc limit 1")
        ).one()
    return row.day, row.scope


def test_a_night_is_of_yesterday_and_tests_what_it_replaced(
    project: Path, database: Database, capfd: pytest.CaptureFixture[str]
) -> None:
    zone = ZoneInfo("Asia/Seoul")  # of the checkout; a project elsewhere has no say
    before = datetime.now(UTC).astimezone(zone).date() - timedelta(days=1)
    assert main(["dbt", "night", "--", "build"]) == 0
    after = datetime.now(UTC).astimezone(zone).date() - timedelta(days=1)
    [run] = _runs(database)
    assert before <= run["as_of_date"] <= after
    assert _built(database) == (str(run["as_of_date"]), "replaced")
    assert (run["step"], run["status"], run["row_count"]) == ("night", "succeeded", 2)
    assert run["versions"]["dbt"].startswith("1.")
    printed = capfd.readouterr().out
    assert "Completed successfully" in printed
    assert " START " not in printed
    # What ends well and leaves the results of another run has none of its own. The project is
    # not read anew, whatever night it is.
    assert "Unable to do partial parsing because saved manifest not found" in printed
    assert main(["dbt", "night", "--", "ls"]) == 0
    assert "Unable to do partial parsing" not in capfd.readouterr().out
    assert [run["row_count"] for run in _runs(database)] == [2, None]
    with database.engine.connect() as connection:
        counted = connection.execute(sa.text("select run_id, node from ops.dbt_results"))
        assert counted.all() == [(run["id"], "model.small.good")]


def test_failures_are_named_and_each_node_has_its_row(
    project: Path, database: Database, capfd: pytest.CaptureFixture[str]
) -> None:
    (project / "models" / "bad.sql").write_text(BAD)
    (project / "models" / "tests.yml").write_text(TESTS)
    given = ["build", "--vars", "{test_scope: some}"]
    assert main(["dbt", "night", "--as-of", "2026-03-01", "--", *given]) == 1
    assert _built(database) == ("2026-03-01", "some")
    [run] = _runs(database)
    assert (run["status"], run["row_count"]) == ("failed", 2)
    assert 'relation "nowhere" does not exist' in run["error"]
    assert "error: dbt build … ended with 1: model.small.bad: " in capfd.readouterr().err
    with database.engine.connect() as connection:
        nodes = connection.execute(
            sa.text("select node, status, row_count from ops.dbt_results where run_id = :run"),
            {"run": run["id"]},
        ).all()
    assert {(node.rpartition(".")[0] or node, status, rows) for node, status, rows in nodes} == {
        ("model.small", "success", 2),
        ("model.small", "error", None),
        ("test.small.day_is_there", "pass", 0),
        ("test.small.scope_is_empty", "fail", 1),
    }


@pytest.mark.drill
def test_after_a_build_that_failed_every_row_is_tested_until_it_succeeds(
    project: Path, database: Database
) -> None:
    def scope_of_a_build(step_before: str, status_before: str) -> str:
        with database.engine.begin() as connection:
            connection.execute(
                sa.text("insert into ops.pipeline_runs (step, status) values (:step, :status)"),
                {"step": step_before, "status": status_before},
            )
        assert main(["dbt", "night", "--", "build"]) == 0
        return _built(database)[1]

    # What an earlier try wrote is not written again, nor by another step of the night.
    assert scope_of_a_build("night", "failed") == "all"
    assert scope_of_a_build("compute-daily-kpis", "failed") == "all"
    assert _runs(database)[-1]["details"]["test_scope"] == "all"
    assert scope_of_a_build("compute-daily-kpis", "succeeded") == "replaced"
    # Tests alone write nothing, and old rows that fail must not stop the nights.
    assert scope_of_a_build("test-weekly", "failed") == "replaced"


def test_weekly_tests_are_left_to_the_weekly_step(project: Path, database: Database) -> None:
    (project / "models" / "tests.yml").write_text(TESTS)
    assert main(["dbt", "night", "--", "build", "--exclude", "scope_is_empty"]) == 0
    assert main(["dbt", "test-weekly"]) == 1
    assert "test.small.scope_is_empty" in _runs(database)[-1]["error"]
    with database.engine.connect() as connection:
        nodes = connection.execute(
            sa.text(
                "select step, array_agg(split_part(node, '.', 3) order by node)"
                " from ops.dbt_results inner join ops.pipeline_runs on run_id = id group by step"
            )
        ).all()
    assert dict(map(tuple, nodes)) == {
        "night": ["good", "day_is_there"],
        "test-weekly": ["day_is_there", "scope_is_empty", "scope_is_there"],
    }


def test_what_dbt_said_last_is_the_reason_where_there_are_no_nodes(
    project: Path, database: Database
) -> None:
    (project / "models" / "bad.sql").write_text("select * from {{ ref('nothing') }}")
    assert main(["dbt", "night", "--as-of", "2026-03-01", "--", "build"]) == 1
    [run] = _runs(database)
    assert "depends on a node named 'nothing' which was not found" in run["error"]
    assert run["row_count"] is None


def test_what_dbt_does_not_understand_is_the_reason_too(project: Path, database: Database) -> None:
    assert main(["dbt", "night", "--as-of", "2026-03-01", "--", "frobnicate"]) == 1
    [run] = _runs(database)
    assert "No such command 'frobnicate'" in run["error"]


def test_wrong_usage_is_told_before_anything_runs(project: Path, database: Database) -> None:
    assert main(["dbt", "no-such-step"]) == 2
    assert _runs(database) == []


def test_steps_of_one_name_are_refused_and_of_others_waited_for(
    project: Path, database: Database, capfd: pytest.CaptureFixture[str]
) -> None:
    command = [sys.executable, "-m", "warehouse", "dbt", "night", "--", "build"]
    environment = {**database.env, "PYTHONPATH": str(ROOT)}
    with step(database.engine, "other", lock="dbt") as other:
        waiting = subprocess.Popen(command, cwd=project, env=environment, stderr=subprocess.PIPE)
        wait_until(lambda: any(run["details"].get("waiting_for") for run in _runs(database)))
        # A second scheduler starts the same.
        assert main(["dbt", "night", "--", "build"]) == 1
        refusal = capfd.readouterr().err
        assert f"is held by run {other.run_id + 1} of night (process {waiting.pid}" in refusal
        # One of another name waits no longer than it is told to.
        assert main(["dbt", "another", "--wait-seconds", "0.2", "--", "build"]) == 1
        assert f"held by run {other.run_id} of other" in capfd.readouterr().err
    _, said = waiting.communicate()
    assert waiting.returncode == 0
    assert f"waiting for lock 'dbt', held by run {other.run_id} of other".encode() in said
    runs = {run["step"]: run for run in _runs(database)}
    assert {name: run["status"] for name, run in runs.items()} == {
        "other": "succeeded",
        "night": "succeeded",
        "another": "failed",
    }
    assert "waited 0.2 s for it" in runs["another"]["error"]
    assert len(runs["night"]["details"]["refused"]) == 1
    assert runs["night"]["details"]["waited_seconds"] > 0
    assert "waiting_for" not in runs["night"]["details"]
    assert runs["night"]["started_at"] >= runs["other"]["ended_at"]
