"""The commands that look after what is kept: wait for the schema, erase a student, retain."""

import argparse
import sys
from collections.abc import Callable

from warehouse import schema
from warehouse.database import create_engine, database_url, describe
from warehouse.settings import Settings

WAIT_SECONDS = 300.0
_Command = Callable[[argparse.Namespace, Settings], int]
_Add = Callable[[str, _Command, str], argparse.ArgumentParser]


def register(add: _Add) -> None:
    """Add the commands to the parser of `python -m warehouse`."""
    waiting = add(
        "wait",
        _wait,
        "wait until the database answers and its schema is one that this code works with",
    )
    waiting.add_argument(
        "--timeout", type=float, default=WAIT_SECONDS, metavar="SECONDS", help="default: 300"
    )


def _wait(arguments: argparse.Namespace, settings: Settings) -> int:
    schema.wait_until_current(
        create_engine(application_name="seedtest-wait"), max(0.0, arguments.timeout)
    )
    _print(f"ready: {describe(database_url(settings))}")
    return 0


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
