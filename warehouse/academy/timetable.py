"""When sessions happen: weekly rhythm, exam Saturdays, an exam season, breaks and farewells.

Local time is Asia/Seoul throughout, which has been UTC+9 without daylight saving since 1988, so
that a local instant is a whole number of milliseconds away from UTC.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np

from warehouse.academy.curriculum import Bools, Floats, Ints
from warehouse.academy.options import AcademyOptions
from warehouse.academy.people import STOPPED, Students

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
UTC_OFFSET_MS = 9 * HOUR_MS
EPOCH = date(1970, 1, 1)
MONDAY_OF_EPOCH_WEEK = 3  # 1 January 1970 was a Thursday
SATURDAY = 5

WEEKDAY_FACTORS = np.array([1.0, 0.95, 0.9, 0.95, 0.65, 1.25, 1.55])
EXAM_INTERVAL_DAYS = 40
EXAM_ATTENDANCE = 0.85
EXAM_START_HOUR = 10.0
SEASON_SHARE = (0.6, 0.75)
SEASON_FACTOR = 1.6
FADING_DAYS = 14
FADING_FACTOR = 0.5
SECOND_SESSION_SHARE = 0.2
SECOND_SESSION_HOURS = 2.6
ABANDONED_SHARE = 0.03
LAST_START_HOUR = 23.4
LAST_START_HOUR_OF_LAST_DAY = 21.0
PRACTICE_QUESTIONS = (5, 12)
SESSIONS_TO_LEARN = 12.0


@dataclass(frozen=True)
class Sessions:
    """Planned sessions by student and start; one entry per session in every array.

    `start_ms` is local (milliseconds since 1970 on the wall clock in Seoul), `form` the exam form
    within the level or -1 for practice, `question_count` 0 for an abandoned session, `theta` the
    true overall ability, constant during a session.
    """

    student: Ints
    ordinal: Ints
    day: Ints
    start_ms: Ints
    form: Ints
    question_count: Ints
    theta: Floats


def day_number(day: date) -> int:
    """Count the days since 1970-01-01."""
    return (day - EPOCH).days


def weekdays(options: AcademyOptions) -> Ints:
    """Return the weekday of every day of the period, Monday 0."""
    return (day_number(options.first_day) + MONDAY_OF_EPOCH_WEEK + np.arange(options.days)) % 7


def exam_days(options: AcademyOptions) -> list[int]:
    """Return the day of each exam round: the last Saturday of each interval of the period."""
    is_saturday = weekdays(options) == SATURDAY
    rounds = max(1, options.days // EXAM_INTERVAL_DAYS)
    parts = np.array_split(np.arange(options.days), rounds)
    return [int(part[is_saturday[part]][-1]) for part in parts]


def is_present(options: AcademyOptions, people: Students) -> Bools:
    """Say for each student and day whether the student is enrolled and not on a break."""
    day = np.arange(options.days)[None, :]
    is_enrolled = (day >= people.from_day[:, None]) & (day <= people.to_day[:, None])
    has_break = (people.away_from >= 0)[:, None]
    is_away = has_break & (day >= people.away_from[:, None]) & (day <= people.away_to[:, None])
    present: Bools = is_enrolled & ~is_away
    return present


def timetable(options: AcademyOptions, people: Students, form_count: int, length: int) -> Sessions:
    """Draw every session of the period, and the ability that its student brings to it."""
    draw = options.generator("timetable")
    present = is_present(options, people)
    practice = _practice(draw, options, people, present)
    exams = _exams(draw, options, people, present, form_count)
    student, day, hour, form = (np.concatenate(pair) for pair in zip(practice, exams, strict=True))

    last_hour = np.where(day == options.days - 1, LAST_START_HOUR_OF_LAST_DAY, LAST_START_HOUR)
    in_time = hour <= last_hour
    student, day, hour, form = student[in_time], day[in_time], hour[in_time], form[in_time]
    start_ms = (day_number(options.first_day) + day) * DAY_MS + (hour * HOUR_MS).astype(np.int64)
    order = np.lexsort((start_ms, student))
    student, day, start_ms, form = student[order], day[order], start_ms[order], form[order]

    questions = draw.integers(*PRACTICE_QUESTIONS, len(student))
    is_abandoned = draw.random(len(student)) < ABANDONED_SHARE
    question_count = np.where(form >= 0, length, np.where(is_abandoned, 0, questions))
    first = np.searchsorted(student, np.arange(options.students))
    done: Ints = np.cumsum(question_count > 0) - (question_count > 0)
    done_before: Ints = done - done[first[student]]
    learnt = 1.0 - np.exp(-done_before / SESSIONS_TO_LEARN)
    return Sessions(
        student=student,
        ordinal=np.arange(len(student)) - first[student] + 1,
        day=day,
        start_ms=start_ms,
        form=form,
        question_count=question_count,
        theta=people.theta_start[student] + people.growth_limit[student] * learnt,
    )


def _practice(
    draw: np.random.Generator, options: AcademyOptions, people: Students, present: Bools
) -> tuple[Ints, Ints, Floats, Ints]:
    weekday = weekdays(options)
    day = np.arange(options.days)
    low, high = (share * options.days for share in SEASON_SHARE)
    calendar = WEEKDAY_FACTORS[weekday] * np.where((day >= low) & (day < high), SEASON_FACTOR, 1.0)
    is_fading = (people.pattern == STOPPED)[:, None] & (
        day[None, :] > people.to_day[:, None] - FADING_DAYS
    )
    chance = people.sessions_per_day[:, None] * calendar[None, :] * present
    chance *= np.where(is_fading, FADING_FACTOR, 1.0)
    student, on_day = np.nonzero(draw.random(chance.shape) < np.minimum(chance, 0.95))

    is_weekend = weekday[on_day] >= SATURDAY
    hour = np.where(
        is_weekend,
        _from_hour(13.0, draw.normal(15.8, 2.5, len(student))),
        _from_hour(15.5, draw.normal(20.0, 1.5, len(student))),
    )
    again = draw.random(len(student)) < SECOND_SESSION_SHARE
    student = np.concatenate((student, student[again]))
    on_day = np.concatenate((on_day, on_day[again]))
    hour = np.concatenate((hour, hour[again] + SECOND_SESSION_HOURS))
    return student, on_day, hour, np.full(len(student), -1, dtype=np.int64)


def _from_hour(earliest: float, hour: Floats) -> Floats:
    """Reflect hours before `earliest`, so that no crowd starts at the same moment."""
    return np.minimum(earliest + np.abs(hour - earliest), LAST_START_HOUR)


def _exams(
    draw: np.random.Generator,
    options: AcademyOptions,
    people: Students,
    present: Bools,
    form_count: int,
) -> tuple[Ints, Ints, Floats, Ints]:
    """Seat the students at the exams; classes take the forms in rotation.

    At every round each form is taken by a part of the classes, so that no form is met only
    early or only late in the period, when the students have grown.
    """
    days = exam_days(options)
    attends = draw.random((options.students, len(days))) < EXAM_ATTENDANCE
    student, round_number = np.nonzero(attends & present[:, days])
    classroom = people.classroom[student]
    minute = draw.integers(0, 6, people.classroom.max() + 1)[classroom] * 10
    hour = EXAM_START_HOUR + minute / 60 + draw.random(len(student)) * 0.05
    form = (classroom + round_number) % form_count
    return student, np.array(days, dtype=np.int64)[round_number], hour, form
