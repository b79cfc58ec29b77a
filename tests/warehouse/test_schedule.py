"""The schedule builds everything, names nothing twice, and knows when a success is too old."""

import re
from datetime import timedelta

import pytest

from tests.conftest import ROOT, Database
from tests.dbt_runner import DbtRunner
from warehouse.errors import UsageError
from warehouse.schedule import JOBS, Job, Step, dbt_arguments

STEPS = [step for job in JOBS for step in job.steps]


def _selection(step: Step) -> tuple[str, ...]:
    return step.dbt[2:] if step.dbt[:2] == ("build", "--select") else ()


def test_every_model_is_built_by_a_step(run_dbt: DbtRunner, database: Database) -> None:
    def models(*selection: str) -> set[str]:
        listed = run_dbt("ls", "--resource-type", "model", *selection, database=database)
        return set(listed.result)

    selections = [selection for step in STEPS for selection in _selection(step)]
    assert models("--select", *selections) == models()
    every_name = {name.rpartition(".")[2] for name in models()}
    named = {word.strip("+") for word in selections if "source:" not in word}
    assert named <= every_name


def test_everything_is_built_and_tested_in_full_before_a_calibration(
    run_dbt: DbtRunner, database: Database
) -> None:
    (job,) = [job for job in JOBS if job.name == "calibrate-irt-weekly"]
    prepare, test, calibrate, _ = job.steps
    assert (test.dbt, calibrate.module) == (("test",), "irt_service")
    # A test of a relation that was never built is an error.
    listing = ("ls", "--resource-type", "model", "snapshot")
    built = run_dbt(*listing, "--select", *_selection(prepare), database=database).result
    assert set(built) == set(run_dbt(*listing, database=database).result)


def test_the_marts_that_may_be_a_week_old_are_those_built_weekly(
    run_dbt: DbtRunner, database: Database
) -> None:
    def built(steps: list[Step]) -> set[str]:
        selection = [word for step in steps for word in _selection(step)]
        found = run_dbt("ls", "--resource-type", "model", "--select", *selection, database=database)
        return {name.rpartition(".")[2] for name in found.result}

    nightly = built([step for job in JOBS for step in job.steps if job.cron.endswith("* * *")])
    weekly = {name for name in built(STEPS) - nightly if name.startswith("fct_")}
    alerts = (ROOT / "ops" / "monitoring" / "alerts.yaml").read_text()
    (pattern,) = re.findall(r'mart!~"([^"]+)"', alerts)
    assert {name for name in weekly | nightly if re.fullmatch(pattern, name)} == weekly


def test_the_jobs_are_those_that_were_agreed() -> None:
    assert {job.name: job.cron for job in JOBS} == {
        "compute-daily-kpis": "10 2 * * *",
        "aggregate-features-daily": "25 2 * * *",
        "calibrate-irt-weekly": "10 3 * * 0",
        "generate-weekly-report": "0 4 * * 1",
        "detect-inactivity": "0 5 * * *",
    }
    names = [step.name for step in STEPS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_only_a_missed_or_failed_run_makes_a_success_too_old(job: Job) -> None:
    interval = timedelta(days=1) if job.cron.endswith("* * *") else timedelta(days=7)
    assert interval + job.deadline < job.max_age < 2 * interval


def test_a_step_that_does_not_run_dbt_is_refused() -> None:
    assert dbt_arguments("apply-calibration") == ("build", "--select", "source:irt+")
    with pytest.raises(UsageError, match="'irt-calibrate' is no dbt step of the schedule"):
        dbt_arguments("irt-calibrate")
