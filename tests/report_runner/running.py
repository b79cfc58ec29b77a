"""Running the weekly reports inside a test, and looking at what they left."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa

from report_runner import queries
from report_runner.catalogue import LANGUAGES
from report_runner.places import Place
from report_runner.runner import run_weekly
from report_runner.weekly import Outcome, WeeklyJob
from tests.conftest import Database
from tests.report_runner.marts import WEEK
from tests.report_runner.page import Element, parse


def execute(database: Database, statement: str, student_id: str = "") -> list[Any]:
    """Run one statement; return its rows, if it has any."""
    with database.engine.begin() as connection:
        result = connection.execute(sa.text(statement), {"student_id": student_id, "week": WEEK})
        return list(result.mappings()) if result.returns_rows else []


def run(database: Database, root: Path, **options: Any) -> Outcome:
    """Write the reports of the default week below `root`."""
    languages = options.pop("languages", LANGUAGES)
    with database.engine.connect() as connection:
        week = queries.read_week(connection, None)
        assert week is not None
        bank = queries.read_item_bank(connection)
        students = queries.read_student_ids(connection, week)
    job = WeeklyJob(week, options.pop("formats", ("html",)), languages)
    return run_weekly(database.engine, Place(root=root), job, bank, students, **options)


def report_path(root: Path, student_id: str) -> Path:
    """Where the report of a student with a plain id lies."""
    return root / f"reports/{student_id}/{WEEK}/report.html"


def read(root: Path, student_id: str) -> Element:
    """Return the report of one student."""
    return parse(report_path(root, student_id).read_bytes())
