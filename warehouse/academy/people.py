"""Students with their true abilities and habits, and the classes they sit in."""

from dataclasses import dataclass

import numpy as np

from warehouse.academy.curriculum import LEVELS, TOPICS, Floats, Ints
from warehouse.academy.options import AcademyOptions

ORGS = ("seed-gangnam", "seed-bundang", "seed-haeundae")
ORG_NAMES = ("강남", "분당", "해운대")
ORG_SHARES = (0.45, 0.35, 0.2)
GRADES = ("고1", "고2", "고3")
CLASS_SIZE = 25
MOVER_SHARE = 0.05

PLACEMENT_NOISE_SD = 2.0
TOPIC_DEVIATION_SD = 0.2
GROWTH_LIMIT_MEAN = 0.35
GROWTH_LIMIT_SHAPE = 4.0
SESSIONS_PER_DAY_MEAN = 0.14
SESSIONS_PER_DAY_SHAPE = 3.0

STEADY, LATE_JOINER, STOPPED, RETURNED = range(4)
PATTERNS = ("steady", "joined_late", "stopped", "returned")
PATTERN_SHARES = (0.6, 0.1, 0.18, 0.12)


@dataclass(frozen=True)
class Students:
    """One entry per student in every array.

    `theta_start` is the overall ability on the first day, `growth_limit` what practice can add
    to it, `topic_deviation` (students x topics) a lasting strength or weakness, `speed` an offset
    on the log of response time. Days count from 0; `from_day` and `to_day` bound the enrolment
    (inclusive), `away_from` and `away_to` a break within it (-1: none).
    """

    student_ids: tuple[str, ...]
    org: Ints
    grade: Ints
    level: Ints
    classroom: Ints
    moved_from_classroom: Ints
    moved_on_day: Ints
    theta_start: Floats
    growth_limit: Floats
    topic_deviation: Floats
    speed: Floats
    sessions_per_day: Floats
    pattern: Ints
    from_day: Ints
    to_day: Ints
    away_from: Ints
    away_to: Ints


@dataclass(frozen=True)
class Classroom:
    """A class: students of one campus, grade and level."""

    classroom_id: str
    org: int
    grade: int
    level: int
    number: int

    @property
    def name(self) -> str:
        """The name on the door, such as `강남 고2 심화 1반`."""
        return f"{ORG_NAMES[self.org]} {GRADES[self.grade]} {LEVELS[self.level]} {self.number}반"


def students(options: AcademyOptions) -> tuple[Students, tuple[Classroom, ...]]:
    """Draw the students and place them in classes by a noisy placement test."""
    draw = options.generator("students")
    count, days = options.students, options.days
    theta = draw.normal(0.0, 1.0, count)
    org = draw.choice(len(ORGS), count, p=ORG_SHARES).astype(np.int64)
    grade = draw.integers(0, len(GRADES), count)
    placement = theta + draw.normal(0.0, PLACEMENT_NOISE_SD, count)
    level, classroom, classrooms = _classes(org, grade, placement)
    pattern = draw.choice(len(PATTERNS), count, p=PATTERN_SHARES).astype(np.int64)
    from_day, to_day, away_from, away_to = _presence(draw, pattern, days)
    moved_from, moved_on = _moves(draw, classroom, classrooms, days)
    deviation = draw.normal(0.0, TOPIC_DEVIATION_SD, (count, len(TOPICS)))
    people = Students(
        student_ids=tuple(f"st-{number:05d}" for number in range(1, count + 1)),
        org=org,
        grade=grade,
        level=level,
        classroom=classroom,
        moved_from_classroom=moved_from,
        moved_on_day=moved_on,
        theta_start=theta,
        growth_limit=draw.gamma(GROWTH_LIMIT_SHAPE, GROWTH_LIMIT_MEAN / GROWTH_LIMIT_SHAPE, count),
        topic_deviation=deviation,
        speed=draw.normal(0.0, 0.2, count),
        sessions_per_day=draw.gamma(
            SESSIONS_PER_DAY_SHAPE, SESSIONS_PER_DAY_MEAN / SESSIONS_PER_DAY_SHAPE, count
        ),
        pattern=pattern,
        from_day=from_day,
        to_day=to_day,
        away_from=away_from,
        away_to=away_to,
    )
    return people, classrooms


def _classes(org: Ints, grade: Ints, placement: Floats) -> tuple[Ints, Ints, tuple[Classroom, ...]]:
    """Split each campus and grade into thirds by placement, and these into classes."""
    level = np.zeros(len(org), dtype=np.int64)
    classroom = np.zeros(len(org), dtype=np.int64)
    classrooms: list[Classroom] = []
    for campus in range(len(ORGS)):
        for year in range(len(GRADES)):
            members = np.flatnonzero((org == campus) & (grade == year))
            ranked = members[np.argsort(placement[members], kind="stable")]
            for tier, group in enumerate(np.array_split(ranked, len(LEVELS))):
                level[group] = tier
                parts = np.array_split(np.sort(group), max(1, round(len(group) / CLASS_SIZE)))
                for number, part in enumerate(parts, start=1):
                    if not len(part):
                        continue
                    classroom[part] = len(classrooms)
                    name = f"{ORGS[campus]}-{year + 1}-{tier + 1}-{number}"
                    classrooms.append(Classroom(name, campus, year, tier, number))
    return level, classroom, tuple(classrooms)


def _presence(draw: np.random.Generator, pattern: Ints, days: int) -> tuple[Ints, Ints, Ints, Ints]:
    """Draw who is there when: late joiners, those who stop, those who pause and come back."""
    count = len(pattern)
    from_day = np.where(
        pattern == LATE_JOINER, (days * draw.uniform(0.1, 0.6, count)).astype(np.int64), 0
    )
    to_day = np.where(
        pattern == STOPPED, (days * draw.uniform(0.15, 0.9, count)).astype(np.int64), days - 1
    )
    away_from = (days * draw.uniform(0.15, 0.6, count)).astype(np.int64)
    away_days = draw.integers(max(2, days // 10), max(3, days // 3), count)
    is_away = pattern == RETURNED
    return (
        from_day,
        to_day,
        np.where(is_away, away_from, -1),
        np.where(is_away, np.minimum(away_from + away_days, days - 2), -1),
    )


def _moves(
    draw: np.random.Generator, classroom: Ints, classrooms: tuple[Classroom, ...], days: int
) -> tuple[Ints, Ints]:
    """Let some students come from the parallel class of the same level."""
    parallel: dict[tuple[int, int, int], list[int]] = {}
    for position, room in enumerate(classrooms):
        parallel.setdefault((room.org, room.grade, room.level), []).append(position)
    moved_from = np.full(len(classroom), -1, dtype=np.int64)
    moved_on = np.full(len(classroom), -1, dtype=np.int64)
    is_mover = draw.random(len(classroom)) < MOVER_SHARE
    day = draw.integers(days // 4, max(days // 4 + 1, days - 7), len(classroom))
    for student in np.flatnonzero(is_mover):
        room = classrooms[classroom[student]]
        others = [
            other
            for other in parallel[room.org, room.grade, room.level]
            if other != classroom[student]
        ]
        if others:
            moved_from[student] = others[0]
            moved_on[student] = day[student]
    return moved_from, moved_on
