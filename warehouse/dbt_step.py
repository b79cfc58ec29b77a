"""One dbt step of the schedule: which day, which models, under which lock."""

import json
from collections.abc import Sequence
from datetime import date
from typing import Any

import yaml
from sqlalchemy.engine import Engine

from warehouse.errors import UsageError
from warehouse.ledger import step
from warehouse.overview import last_complete_day
from warehouse.schedule import DBT_LOCK, dbt_selection
from warehouse.steps import run_dbt

# Tests that compile SQL from literals belong to `make test`, not to a night.
_WITHOUT_UNIT_TESTS = ("--exclude-resource-type", "unit_test")
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

    Raises UsageError, LockHeldError and CommandFailedError.
    """
    given = tuple(arguments) or ("build", "--select", *dbt_selection(name))
    verb, rest = given[0], given[1:]
    rest, variables = _split_variables(rest)
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
        if is_building:
            night = {"as_of_date": str(run.as_of_date), "test_scope": "replaced"}
            variables = night | variables
        without = _WITHOUT_UNIT_TESTS if verb in ("build", "test") else ()
        with_variables = ("--vars", json.dumps(variables)) if variables else ()
        run_dbt(engine, run, ("dbt", verb, *rest, *without, *with_variables))


def _split_variables(arguments: Sequence[str]) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Take `--vars` out of dbt's arguments; dbt takes it once."""
    rest = list(arguments)
    text = "{}"
    for position, argument in enumerate(rest):
        if argument == "--vars" and position + 1 < len(rest):
            text = rest[position + 1]
            del rest[position : position + 2]
            break
        if argument.startswith("--vars="):
            text = argument.partition("=")[2]
            del rest[position]
            break
    try:
        variables = yaml.safe_load(text)
    except yaml.YAMLError:
        variables = None
    if not isinstance(variables, dict):
        raise UsageError(f"--vars takes a mapping, {{name: value}}, not {text!r}")
    return tuple(rest), variables
