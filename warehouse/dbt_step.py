"""One dbt step of the schedule: which day, which models, under which lock.

The day and what tests read are told to dbt in the environment: with other `--vars` than the run
before, it would read the whole project anew.
"""

from collections.abc import Sequence
from datetime import date

from sqlalchemy.engine import Engine

from warehouse.ledger import step
from warehouse.overview import last_complete_day
from warehouse.schedule import DBT_LOCK, dbt_arguments
from warehouse.steps import run_dbt

# Tests that compile SQL from literals belong to `make test`, not to a night.
WITHOUT_UNIT_TESTS = ("--exclude-resource-type", "unit_test")
# Tests of what constraints and keys hold when rows are written belong to the week.
WITHOUT_WEEKLY_TESTS = ("--exclude", "tag:weekly")
_BUILDING = ("build", "run", "snapshot")


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
    begins, and its data tests read what it replaced; variables in `arguments` prevail.

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
        night = {"AS_OF_DATE": str(run.as_of_date), "TEST_SCOPE": "replaced"} if is_building else {}
        without = {
            "build": (*WITHOUT_UNIT_TESTS, *WITHOUT_WEEKLY_TESTS),
            "test": WITHOUT_UNIT_TESTS,
        }.get(verb, ())
        run_dbt(engine, run, ("dbt", verb, *rest, *without), night)
