"""One chunk of weekly student reports: read, compare, render, store, record."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any

from sqlalchemy import Engine

from report_runner import catalogue, queries
from report_runner.catalogue import LANGUAGES
from report_runner.compile import compile_template, template_version
from report_runner.records import Artifact, ItemBank, StudentRecord, Week
from report_runner.render import render_html
from report_runner.sections import StudentReport, build_report
from report_runner.store import Store, report_key
from report_runner.typesetting import render_pdf
from report_runner.wording import say

TEMPLATE = "weekly_report"
FORMATS = ("html", "pdf")


@dataclass(frozen=True)
class WeeklyJob:
    """What is to be written: a week, in which formats and languages.

    `languages` are those on offer; a student whose profile names none of them gets the first.
    """

    week: Week
    formats: tuple[str, ...] = FORMATS
    languages: tuple[str, ...] = LANGUAGES


@dataclass
class Outcome:
    """What became of a number of reports; `failures` says why, by student."""

    written: int = 0
    unchanged: int = 0
    failures: dict[str, str] = field(default_factory=dict)

    def add(self, other: "Outcome") -> None:
        """Count another outcome in."""
        self.written += other.written
        self.unchanged += other.unchanged
        self.failures.update(other.failures)


def write_chunk(
    engine: Engine, store: Store, job: WeeklyJob, bank: ItemBank, student_ids: Sequence[str]
) -> Outcome:
    """Write the reports of `student_ids` whose content changed; return what was done.

    A report's row is written after its object is in the store. What goes wrong with one
    student's data is recorded and the others are finished; a store that fails ends the run.
    """
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        records = queries.read_records(connection, job.week, student_ids)
        stored = queries.read_artifacts(connection, job.week, student_ids)
    outcome, fresh = Outcome(), []
    try:
        for record in records:
            try:
                artifacts = _write_student(store, job, bank, record, stored)
            except OSError:
                raise
            except Exception as error:  # noqa: BLE001  recorded; the other students go on
                outcome.failures[record.student_id] = f"{type(error).__name__}: {error}"
                continue
            fresh += artifacts
            outcome.written += len(artifacts)
            outcome.unchanged += len(job.formats) - len(artifacts)
    finally:
        with engine.begin() as connection:
            queries.save_artifacts(connection, fresh)
    return outcome


def choose_language(record: StudentRecord, job: WeeklyJob) -> str:
    """Return the student's language where it is on offer, else the first on offer."""
    locale = str(record.profile.get("locale") or "").replace("_", "-").split("-")[0].lower()
    return locale if locale in job.languages else job.languages[0]


def content_hash(
    record: StudentRecord, job: WeeklyJob, bank: ItemBank, language: str, file_format: str
) -> str:
    """Return the hash of all that a report is made from; no clock is among it."""
    inputs = json.dumps(
        [
            file_format,
            language,
            template_version(TEMPLATE, language, file_format),
            bank.fingerprint,
            asdict(job.week),
            record.profile,
            record.weeks,
            record.detail,
            sorted((str(week), row) for week, row in record.activity.items()),
            record.topics,
            record.goals,
            sorted(record.seen_items),
        ],
        default=_plain,
        sort_keys=True,
    )
    return hashlib.sha256(inputs.encode()).hexdigest()


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


def _write_student(
    store: Store,
    job: WeeklyJob,
    bank: ItemBank,
    record: StudentRecord,
    stored: dict[tuple[str, str], Artifact],
) -> list[Artifact]:
    language = choose_language(record, job)
    written = []
    report: StudentReport | None = None
    for file_format in job.formats:
        digest = content_hash(record, job, bank, language, file_format)
        key = report_key(record.student_id, job.week.week_start, file_format)
        before = stored.get((record.student_id, file_format))
        if (
            before is not None
            and before.content_hash == digest
            and before.object_key == key
            and store.size(key) == before.size_bytes
        ):
            continue
        if report is None:
            report = build_report(record, job.week, bank)
            words = say(report, catalogue.language(language))
        compiled = compile_template(TEMPLATE, language, file_format)
        document = (
            render_pdf(compiled.source, job.week.as_of_date, report=words)
            if file_format == "pdf"
            else render_html(compiled.source, report=words)
        )
        store.put(key, document)
        written.append(
            Artifact(
                student_id=record.student_id,
                week_start=job.week.week_start,
                format=file_format,
                object_key=key,
                size_bytes=len(document),
                sha256=hashlib.sha256(document).hexdigest(),
                content_hash=digest,
                template_version=compiled.version,
                language=language,
                run_id=report.run_id,
            )
        )
    return written
