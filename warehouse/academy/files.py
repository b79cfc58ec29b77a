"""Files of a sample academy: compressed JSON lines of each table, and the truth beside them."""

import gzip
import io
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from warehouse.academy import tables, truth
from warehouse.academy.options import AcademyOptions
from warehouse.academy.results import ResultWriter, deliveries
from warehouse.academy.school import School, simulate

COMPRESSION_LEVEL = 5
SIMULATOR_VERSION = 2  # goes up when equal options no longer give equal bytes
SUMMARY = "truth/summary.json"
TABLES = (
    "classroom",
    "classroom_student",
    "exam_results",
    "interest_goal",
    "question",
    "session",
    "student_profile",
)
TRUTH = ("items", "abilities", "topic_abilities", "students")
Progress = Callable[[str], None]


def table_path(out: Path, table: str) -> Path:
    """Return the file of a table."""
    return out / f"{table}.jsonl.gz"


def truth_path(out: Path, name: str) -> Path:
    """Return a file of the truth."""
    return out / "truth" / f"{name}.csv"


def read_summary(out: Path) -> dict[str, object] | None:
    """Return the summary of a complete sample in `out`; None where this version wrote none."""
    path = out / SUMMARY
    paths = [table_path(out, table) for table in TABLES] + [truth_path(out, t) for t in TRUTH]
    if not path.is_file() or not all(each.is_file() for each in paths):
        return None
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or content.get("simulator_version") != SIMULATOR_VERSION:
        return None
    return content


def write_sample(
    options: AcademyOptions, out: Path, progress: Progress = lambda _: None
) -> dict[str, object]:
    """Simulate a school and write it to `out`; return the summary.

    The summary is removed first and written last: where it stands, the sample is complete.
    Raises OSError where `out` cannot be written.
    """
    (out / "truth").mkdir(parents=True, exist_ok=True)
    (out / SUMMARY).unlink(missing_ok=True)
    progress(f"simulating {options.students} students over {options.days} days")
    school = simulate(options)
    delivered = deliveries(school)
    writer = ResultWriter(school)
    rows: dict[str, int] = {}
    for table in TABLES:
        progress(f"writing {table}")
        lines = writer.lines(delivered) if table == "exam_results" else _json(_rows(school, table))
        rows[table] = _write_gzip(table_path(out, table), lines)
    for name, truth_lines in (
        ("items", truth.item_lines(school)),
        ("abilities", truth.ability_lines(school)),
        ("topic_abilities", truth.topic_ability_lines(school)),
        ("students", truth.student_lines(school)),
    ):
        _replace(truth_path(out, name), "".join(f"{line}\n" for line in truth_lines).encode())
    summary = {
        "simulator_version": SIMULATOR_VERSION,
        **truth.summary(school, delivered),
        "rows": rows,
    }
    text = json.dumps(summary, ensure_ascii=False, indent=2) + "\n"
    _replace(out / SUMMARY, text.encode())
    return summary


def _rows(school: School, table: str) -> Iterator[tables.Row]:
    options, people = school.options, school.people
    if table == "session":
        return tables.session_rows(school)
    if table == "question":
        return tables.question_rows(options, school.bank)
    if table == "interest_goal":
        return tables.goal_rows(options, people)
    if table == "classroom":
        return tables.classroom_rows(school.classrooms)
    if table == "classroom_student":
        return tables.membership_rows(options, people, school.classrooms)
    return tables.profile_rows(options, people)


def _json(rows: Iterable[tables.Row]) -> Iterator[str]:
    encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
    return (encode(row) for row in rows)


def _write_gzip(path: Path, lines: Iterable[str]) -> int:
    """Write lines compressed without name and time, so that equal lines give equal bytes."""
    part = path.with_name(path.name + ".part")
    count = 0
    with (
        part.open("wb") as raw,
        gzip.GzipFile(
            filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=COMPRESSION_LEVEL
        ) as packed,
        io.TextIOWrapper(packed, encoding="utf-8", newline="\n") as text,
    ):
        for line in lines:
            text.write(line)
            text.write("\n")
            count += 1
    part.replace(path)
    return count


def _replace(path: Path, content: bytes) -> None:
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    part.replace(path)
