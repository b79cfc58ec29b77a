"""The commands of the schedule: a step, a dbt step, the day it is of."""

import argparse
import sys
from collections.abc import Callable
from datetime import date

from sqlalchemy.engine import Engine

from warehouse import overview, schema
from warehouse.database import create_engine
from warehouse.dbt_step import run_dbt_step
from warehouse.errors import UsageError
from warehouse.settings import Settings
from warehouse.steps import run_command

_Command = Callable[[argparse.Namespace, Settings], int]
_Add = Callable[[str, _Command, str], argparse.ArgumentParser]
# What follows `--` is another command's, options and all.
WRAPPING = ("step", "dbt")


def register(add: _Add) -> None:
    """Add the commands to the parser of `python -m warehouse`."""
    stepping = add(
        "step",
        _step,
        "run a command under a lock, with a row in the run ledger: step NAME ... -- COMMAND ...",
    )
    stepping.add_argument("name", metavar="NAME")
    stepping.add_argument("--lock", help="refuse to start while another holds this lock")
    stepping.add_argument("--wait", action="store_true", help="wait for the lock instead")
    stepping.add_argument("--as-of-date", type=date.fromisoformat, metavar="DATE")
    building = add(
        "dbt",
        _dbt,
        "run a dbt step of the schedule under the lock of all dbt steps: dbt STEP, or "
        "dbt NAME -- build --select ... with dbt's own arguments",
    )
    building.add_argument("name", metavar="STEP")
    building.add_argument(
        "--as-of",
        type=date.fromisoformat,
        metavar="DATE",
        help="default: yesterday in the reporting time zone, when the step begins",
    )
    building.add_argument(
        "--wait-seconds",
        type=float,
        metavar="N",
        help="fail when another dbt step still holds the lock after this (default: wait)",
    )
    day = add("as-of", _as_of, "print the day that make run builds")
    day.add_argument(
        "--yesterday",
        action="store_true",
        help="the last complete day instead, which a nightly build is of",
    )


def _step(arguments: argparse.Namespace, _: Settings) -> int:
    if not arguments.wrapped:
        raise UsageError("no command to run: python -m warehouse step NAME -- COMMAND ...")
    run_command(
        _engine(arguments.name),
        arguments.name,
        arguments.wrapped,
        lock=arguments.lock,
        wait=arguments.wait,
        as_of_date=arguments.as_of_date,
    )
    return 0


def _dbt(arguments: argparse.Namespace, settings: Settings) -> int:
    run_dbt_step(
        _engine(arguments.name),
        arguments.name,
        arguments.wrapped,
        timezone=overview.reporting_timezone(settings.root),
        as_of_date=arguments.as_of,
        wait_seconds=arguments.wait_seconds,
    )
    return 0


def _as_of(arguments: argparse.Namespace, settings: Settings) -> int:
    zone = overview.reporting_timezone(settings.root)
    day = (
        overview.last_complete_day(zone)
        if arguments.yesterday
        else overview.as_of_date(_engine("as-of"), zone)
    )
    sys.stdout.write(f"{day.isoformat()}\n")
    return 0


def _engine(name: str) -> Engine:
    """Return an engine for a database whose schema is ours and current."""
    engine = create_engine(application_name=f"seedtest-{name}")
    schema.require_current(engine)
    return engine
