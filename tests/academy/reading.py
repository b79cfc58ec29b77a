"""A reader of sample files that shares no code with their writer.

It follows sections 3 and 4 of the specification in plain Python: the latest delivery of a
session counts, results that are not ready and elements that cannot be attempts are left out.
"""

import csv
import gzip
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warehouse.academy.options import AcademyOptions

Row = dict[str, Any]


@dataclass(frozen=True)
class Sample:
    """A sample on disk and what its summary says."""

    options: AcademyOptions
    out: Path
    summary: dict[str, Any]


@dataclass(frozen=True)
class Response:
    """The first graded attempt of a student at an item."""

    student_id: str
    item_id: str
    is_correct: bool
    session_id: str
    answered_at: str


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a JSON lines file."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def read_truth(path: Path) -> list[dict[str, str]]:
    """Return the rows of a file of the truth."""
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def latest_by_session(rows: Iterable[Row]) -> dict[str, Row]:
    """Return the latest delivery of each session."""
    latest: dict[str, Row] = {}
    for row in rows:
        known = latest.get(row["session_id"])
        if known is None or known["updated_at"] <= row["updated_at"]:
            latest[row["session_id"]] = row
    return latest


def graded(element: object) -> tuple[str, bool] | None:
    """Return item and grade of an element, None where it holds no graded answer."""
    if not isinstance(element, dict):
        return None
    item = element.get("question_id")
    grade = element.get("is_correct", element.get("correct"))
    is_blank = "user_answer" in element and element["user_answer"] in (None, "")
    if item in (None, "") or not isinstance(grade, bool) or is_blank:
        return None
    return str(item), grade


def first_graded(out: Path) -> list[Response]:
    """Return the first graded attempt per student and item."""
    attempts = []
    for session_id, row in latest_by_session(read_rows(out / "exam_results.jsonl.gz")).items():
        if row["status"] != "ready" or row["user_id"] is None:
            continue
        questions = row["result_json"]["questions"]
        for position, element in enumerate(questions if isinstance(questions, list) else []):
            found = graded(element)
            if found is None:
                continue
            at = element["answered_at"]
            if at.startswith("20226"):  # impossible: the session's end stands in for it
                at = questions_end(questions)
            attempts.append((row["user_id"], found[0], at, session_id, position, found[1]))
    attempts.sort()
    first: dict[tuple[str, str], Response] = {}
    for student_id, item_id, at, session_id, _, grade in attempts:
        first.setdefault(
            (student_id, item_id), Response(student_id, item_id, grade, session_id, at)
        )
    return list(first.values())


def questions_end(questions: list[object]) -> str:
    """Return the latest possible `answered_at` of a result."""
    stamps = [
        element["answered_at"]
        for element in questions
        if isinstance(element, dict) and not element["answered_at"].startswith("20226")
    ]
    return str(max(stamps))
