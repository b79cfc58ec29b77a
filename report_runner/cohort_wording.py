"""The words of a cohort report."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from report_runner.catalogue import Language
from report_runner.charts import Chart
from report_runner.cohort import CohortReport, Contact, Mover, Reason
from report_runner.plots import heat_map, histogram
from report_runner.text import clean_text
from report_runner.views import Value

_MOVERS_SHOWN = 5
# Of those with too little on record: a school has hundreds.
_NAMES_SHOWN = 30


@dataclass(frozen=True)
class ContactText:
    """One student to contact."""

    order: str
    student: str
    reasons: str


@dataclass(frozen=True)
class CohortReportText:
    """Everything a template of the cohort report can show."""

    document_title: str
    name: str
    period: str
    running: str
    summary: str
    contacts: tuple[ContactText, ...]
    more_contacts: str
    movement: tuple[Value, ...]
    risers: tuple[Value, ...]
    fallers: tuple[Value, ...]
    distribution: Chart | None
    percentiles: tuple[Value, ...]
    topics: Chart | None
    gaps: tuple[tuple[str, str], ...]
    as_of: str


def say_cohort(report: CohortReport, language: Language) -> CohortReportText:
    """Return the report in the words of `language`."""
    week = report.week
    period = language.interval(week.week_start, week.week_start + timedelta(days=6))
    name = clean_text(report.name or "") or clean_text(report.cohort_id) or "—"
    as_of = language.day(week.as_of_date)
    left_out = report.contacts_left_out
    gaps = (("score", report.without_score), ("questions", report.without_questions))
    return CohortReportText(
        document_title=language.text("cohort.document_title", name=name, period=period),
        name=name,
        period=period,
        running="" if week.is_complete else language.text("page.running", date=as_of),
        summary=language.text(
            "cohort.summary",
            count=language.number(report.student_count),
            active=language.number(report.active_count),
        ),
        contacts=tuple(
            _contact(number, contact, language)
            for number, contact in enumerate(report.contacts, start=1)
        ),
        more_contacts=language.text("cohort.contacts.more", count=language.number(left_out))
        if left_out
        else "",
        movement=_movement(report, language),
        risers=_movers(report.risers, language),
        fallers=_movers(report.fallers, language),
        distribution=_distribution(report, language),
        percentiles=tuple(
            Value(
                language.text("cohort.distribution.percentile", percent=str(percent)),
                language.text("cohort.score_unit", score=language.number(score)),
                repr(score),
            )
            for percent, score in report.percentiles.items()
        ),
        topics=_topics(report, language),
        gaps=tuple(
            (
                language.text(f"cohort.gaps.{key}"),
                _names(students, language),
            )
            for key, students in gaps
            if students
        ),
        as_of=language.text("cohort.reading.as_of", date=as_of),
    )


def _name(student_id: str, display_name: str | None) -> str:
    name = clean_text(display_name or "")
    identifier = clean_text(student_id) or "—"
    return f"{name} ({identifier})" if name else identifier


def _names(students: Sequence[tuple[str, str | None]], language: Language) -> str:
    names = ", ".join(_name(*student) for student in students[:_NAMES_SHOWN])
    left_out = len(students) - _NAMES_SHOWN
    if left_out <= 0:
        return names
    return language.text("cohort.gaps.more", names=names, count=language.number(left_out))


def _contact(number: int, contact: Contact, language: Language) -> ContactText:
    return ContactText(
        order=str(number),
        student=_name(contact.student_id, contact.display_name),
        reasons=" ".join(_reason(reason, language) for reason in contact.reasons),
    )


def _reason(reason: Reason, language: Language) -> str:
    shown = {
        name: language.percent(float(value))  # type: ignore[arg-type]  # dates are never shown
        if name == "probability"
        else language.number(float(value))  # type: ignore[arg-type]
        for name, value in reason.values.items()
    }
    return language.text(f"cohort.contacts.{reason.name}", **shown)


def _movement(report: CohortReport, language: Language) -> tuple[Value, ...]:
    counts = (
        ("up", len(report.risers)),
        ("steady", report.steady_count),
        ("down", len(report.fallers)),
    )
    if not any(count for _name, count in counts):
        return ()
    return tuple(
        Value(
            language.text(f"cohort.movement.{key}"),
            language.text("cohort.people", count=language.number(count)),
            repr(count),
        )
        for key, count in counts
    )


def _movers(movers: Sequence[Mover], language: Language) -> tuple[Value, ...]:
    shown = []
    for mover in movers[:_MOVERS_SHOWN]:
        sign = "+" if mover.change > 0 else "\N{MINUS SIGN}"
        change = sign + language.number(abs(mover.change))
        text = language.text(
            "cohort.movement.mover", score=language.number(mover.score), change=change
        )
        shown.append(Value(_name(mover.student_id, mover.display_name), text, repr(mover.change)))
    return tuple(shown)


def _distribution(report: CohortReport, language: Language) -> Chart | None:
    if not report.bins:
        return None
    marks = [
        (language.text("cohort.distribution.percentile_short", percent=str(percent)), score)
        for percent, score in report.percentiles.items()
    ]
    return histogram(
        report.bins,
        marks,
        (language.text("cohort.distribution.axis"), language.text("cohort.distribution.count")),
        language.text("cohort.distribution.chart_title"),
        language.text(
            "cohort.distribution.chart_description",
            low=language.number(report.scores[0]),
            middle=language.number(report.percentiles[50]),
            high=language.number(report.scores[-1]),
        ),
    )


def _topics(report: CohortReport, language: Language) -> Chart | None:
    if not report.topics:
        return None
    latest = ", ".join(
        language.text(
            "cohort.topics.chart_item", topic=clean_text(topic) or "—", rate=language.percent(share)
        )
        for topic, shares in report.topics
        for share in [next(share for share in reversed(shares) if share is not None)]
    )
    weeks = [language.short_day(week) for week in report.topic_weeks]
    title = language.text("cohort.topics.chart_title")
    return heat_map(report.topics, weeks, title, latest)
