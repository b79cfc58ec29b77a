"""Command `sample`: write a sample academy, or find that it is there."""

import argparse
import sys
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from warehouse.academy.files import read_summary, write_sample
from warehouse.academy.options import AcademyError, AcademyOptions
from warehouse.academy.truth import option_values

TIME_ZONE = ZoneInfo("Asia/Seoul")
DEFAULT_OUT = Path(".warehouse/sample")


def last_complete_day(now: datetime) -> date:
    """Return the last day that is over in Seoul."""
    return now.astimezone(TIME_ZONE).date() - timedelta(days=1)


def main(argv: Sequence[str]) -> int:
    """Run the command; return 0 when the sample is there, 1 when it failed, 2 on wrong usage."""
    try:
        arguments = _parser().parse_args(argv)
    except SystemExit as stop:  # argparse has already said what is wrong, or shown the help
        return stop.code if isinstance(stop.code, int) else 1
    try:
        options = AcademyOptions(
            until=arguments.until or last_complete_day(datetime.now(UTC)),
            students=arguments.students,
            items=arguments.items,
            days=arguments.days,
            seed=arguments.seed,
            anchors=arguments.anchors,
            guessing=arguments.guessing,
        )
    except AcademyError as error:
        _say(f"sample: {error}")
        return 2
    try:
        return _sample(options, arguments.out, is_forced=arguments.force)
    except (OSError, ValueError) as error:
        _say(f"sample: cannot write to {arguments.out}: {error}")
        return 1


def _sample(options: AcademyOptions, out: Path, is_forced: bool) -> int:
    present = None if is_forced else read_summary(out)
    if present is not None and present.get("options") == option_values(options):
        sys.stdout.write(f"sample academy already in {out}, nothing to do\n")
        return 0
    began = time.monotonic()
    summary = write_sample(options, out, progress=lambda what: _say(f"sample: {what}"))
    sys.stdout.write(
        f"sample academy until {options.until}, seed {options.seed}, in {out} "
        f"({time.monotonic() - began:.1f} s)\n"
    )
    rows = summary["rows"]
    if isinstance(rows, dict):
        for table, count in rows.items():
            sys.stdout.write(f"  {table:<18}{count:>9,} rows\n")
    sys.stdout.write(f"  {'answers':<18}{summary['answers']:>9,}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m warehouse sample",
        description="Write a sample academy with known truth as JSON lines, one file per table.",
    )
    add = parser.add_argument
    add("--students", type=int, default=AcademyOptions.students, metavar="N")
    add("--items", type=int, default=AcademyOptions.items, metavar="N")
    add("--days", type=int, default=AcademyOptions.days, metavar="N")
    add(
        "--until",
        type=date.fromisoformat,
        metavar="DATE",
        help="last day with activity (default: the last complete day in Seoul)",
    )
    add("--seed", type=int, default=AcademyOptions.seed, metavar="N")
    add(
        "--anchors",
        type=int,
        default=AcademyOptions.anchors,
        metavar="N",
        help="tag N questions as anchors with their true parameters (default: none)",
    )
    add(
        "--guessing",
        type=float,
        default=AcademyOptions.guessing,
        metavar="C",
        help="mean true guessing of multiple-choice items (default: %(default)s)",
    )
    add("--out", type=Path, default=DEFAULT_OUT, metavar="DIR", help="default: %(default)s")
    add("--force", action="store_true", help="write again what is already there")
    return parser


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
