"""One dbt step of the schedule: which day, which models, under which lock.

The day and what tests read are told to dbt in the environment: with other `--vars` than the run
before, it would read the whole project anew.
"""

from collections.abc import Sequence
from datetime import date

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from warehouse.ledger import step
from warehouse.overview import last_complete_day
from warehouse.schedule import DBT_LOCK, JOBS, dbt_arguments
from warehouse.steps import run_dbt

# Tests that compile SQL from literals belong to `make test`, not to a night.
WITHOUT_UNIT_TESTS = ("--exclude-resource-type", "unit_test")
# Tests of what constraints and keys hold when rows are written belong to the week.
WITHOUT_WEEKLY_TESTS = ("--exclude", "tag:weekly")
_BUILDING = ("build", "run", "snapshot")
_BUILDS_OF_THE_SCHEDULE = [
    step.name for job in JOBS for step in job.steps if step.dbt[:1] == ("build",)
]
# Longer ago, the weekly tests have read every row since.
_HAS_FAILED = """
select coalesce(bool_or(last_run.status = 'failed'), false)
from (
    select distinct on (step) status
    from ops.pipeline_runs
    where
        step = any(:steps)
        and status <> 'running'
        and started_at > clock_timestamp() - interval '8 days'
    order by step, id desc
) as last_run
"""


def run_dbt_step(
    engine: Engine,
    name: str,
    arguments: Sequence[str],
    *,
    timezone: str,
    as_of_date: date | None = None,
    wait_seconds: float | None = None,
) -> None:
    """Run dbt as the step `name`, with what the schedule says unless `arguments` are given.

    One step of a name runs at a time, another is refused; steps of other names are waited for.
    What builds is as of `as_of_date`, else of yesterday in `timezone` at the time when it
    begins, and its data tests read what it replaced; variables in `arguments` prevail. While the
    last run of this step, or of one that builds in the schedule, has failed, they read every row:
    what that run wrote is not written again, and may be what failed its tests.

    Raises LockHeldError and CommandFailedError.
    """
    given = tuple(arguments) or dbt_arguments(name)
    verb, rest = given[0], given[1:]
    is_building = verb in _BUILDING

    def day() -> date:
        return as_of_date or last_complete_day(timezone)

    with step(
        engine,
        name,
        lock=DBT_LOCK,
        wait=True,
        wait_seconds=wait_seconds,
        is_alone=True,
        as_of_date=day if is_building else as_of_date,
    ) as run:
        night = {}
        if is_building:
            run.details["test_scope"] = "all" if _has_failed(engine, name) else "replaced"
            night = {
                "AS_OF_DATE": str(run.as_of_date),
                "TEST_SCOPE": run.details["test_scope"],
            }
        without = {
            "build": (*WITHOUT_UNIT_TESTS, *WITHOUT_WEEKLY_TESTS),
            "test": WITHOUT_UNIT_TESTS,
        }.get(verb, ())
        run_dbt(engine, run, ("dbt", verb, *rest, *without), night)


def _has_failed(engine: Engine, name: str) -> bool:
    """Whether the last run of this step, or of another that builds, has failed."""
    with engine.connect() as connection:
        steps = [*_BUILDS_OF_THE_SCHEDULE, name]
        failed: bool = connection.execute(sa.text(_HAS_FAILED), {"steps": steps}).scalar_one()
    return failed
