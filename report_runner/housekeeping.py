"""The commands `missing` and `prune`: what a week lacks, and what is kept too long."""

import argparse
from datetime import date, timedelta

from report_runner import artifacts, queries
from report_runner.console import say, tell
from report_runner.errors import ReportError
from report_runner.places import read_place
from report_runner.store import open_store
from warehouse.database import create_engine
from warehouse.ledger import step
from warehouse.schema import require_current

PRUNE_STEP = "prune-reports"
_BATCH = 200


def list_missing(options: argparse.Namespace) -> int:
    """List the reports that a week lacks, one a line; return 1 when there are any.

    A report is missing when it is not recorded, or when its object is not in the store with
    the recorded size (one request per report; `--recorded-only` spares them).
    """
    engine = create_engine()
    require_current(engine)
    with engine.connect() as connection:
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
    """Delete the reports of weeks older than `--keep-weeks`, objects before their rows."""
    engine = create_engine()
    require_current(engine)
    place = read_place(out=options.out)
    store = open_store(place)
    with engine.connect() as connection:
        newest = queries.read_week(connection, None)
        if newest is None:
            raise ReportError("no weekly KPIs to count weeks from: run `dbt build` first")
        last = newest.week_start - timedelta(weeks=options.keep_weeks)
        old = artifacts.read_recorded(connection, date.min, last)
    with step(engine, PRUNE_STEP, lock=PRUNE_STEP, as_of_date=newest.as_of_date) as run:
        for start in range(0, len(old), _BATCH):
            batch = old[start : start + _BATCH]
            for artifact in batch:
                store.delete(artifact.object_key)
            with engine.begin() as connection:
                artifacts.forget_artifacts(connection, batch)
        run.row_count = len(old)
        run.details.update(last_week=last, place=str(place))
    tell(f"Reports of {last} and earlier: {len(old):,} deleted")
    return 0
