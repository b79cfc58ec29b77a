"""The command `weekly`: plan, run, sum up."""

import argparse
import time
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import Engine

from report_runner import artifacts, queries
from report_runner.cohort_queries import read_members
from report_runner.compile import template_version
from report_runner.console import say, tell
from report_runner.errors import ReportError
from report_runner.places import Place, read_place
from report_runner.quarto import require_quarto
from report_runner.records import ItemBank, Week
from report_runner.runner import Progress, run_weekly
from report_runner.store import open_store
from report_runner.weekly import TEMPLATE, Outcome, WeeklyJob
from warehouse.database import create_engine
from warehouse.ledger import step
from warehouse.schema import require_current

STEP = "generate-weekly-report"
_FAILURES_SHOWN = 10
_FAILURES_RECORDED = 100


def write_weekly(options: argparse.Namespace) -> int:
    """Write the student reports of one week; return 0, or raise what went wrong."""
    if options.renderer == "quarto":
        require_quarto()
    engine = create_engine()
    require_current(engine)
    place = read_place(out=options.out)
    began = time.monotonic()
    asked = options.student or options.cohort
    week, student_ids, bank = _read_plan(engine, options)
    if week is None or not student_ids:
        if asked:
            what = f"{options.by} " if options.cohort else ""
            raise ReportError(f"no weekly KPIs for {what}{', '.join(asked)} in that week")
        tell("No weekly KPIs to report on: nothing to do. `dbt build` makes them.")
        return 0
    job = WeeklyJob(week, options.format, options.language, options.renderer)
    say(
        f"week of {week.week_start}, numbers as of {week.as_of_date}: {len(student_ids):,} students"
    )
    with step(engine, STEP, lock=STEP, as_of_date=week.as_of_date) as run:
        # Under the lock, for which an erasure waits: the plan may be older than that.
        with engine.connect() as connection:
            erased = queries.read_erased(connection, student_ids)
        student_ids = [student_id for student_id in student_ids if student_id not in erased]
        run.versions["template"] = {
            f"{code}.{kind}": template_version(TEMPLATE, code, kind)
            for code in job.languages
            for kind in job.formats
        }
        outcome = run_weekly(
            engine,
            place,
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
            place=str(place),
        )
        chosen = student_ids if asked else None
        _summarise(engine, place, job, outcome, chosen, time.monotonic() - began)
        if outcome.failures:
            raise ReportError(
                f"{len(outcome.failures):,} of {len(student_ids):,} reports failed; the others are "
                "written. The reasons are above and in ops.pipeline_runs; run again when mended"
            )
    return 0


def _read_plan(
    engine: Engine, options: argparse.Namespace
) -> tuple[Week | None, list[str], ItemBank]:
    with queries.reading_marts(engine) as connection:
        week = queries.read_week(connection, options.week)
        students = options.student
        if options.cohort:
            students = read_members(connection, options.by, options.cohort)
        ids = [] if week is None else queries.read_student_ids(connection, week, students)
        bank = queries.read_item_bank(connection)
    return week, ids, bank


def _summarise(
    engine: Engine,
    place: Place,
    job: WeeklyJob,
    outcome: Outcome,
    students: Sequence[str] | None,
    seconds: float,
) -> None:
    for student_id, reason in sorted(outcome.failures.items())[:_FAILURES_SHOWN]:
        say(f"failed: student {student_id!r}: {reason}")
    if len(outcome.failures) > _FAILURES_SHOWN:
        say(f"failed: and {len(outcome.failures) - _FAILURES_SHOWN:,} more")
    last_day = job.week.week_start + timedelta(days=6)
    state = "" if job.week.is_complete else f", complete to {job.week.as_of_date}"
    tell(
        f"Reports of {job.week.week_start} to {last_day}{state}: {outcome.written:,} written, "
        f"{outcome.unchanged:,} unchanged, {len(outcome.failures):,} failed, {seconds:.1f} s"
    )
    with engine.connect() as connection:
        key = artifacts.find_richest(connection, job.week, job.formats[0], students)
    if key is not None:
        tell(f"Open {open_store(place).location(key)}")
