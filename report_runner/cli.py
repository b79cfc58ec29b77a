"""`python -m report_runner`: write the reports, list what is missing, delete what is old."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from importlib import import_module
from pathlib import Path
from typing import get_args

from report_runner.catalogue import LANGUAGES
from report_runner.cohort_queries import CohortKind
from report_runner.console import say
from report_runner.errors import ReportError
from report_runner.weekly import FORMATS, RENDERERS
from warehouse.errors import UsageError, WarehouseError
from warehouse.retention import REPORTS

# The first is the one that is meant unless another is named.
_COHORT_KINDS = get_args(CohortKind)
_OUT_HELP = "folder that gets reports/ (default: the bucket S3_BUCKET, REPORTS_DIR, .warehouse)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 0 when done, 1 when something failed, 2 on wrong usage."""
    options = _parser().parse_args(arguments)
    try:
        code = int(options.run(options))
        sys.stdout.flush()
        return code
    except UsageError as error:
        say(f"error: {error}")
        return 2
    except BrokenPipeError:
        # Whoever reads has enough, as `head` does. What is left in the buffer goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ReportError, WarehouseError, OSError) as error:
        say(f"error: {error}")
        return 1


def _later(module: str, function: str) -> Callable[[argparse.Namespace], int]:
    """Return a command that is loaded when it runs: every process of a run loads this file."""

    def run(options: argparse.Namespace) -> int:
        command = getattr(import_module(f"report_runner.{module}"), function)
        return int(command(options))

    return run


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m report_runner", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    weekly = commands.add_parser(
        "weekly",
        help="student reports of one week",
        description="Write the weekly report of every student who has KPIs in the week. "
        "Reports whose content did not change are left alone.",
    )
    _add_week_and_place(weekly)
    some = weekly.add_mutually_exclusive_group()
    some.add_argument(
        "--student", action="append", metavar="ID", help="this student only (repeatable)"
    )
    some.add_argument(
        "--cohort",
        action="append",
        metavar="ID",
        help="the students of this class, or organisation, only (repeatable)",
    )
    weekly.add_argument(
        "--by",
        choices=_COHORT_KINDS,
        default=_COHORT_KINDS[0],
        help="what --cohort names (default: %(default)s)",
    )
    weekly.add_argument(
        "--language",
        type=_choice(LANGUAGES),
        default=LANGUAGES,
        metavar="ko,en",
        help="languages on offer; a student whose profile names none of them gets the first",
    )
    weekly.add_argument(
        "--processes", type=_positive, metavar="N", help="default: as many as are useful"
    )
    weekly.add_argument(
        "--renderer",
        choices=RENDERERS,
        default=RENDERERS[0],
        help="compiled templates, or `quarto render` of each report (slow; needs Quarto)",
    )
    weekly.set_defaults(run=_later("weekly_command", "write_weekly"))
    cohort = commands.add_parser(
        "cohort",
        help="reports of classes for their tutors",
        description="Write the report of every class, or organisation, with KPIs in the week.",
    )
    _add_week_and_place(cohort)
    cohort.add_argument(
        "--by", choices=_COHORT_KINDS, default=_COHORT_KINDS[0], help="default: %(default)s"
    )
    cohort.add_argument("--cohort", action="append", metavar="ID", help="this one (repeatable)")
    _add_language(cohort)
    cohort.set_defaults(run=_later("cohort_command", "write_cohorts"))
    calibration = commands.add_parser(
        "calibration",
        help="report of a calibration for psychometricians",
        description="Write the report of one run: parameters, curves, fit, DIF, drift, linking.",
    )
    calibration.add_argument(
        "--run", dest="run_id", metavar="RUN", help="default: the latest accepted run"
    )
    calibration.add_argument("--format", type=_choice(FORMATS), default=FORMATS, metavar="html,pdf")
    _add_language(calibration)
    calibration.add_argument("--out", type=Path, metavar="DIR", help=_OUT_HELP)
    calibration.set_defaults(run=_later("calibration_command", "write_calibration"))
    missing = commands.add_parser(
        "missing",
        help="what a week lacks",
        description="List the reports that a week lacks; exit with 1 when there are any.",
    )
    _add_week_and_place(missing)
    missing.add_argument(
        "--recorded-only", action="store_true", help="believe the database about the store"
    )
    missing.set_defaults(run=_later("housekeeping", "list_missing"))
    prune_parser = commands.add_parser(
        "prune",
        help="delete reports older than the retention",
        description="Delete the reports of students and cohorts whose week ended too long ago; "
        "`python -m warehouse retain` does the same among other things.",
    )
    prune_parser.add_argument(
        "--keep-days",
        type=_positive,
        metavar="N",
        help=f"default: {REPORTS.setting}, else {REPORTS.days}",
    )
    prune_parser.add_argument(
        "--dry-run", action="store_true", help="only say how many it would delete"
    )
    prune_parser.add_argument("--out", type=Path, metavar="DIR", help=_OUT_HELP)
    prune_parser.set_defaults(run=_later("housekeeping", "prune"))
    return parser


def _add_week_and_place(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--week", type=_monday, metavar="MONDAY", help="default: the last complete week"
    )
    command.add_argument("--format", type=_choice(FORMATS), default=FORMATS, metavar="html,pdf")
    command.add_argument("--out", type=Path, metavar="DIR", help=_OUT_HELP)


def _add_language(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--language",
        type=_choice(LANGUAGES),
        default=("ko",),
        metavar="ko|en",
        help="default: ko",
    )


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
        raise argparse.ArgumentTypeError(f"{value!r} is not a whole number above 0")
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
