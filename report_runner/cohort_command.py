"""The command `cohort`: a report per class or organisation, for its tutors."""

import argparse

from report_runner import queries
from report_runner.catalogue import language
from report_runner.cohort import build_cohort_report
from report_runner.cohort_queries import read_cohort, read_cohorts
from report_runner.cohort_wording import say_cohort
from report_runner.console import say, tell
from report_runner.errors import ReportError
from report_runner.places import read_place
from report_runner.single import write_report
from report_runner.store import open_store, safe_id
from warehouse.database import create_engine
from warehouse.ledger import step
from warehouse.schema import require_current

STEP = "generate-cohort-report"


def write_cohorts(options: argparse.Namespace) -> int:
    """Write the reports of all cohorts, or of those asked for; return 0, or 1 after a failure."""
    engine = create_engine()
    require_current(engine)
    place = read_place(out=options.out)
    store = open_store(place)
    with queries.reading_marts(engine) as connection:
        week = queries.read_week(connection, options.week)
        found = [] if week is None else read_cohorts(connection, week, options.by, options.cohort)
    if week is None or not found:
        if options.cohort:
            raise ReportError(f"no {options.by} {', '.join(options.cohort)} with KPIs in that week")
        tell(f"No {options.by} with weekly KPIs: nothing to do.")
        return 0
    words = language(options.language[0])
    failures, written = {}, []
    with step(engine, STEP, lock=STEP, as_of_date=week.as_of_date) as run:
        for cohort_id, name in found:
            with engine.connect() as connection:
                record = read_cohort(connection, week, options.by, cohort_id, name)
            key = f"cohorts/{options.by}/{safe_id(cohort_id)}/{week.week_start}"
            try:
                report = say_cohort(build_cohort_report(record, week), words)
                written += write_report(
                    store,
                    "cohort_report",
                    words.code,
                    options.format,
                    key,
                    week.as_of_date,
                    report,
                )
            except (ReportError, ValueError, ArithmeticError) as error:
                failures[cohort_id] = f"{type(error).__name__}: {error}"
                say(f"failed: {options.by} {cohort_id!r}: {failures[cohort_id]}")
        run.row_count = len(written)
        run.details.update(week_start=week.week_start, failures=failures, place=str(place))
        tell(f"{len(found) - len(failures):,} cohorts, {len(written):,} files")
        if written:
            tell(f"Open {store.location(written[0])}")
        if failures:
            raise ReportError(f"{len(failures):,} of {len(found):,} cohort reports failed")
    return 0
