"""The commands that look after what is kept: wait for the schema, erase a student, retain."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from sqlalchemy.engine import Engine

from warehouse import schema
from warehouse.database import create_engine, database_url, describe
from warehouse.erasure import requests
from warehouse.errors import UsageError, WarehouseError
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

    erasing = add(
        "erase",
        _erase,
        "remove students from everything that is kept, and keep them out; without students, "
        "finish what was begun",
    )
    erasing.add_argument("students", nargs="*", metavar="STUDENT")
    erasing.add_argument(
        "--from",
        dest="file",
        type=Path,
        metavar="FILE",
        help="ids one a line; of a folder, those of every file in it; - reads them",
    )
    erasing.add_argument("--reason", metavar="TEXT", help="kept beside the entry; names nobody")
    erasing.add_argument("--out", type=Path, metavar="DIR", help="the reports' folder")
    erasing.add_argument("--list", action="store_true", help="show who was erased")
    erasing.add_argument(
        "--restore",
        action="store_true",
        help="take students off the list: what the application still holds comes back",
    )

    retaining = add(
        "retain", _retain, "remove what is kept for longer than the settings RETAIN_..._DAYS say"
    )
    retaining.add_argument("--dry-run", action="store_true", help="only say what it would remove")
    retaining.add_argument("--out", type=Path, metavar="DIR", help="the reports' folder")


def _retain(arguments: argparse.Namespace, settings: Settings) -> int:
    from report_runner.errors import ReportError  # noqa: PLC0415 - as in _remove
    from warehouse.retention import retain  # noqa: PLC0415

    engine = create_engine(application_name="seedtest-retain", hide_parameters=True)
    schema.require_current(engine)
    try:
        removed = retain(engine, settings.state, arguments.out, dry_run=arguments.dry_run)
    except ReportError as error:
        raise WarehouseError(str(error)) from error
    for one in removed:
        _print(f"{one.count:>9,}  {one.rule.what}, before {one.before:%Y-%m-%d}")
    if arguments.dry_run:
        _print("nothing was removed")
    return 0


def _erase(arguments: argparse.Namespace, settings: Settings) -> int:
    # Errors of the database quote the parameters of a statement, and they are ids here.
    engine = create_engine(application_name="seedtest-erase", hide_parameters=True)
    schema.require_current(engine)
    students = [*arguments.students, *_lines(arguments.file)]
    if any("\0" in student or not student for student in students):
        raise UsageError("a student's id is empty or holds a zero byte")
    if arguments.list:
        return _list(engine)
    if arguments.restore:
        if not students:
            raise UsageError("whom to restore? erase --restore STUDENT ...")
        _print(
            f"{requests.lift(engine, students):,} taken off the list; the next dbt build brings "
            "back what the application holds, then: python -m irt_service score"
        )
        return 0
    return _remove(engine, students, arguments, settings)


def _remove(
    engine: Engine, students: list[str], arguments: argparse.Namespace, settings: Settings
) -> int:
    # Brings the stores along, which no other command here needs.
    from warehouse.erasure.erase import erase  # noqa: PLC0415

    if students:
        requests.suppress(engine, students, arguments.reason)
    with engine.connect() as connection:
        unfinished = [one.student_id for one in requests.read_all(connection) if one.is_unfinished]
    if not unfinished:
        _print("nobody to erase")
        return 0
    erased = erase(engine, unfinished, settings.state, arguments.out)
    _print(
        f"{len(unfinished):,} students erased: {erased.rows.total():,} rows, "
        f"{erased.objects:,} reports, {erased.cohort_reports:,} cohort reports"
    )
    if erased.cohort_reports:
        _print("to write the reports of the cohorts again: python -m report_runner cohort")
    return 0


def _list(engine: Engine) -> int:
    with engine.connect() as connection:
        entries = requests.read_all(connection)
    for entry in entries:
        state = "unfinished" if entry.is_unfinished else "erased"
        _print(
            f"{entry.student_id}\t{state}\t{entry.erased_at:%Y-%m-%d %H:%M}\t{entry.reason or ''}"
        )
    return 1 if any(entry.is_unfinished for entry in entries) else 0


def _lines(file: Path | None) -> list[str]:
    if file is None:
        return []
    try:
        if str(file) == "-":
            texts = [sys.stdin.read()]
        else:
            files = sorted(file.glob("[!.]*")) if file.is_dir() else [file]
            texts = [one.read_text(encoding="utf-8") for one in files]
    except (OSError, UnicodeError) as error:
        raise UsageError(f"cannot read {file}: {error}") from error
    return [line for text in texts for line in text.splitlines() if line]


def _wait(arguments: argparse.Namespace, settings: Settings) -> int:
    schema.wait_until_current(
        create_engine(application_name="seedtest-wait"), max(0.0, arguments.timeout)
    )
    _print(f"ready: {describe(database_url(settings))}")
    return 0


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
