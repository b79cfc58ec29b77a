"""Erases students: first the list that keeps them out, then everything, place by place.

Killed at any moment, it is run again: a student's entry says until then that it is unfinished.
The order matters. What reads the marts (scoring, calibration, reports) leaves out who is on the
list, so that nothing brings back what was removed before the marts are clean.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError

from report_runner import erasure as stored
from report_runner.cohort_command import STEP as COHORT_STEP
from report_runner.errors import StoreError
from report_runner.housekeeping import PRUNE_STEP
from report_runner.places import read_place
from report_runner.store import Store, open_store
from report_runner.weekly_command import STEP as WEEKLY_STEP
from warehouse.erasure import removal, requests
from warehouse.errors import WarehouseError
from warehouse.ledger import holding, step
from warehouse.locks import CALIBRATION_LOCK, SCORING_LOCK
from warehouse.schedule import DBT_LOCK

logger = logging.getLogger(__name__)

STEP = "erase"
IRT_LOCKS = (CALIBRATION_LOCK, SCORING_LOCK)
REPORT_LOCKS = (WEEKLY_STEP, COHORT_STEP, PRUNE_STEP)
_TABLE_LOCK_TIMEOUT = "60s"


@dataclass
class Erased:
    """What was removed.

    Attributes:
        rows: by table.
        objects: reports of the students, with their versions counted once.
        cohort_reports: reports of classes and organisations; to be written again.
        lines: of files with lines that the loader rejected.
    """

    rows: Counter[str] = field(default_factory=Counter)
    objects: int = 0
    cohort_reports: int = 0
    lines: int = 0


def erase(engine: Engine, students: Sequence[str], state: Path, out: Path | None = None) -> Erased:
    """Remove students who are on the list from everything that is kept.

    Args:
        students: their ids; `requests.suppress` has put them on the list.
        state: the checkout's folder of local state.
        out: the folder of the reports, else the place the environment names.

    Raises:
        WarehouseError: a place refused; run it again.
    """
    erased = Erased()
    with step(engine, STEP, lock=STEP, wait=True) as run:
        run.details["students"] = len(students)
        with _locks(engine, IRT_LOCKS):
            erased.rows += _in_transaction(engine, removal.erase_from_irt, students)
        with _locks(engine, REPORT_LOCKS):
            _erase_objects(engine, open_store(read_place(out=out)), students, erased)
            erased.rows += _in_transaction(engine, removal.erase_from_reports, students)
        with _locks(engine, (DBT_LOCK,)):
            erased.rows += _in_transaction(engine, removal.erase_from_marts, students)
        erased.rows += _in_transaction(engine, removal.redact_ledger, students)
        erased.lines = _erase_lines(state / "rejects", students)
        _vacuum(engine, [table for table, count in erased.rows.items() if count])
        run.row_count = erased.rows.total()
        run.details |= {
            "tables": {table: count for table, count in sorted(erased.rows.items()) if count},
            "objects": erased.objects,
            "cohort_reports": erased.cohort_reports,
            "rejected_lines": erased.lines,
        }
        requests.complete(engine, students)
    return erased


def _erase_objects(engine: Engine, store: Store, students: Sequence[str], erased: Erased) -> None:
    with engine.connect() as connection:
        cohorts = requests.read_cohorts(connection, students)
        unknown = [student for student in students if student not in cohorts]
        is_reported = bool(unknown) and _has_reports(connection, unknown)
    try:
        erased.objects = stored.delete_students(store, students)
        if is_reported:
            # Reported on once, and nobody knows in which class: any report may name the student.
            erased.cohort_reports = stored.delete_all_cohorts(store)
        else:
            together = set().union(*cohorts.values())
            erased.cohort_reports = stored.delete_cohorts(store, sorted(together))
    except StoreError as error:
        # Its text quotes keys, which are ids, and what is raised here is kept in the ledger.
        raise WarehouseError(
            "the place of the reports refuses or does not answer "
            f"({type(error.__cause__).__name__}); the students are on the list and no longer "
            "taken in: run `python -m warehouse erase` again to remove the rest"
        ) from None


def _has_reports(connection: Connection, students: Sequence[str]) -> bool:
    found: bool = connection.execute(
        sa.text(
            "select exists (select 1 from reports.report_artifacts where student_id = any(:ids))"
        ),
        {"ids": list(students)},
    ).scalar_one()
    return found


def _locks(engine: Engine, names: Sequence[str]) -> ExitStack:
    stack = ExitStack()
    try:
        for name in names:
            stack.enter_context(holding(engine, name))
    except BaseException:
        stack.close()
        raise
    return stack


def _in_transaction(
    engine: Engine,
    work: Callable[[Connection, Sequence[str]], Counter[str]],
    students: Sequence[str],
) -> Counter[str]:
    with engine.begin() as connection:
        connection.exec_driver_sql(f"set local lock_timeout = '{_TABLE_LOCK_TIMEOUT}'")
        return work(connection, students)


def _erase_lines(folder: Path, students: Sequence[str]) -> int:
    """Take lines that name a student out of the loader's files of rejected lines."""
    removed = 0
    for path in sorted(folder.glob("*.jsonl")) if folder.is_dir() else ():
        lines = path.read_text(encoding="utf-8", errors="surrogateescape").splitlines(keepends=True)
        kept = [line for line in lines if removal.redacted(line, frozenset(students)) == line]
        if len(kept) < len(lines):
            path.write_text("".join(kept), encoding="utf-8", errors="surrogateescape")
            removed += len(lines) - len(kept)
    return removed


def _vacuum(engine: Engine, tables: Sequence[str]) -> None:
    """Free the deleted rows' space, and take the ids out of the planner's statistics.

    Of tables of others this is left to autovacuum, which PostgreSQL says in a warning.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for table in tables:
            try:
                connection.exec_driver_sql(f"vacuum (analyze) {table}")
            except DBAPIError as error:
                logger.warning("%s was not vacuumed: %s", table, str(error.orig).strip())
