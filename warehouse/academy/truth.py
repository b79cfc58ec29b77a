"""What is true: item parameters, abilities by session, and a count of every fault."""

from collections.abc import Iterator
from dataclasses import asdict

import numpy as np

from warehouse.academy import faults as fault
from warehouse.academy.curriculum import TOPICS, Ints
from warehouse.academy.options import AcademyOptions
from warehouse.academy.people import LATE_JOINER, PATTERNS, RETURNED, STOPPED
from warehouse.academy.results import Deliveries, session_ids
from warehouse.academy.school import School
from warehouse.academy.timetable import day_number

MANY_RESPONSES = 1000
ITEM_COLUMNS = "item_id,discrimination,difficulty,guessing,topic_id"
ABILITY_COLUMNS = "student_id,session_id,session_date,theta"
TOPIC_ABILITY_COLUMNS = "student_id,topic_id,deviation"
STUDENT_COLUMNS = (
    "student_id,theta_start,theta_end,growth_limit,pattern,from_date,to_date,away_from,away_to"
)


def item_lines(school: School) -> Iterator[str]:
    """Yield the true parameters of every item (logistic metric, theta ~ N(0, 1) at the start)."""
    bank = school.bank
    yield ITEM_COLUMNS
    for index, item_id in enumerate(bank.item_ids):
        yield (
            f"{item_id},{bank.discrimination[index]:.6f},{bank.difficulty[index]:.6f},"
            f"{bank.guessing[index]:.6f},{TOPICS[bank.topic[index]].topic_id}"
        )


def ability_lines(school: School) -> Iterator[str]:
    """Yield the true overall theta of every session in which questions were asked."""
    sessions = school.sessions
    ids = session_ids(sessions)
    dates = _dates(school, sessions.day)
    yield ABILITY_COLUMNS
    for index in np.flatnonzero(sessions.question_count).tolist():
        student_id = school.people.student_ids[sessions.student[index]]
        yield f"{student_id},{ids[index]},{dates[index]},{sessions.theta[index]:.6f}"


def topic_ability_lines(school: School) -> Iterator[str]:
    """Yield how far each student's ability in a topic lies from the overall one, always."""
    yield TOPIC_ABILITY_COLUMNS
    for student_id, row in zip(
        school.people.student_ids, school.people.topic_deviation.tolist(), strict=True
    ):
        for topic, deviation in zip(TOPICS, row, strict=True):
            yield f"{student_id},{topic.topic_id},{deviation:.6f}"


def student_lines(school: School) -> Iterator[str]:
    """Yield each student's start, end and pattern; dates that do not apply are empty."""
    people, sessions = school.people, school.sessions
    theta_end = people.theta_start.copy()
    theta_end[sessions.student] = sessions.theta  # the last session of a student comes last
    starts, ends = _dates(school, people.from_day), _dates(school, people.to_day)
    away_from, away_to = _dates(school, people.away_from), _dates(school, people.away_to)
    yield STUDENT_COLUMNS
    for index, student_id in enumerate(people.student_ids):
        pattern = people.pattern[index]
        yield ",".join(
            (
                student_id,
                f"{people.theta_start[index]:.6f}",
                f"{theta_end[index]:.6f}",
                f"{people.growth_limit[index]:.6f}",
                PATTERNS[pattern],
                starts[index] if pattern == LATE_JOINER else "",
                ends[index] if pattern == STOPPED else "",
                away_from[index] if pattern == RETURNED else "",
                away_to[index] if pattern == RETURNED else "",
            )
        )


def option_values(options: AcademyOptions) -> dict[str, object]:
    """Return the options as the summary holds them."""
    return {**asdict(options), "until": options.until.isoformat()}


def summary(school: School, delivered: Deliveries) -> dict[str, object]:
    """Return the options and what the files hold, counted from what was drawn."""
    options = school.options
    faults, slots, answers = school.session_faults, school.slot_faults, school.answers
    is_due = faults.is_due
    is_last = np.zeros(len(is_due), dtype=np.bool_)
    is_last[delivered.session] = True
    in_file = is_last[answers.session]
    redelivery = np.bincount(faults.redelivery[is_due], minlength=len(fault.REDELIVERIES))
    elements = np.bincount(slots.element[in_file], minlength=len(fault.ELEMENT_FAULTS))
    first = np.bincount(answers.item[answers.is_first_graded], minlength=options.items)
    return {
        "options": option_values(options),
        "sessions": len(is_due),
        "sessions_abandoned": int((school.sessions.question_count == 0).sum()),
        "sessions_without_row": int((~faults.has_session_row).sum()),
        "results": int(is_due.sum()),
        "results_not_delivered_yet": int((~is_due & (school.sessions.question_count > 0)).sum()),
        "results_failed": int((faults.is_failed & is_due).sum()),
        "results_without_user": int((faults.is_user_null & is_due).sum()),
        "results_late": int((is_due & (faults.delay_ms >= fault.LATE_FROM_MS)).sum()),
        "results_without_array": int(((faults.questions_fault != fault.WHOLE) & is_due).sum()),
        "redeliveries": dict(zip(fault.REDELIVERIES[1:], redelivery[1:].tolist(), strict=True)),
        "answers": len(answers.item),
        "answers_unanswered": int((answers.is_unanswered & in_file).sum()),
        "element_faults": dict(zip(fault.ELEMENT_FAULTS[1:], elements[1:].tolist(), strict=True)),
        "first_graded": int(first.sum()),
        f"items_with_{MANY_RESPONSES}_first_graded": int((first >= MANY_RESPONSES).sum()),
    }


def _dates(school: School, days: Ints) -> list[str]:
    local = (day_number(school.options.first_day) + days).astype("datetime64[D]")
    return [str(text) for text in np.datetime_as_string(local).tolist()]
