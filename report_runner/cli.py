"""`python -m report_runner weekly`: write the weekly student reports."""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import ProgrammingError

from report_runner import queries
from report_runner.catalogue import LANGUAGES
from report_runner.errors import ReportError
from report_runner.records import ItemBank, Week
from report_runner.runner import Progress, run_weekly
from report_runner.store import FileStore
from report_runner.weekly import FORMATS, Outcome, WeeklyJob
from warehouse.database import create_engine, require_reachable
from warehouse.errors import WarehouseError
from warehouse.ledger import step
from warehouse.settings import read_settings

STEP = "generate-weekly-report"
_FAILURES_SHOWN = 10
_FAILURES_RECORDED = 100
_UNDEFINED_TABLE = "42P01"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 0 when done, 1 when something failed, 2 on wrong usage."""
    options = _parser().parse_args(arguments)
    try:
        return _weekly(options)
    except (ReportError, WarehouseError, OSError) as error:
        _say(f"error: {error}")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m report_runner", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    weekly = commands.add_parser(
        "weekly",
        help="student reports of one week",
        description="Write the weekly report of every student who has KPIs in the week. "
        "Reports whose content did not change are left alone.",
    )
    weekly.add_argument(
        "--week", type=_monday, metavar="MONDAY", help="default: the last complete week"
    )
    weekly.add_argument(
        "--student", action="append", metavar="ID", help="this student only (repeatable)"
    )
    weekly.add_argument("--format", type=_choice(FORMATS), default=FORMATS, help="html,pdf")
    weekly.add_argument(
        "--language",
        type=_choice(LANGUAGES),
        default=LANGUAGES,
        metavar="ko,en",
        help="languages on offer; a student whose profile names none of them gets the first",
    )
    weekly.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder that gets reports/ (default: REPORTS_DIR, else .warehouse)",
    )
    weekly.add_argument(
        "--processes", type=_positive, metavar="N", help="default: as many as are useful"
    )
    return parser


def _weekly(options: argparse.Namespace) -> int:
    engine = create_engine()
    require_reachable(engine)
    root = options.out or Path(os.environ.get("REPORTS_DIR") or read_settings().state)
    began = time.monotonic()
    week, student_ids, bank = _read_plan(engine, options.week, options.student)
    if week is None or not student_ids:
        if options.student:
            raise ReportError(f"no weekly KPIs for {', '.join(options.student)} in that week")
        _tell("No weekly KPIs to report on: nothing to do. `dbt build` makes them.")
        return 0
    job = WeeklyJob(week, options.format, options.language)
    _say(
        f"week of {week.week_start}, numbers as of {week.as_of_date}: {len(student_ids):,} students"
    )
    with step(engine, STEP, lock=STEP, as_of_date=week.as_of_date) as run:
        outcome = run_weekly(
            engine,
            root,
            job,
            bank,
            student_ids,
            processes=options.processes,
            progress=Progress(len(student_ids)),
        )
        run.row_count = outcome.written
        run.details.update(
            week_start=week.week_start,
            students=len(student_ids),
            written=outcome.written,
            unchanged=outcome.unchanged,
            failed=len(outcome.failures),
            failures=dict(sorted(outcome.failures.items())[:_FAILURES_RECORDED]),
            out=str(root),
        )
        _summarise(engine, root, job, outcome, options.student, time.monotonic() - began)
        if outcome.failures:
            raise ReportError(
                f"{len(outcome.failures):,} of {len(student_ids):,} reports failed; the others are "
                "written. The reasons are above and in ops.pipeline_runs; run again when mended"
            )
    return 0


def _read_plan(
    engine: Engine, week_start: date | None, students: Sequence[str] | None
) -> tuple[Week | None, list[str], ItemBank]:
    try:
        with engine.connect() as connection:
            week = queries.read_week(connection, week_start)
            ids = [] if week is None else queries.read_student_ids(connection, week, students)
            bank = queries.read_item_bank(connection)
    except ProgrammingError as error:
        if getattr(error.orig, "sqlstate", None) == _UNDEFINED_TABLE:
            raise ReportError(
                "the marts are not there yet: run `dbt build` (or `make run`) first"
            ) from error
        raise
    return week, ids, bank


def _summarise(
    engine: Engine,
    root: Path,
    job: WeeklyJob,
    outcome: Outcome,
    students: Sequence[str] | None,
    seconds: float,
) -> None:
    for student_id, reason in sorted(outcome.failures.items())[:_FAILURES_SHOWN]:
        _say(f"failed: student {student_id!r}: {reason}")
    if len(outcome.failures) > _FAILURES_SHOWN:
        _say(f"failed: and {len(outcome.failures) - _FAILURES_SHOWN:,} more")
    last_day = job.week.week_start + timedelta(days=6)
    state = "" if job.week.is_complete else f", complete to {job.week.as_of_date}"
    _tell(
        f"Reports of {job.week.week_start} to {last_day}{state}: {outcome.written:,} written, "
        f"{outcome.unchanged:,} unchanged, {len(outcome.failures):,} failed, {seconds:.1f} s"
    )
    with engine.connect() as connection:
        key = queries.find_richest(connection, job.week, job.formats[0], students)
    if key is not None:
        _tell(f"Open {FileStore(root).location(key)}")


def _monday(value: str) -> date:
    try:
        day = date.fromisoformat(value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{value!r} is not a date like 2026-11-16") from error
    if day.weekday() != 0:
        monday = day - timedelta(days=day.weekday())
        raise argparse.ArgumentTypeError(f"{day} is not a Monday; its week starts on {monday}")
    return day


def _positive(value: str) -> int:
    if not value.isdigit() or int(value) < 1:
        raise argparse.ArgumentTypeError(f"{value!r} is not a number of processes")
    return int(value)


class _choice:  # noqa: N801  used like a type in add_argument
    """A comma-separated selection of known values."""

    def __init__(self, known: Sequence[str]) -> None:
        self.known = known

    def __call__(self, value: str) -> tuple[str, ...]:
        chosen = tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
        unknown = [part for part in chosen if part not in self.known]
        if unknown or not chosen:
            raise argparse.ArgumentTypeError(f"{value!r}: choose from {', '.join(self.known)}")
        return chosen


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
