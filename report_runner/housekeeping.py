"""The commands `missing` and `prune`: what a week lacks, and what is kept too long."""

import argparse
from datetime import UTC, datetime, timedelta

from report_runner import artifacts, queries, retention
from report_runner.console import say, tell
from report_runner.places import read_place
from report_runner.store import open_store
from warehouse.database import create_engine
from warehouse.ledger import step
from warehouse.retention import REPORTS, read_days
from warehouse.schema import require_current

PRUNE_STEP = "prune-reports"


def list_missing(options: argparse.Namespace) -> int:
    """List the reports that a week lacks, one a line; return 1 when there are any.

    A report is missing when it is not recorded, or when its object is not in the store with
    the recorded size (one request per report; `--recorded-only` spares them).
    """
    engine = create_engine()
    require_current(engine)
    with queries.reading_marts(engine) as connection:
        week = queries.read_week(connection, options.week)
        if week is None:
            say("No weekly KPIs in that week: nothing can be missing.")
            return 0
        lacking = [
            (student_id, file_format, "not written")
            for student_id, file_format in artifacts.read_missing(connection, week, options.format)
        ]
        recorded = artifacts.read_recorded(connection, week.week_start, week.week_start)
    if not options.recorded_only:
        store = open_store(read_place(out=options.out))
        lacking += [
            (artifact.student_id, artifact.format, "not in the store")
            for artifact in recorded
            if artifact.format in options.format
            and store.size(artifact.object_key) != artifact.size_bytes
        ]
    for student_id, file_format, reason in sorted(lacking):
        tell(f"{student_id}\t{file_format}\t{reason}")
    say(f"week of {week.week_start}: {len(lacking):,} reports are missing")
    return 1 if lacking else 0


def prune(options: argparse.Namespace) -> int:
    """Delete reports of weeks that ended more than `--keep-days` ago, objects before rows.

    The rule is that of `python -m warehouse retain`, which applies it among others.
    """
    days = read_days(REPORTS) if options.keep_days is None else options.keep_days
    if days is None:
        tell(f"{REPORTS.setting} is forever: nothing to delete")
        return 0
    engine = create_engine()
    require_current(engine)
    before = (datetime.now(UTC) - timedelta(days=days)).date()
    if options.dry_run:
        count = retention.prune(engine, before, options.out, dry_run=True)
        tell(f"Reports of weeks that ended before {before}: {count:,} would be deleted")
        return 0
    with step(engine, PRUNE_STEP, lock=PRUNE_STEP) as run:
        run.row_count = retention.prune(engine, before, options.out)
        run.details.update(before=before, place=str(read_place(out=options.out)))
    tell(f"Reports of weeks that ended before {before}: {run.row_count:,} deleted")
    return 0
