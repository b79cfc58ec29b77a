"""One chunk of weekly student reports: read, compare, render, store, record."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Engine

from report_runner import artifacts, catalogue, queries
from report_runner.catalogue import LANGUAGES
from report_runner.compile import compile_template, template_version
from report_runner.errors import StoreError
from report_runner.places import CONTENT_TYPES
from report_runner.quarto import quarto_version, render_quarto
from report_runner.records import Artifact, ItemBank, StudentInputs, Week
from report_runner.render import render_html
from report_runner.sections import build_report
from report_runner.store import Store, report_key
from report_runner.typesetting import render_pdf
from report_runner.uploads import Uploads
from report_runner.views import WeeklyReportText
from report_runner.wording import say

TEMPLATE = "weekly_report"
FORMATS = tuple(CONTENT_TYPES)
RENDERERS = ("compiled", "quarto")
# Of a PDF: one sheet of paper.
MOST_PAGES = 2
# Of a PDF without topics, of which often a few lines alone would stand on a second page.
SHORT_PAGES = 1
# Small enough that a kill costs a second's work or two.
RECORDED_AT_ONCE, RECORDED_AT_ONCE_WITH_PDF = 200, 50


@dataclass(frozen=True)
class WeeklyJob:
    """What is to be written: a week, in which formats and languages.

    `languages` are those on offer; a student whose profile names none of them gets the first.
    """

    week: Week
    formats: tuple[str, ...] = FORMATS
    languages: tuple[str, ...] = LANGUAGES
    renderer: str = RENDERERS[0]


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
        students = queries.read_inputs(connection, job.week, student_ids)
        stored = artifacts.read_artifacts(connection, job.week, student_ids)
    outcome = Outcome()
    changed = []
    for inputs in students:
        try:
            formats = choose_formats(inputs.formats, job)
            stale = _find_stale(store, job, bank, inputs, formats, stored)
        except (OSError, StoreError):
            raise
        except Exception as error:  # noqa: BLE001  recorded; the other students go on
            outcome.failures[inputs.student_id] = f"{type(error).__name__}: {error}"
            continue
        outcome.unchanged += len(formats) - len(stale)
        if stale:
            changed.append((inputs, stale))
    size = RECORDED_AT_ONCE_WITH_PDF if "pdf" in job.formats else RECORDED_AT_ONCE
    for start in range(0, len(changed), size):
        batch = changed[start : start + size]
        outcome.add(_write_batch(engine, store, job, bank, batch))
    return outcome


@dataclass(frozen=True)
class _Stale:
    """A format in which a student's report has to be written, and why it will not be again."""

    file_format: str
    key: str
    content_hash: str


def _write_batch(
    engine: Engine,
    store: Store,
    job: WeeklyJob,
    bank: ItemBank,
    batch: Sequence[tuple[StudentInputs, Sequence[_Stale]]],
) -> Outcome:
    outcome = Outcome()
    uploads = Uploads(store)
    try:
        for inputs, stale in batch:
            try:
                made = _make_reports(job, bank, inputs, stale)
            except Exception as error:  # noqa: BLE001  recorded; the other students go on
                outcome.failures[inputs.student_id] = f"{type(error).__name__}: {error}"
                continue
            for artifact, document in made:
                uploads.add(artifact, document)
    finally:
        # Whatever ended the batch, what is in the store is recorded.
        with uploads.finished() as present, engine.begin() as connection:
            artifacts.save_artifacts(connection, present)
        outcome.written += len(present)
    return outcome


def choose_language(locale: str, job: WeeklyJob) -> str:
    """Return the student's language where it is on offer, else the first on offer."""
    code = locale.replace("_", "-").split("-")[0].lower()
    return code if code in job.languages else job.languages[0]


def choose_formats(asked: tuple[str, ...], job: WeeklyJob) -> tuple[str, ...]:
    """Return the formats of the job that the student asked for, or all where none was named."""
    return tuple(name for name in job.formats if not asked or name in asked)


def content_hash(
    inputs: StudentInputs, job: WeeklyJob, bank: ItemBank, language: str, file_format: str
) -> str:
    """Return the hash of all that a report is made from; no clock is among it."""
    version = template_version(TEMPLATE, language, file_format)
    if job.renderer == "quarto":
        version = f"{version} quarto {quarto_version()}"
    return inputs.digest(file_format, language, version, bank.fingerprint, repr(job.week))


def _find_stale(
    store: Store,
    job: WeeklyJob,
    bank: ItemBank,
    inputs: StudentInputs,
    formats: Sequence[str],
    stored: dict[tuple[str, str], Artifact],
) -> list[_Stale]:
    language = choose_language(inputs.locale, job)
    stale = []
    for file_format in formats:
        digest = content_hash(inputs, job, bank, language, file_format)
        key = report_key(inputs.student_id, job.week.week_start, file_format)
        before = stored.get((inputs.student_id, file_format))
        if (
            before is None
            or before.content_hash != digest
            or before.object_key != key
            or not store.holds(key, before.size_bytes)
        ):
            stale.append(_Stale(file_format, key, digest))
    return stale


def _make_reports(
    job: WeeklyJob, bank: ItemBank, inputs: StudentInputs, stale: Sequence[_Stale]
) -> list[tuple[Artifact, bytes]]:
    language = choose_language(inputs.locale, job)
    report = build_report(inputs.record(job.week), job.week, bank)
    words = say(report, catalogue.language(language))
    made = []
    for part in stale:
        document = _render(job, language, part.file_format, words)
        artifact = Artifact(
            student_id=inputs.student_id,
            week_start=job.week.week_start,
            format=part.file_format,
            object_key=part.key,
            size_bytes=len(document),
            sha256=hashlib.sha256(document).hexdigest(),
            content_hash=part.content_hash,
            template_version=template_version(TEMPLATE, language, part.file_format),
            language=language,
            run_id=report.run_id,
        )
        made.append((artifact, document))
    return made


def _render(job: WeeklyJob, code: str, file_format: str, words: WeeklyReportText) -> bytes:
    if job.renderer == "quarto":
        return render_quarto(TEMPLATE, code, file_format, report=words)
    compiled = compile_template(TEMPLATE, code, file_format)
    if file_format == "pdf":
        return render_pdf(
            compiled.source,
            job.week.as_of_date,
            most_pages=MOST_PAGES,
            wanted_pages=SHORT_PAGES if words.topic_chart is None else None,
            report=words,
        )
    return render_html(compiled.source, report=words)
