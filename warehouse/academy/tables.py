"""Rows of the application's other tables: sessions, questions, goals, classes, profiles."""

from collections.abc import Iterator
from datetime import date, timedelta

import numpy as np

from warehouse.academy.curriculum import TOPICS, ItemBank
from warehouse.academy.names import student_name
from warehouse.academy.options import AcademyOptions
from warehouse.academy.people import GRADES, ORGS, Classroom, Students
from warehouse.academy.results import session_ends, session_ids, utc_text
from warehouse.academy.school import School
from warehouse.academy.timetable import DAY_MS, HOUR_MS, day_number

Row = dict[str, object]

DIFFICULTY_LABELS = ((-0.6, "쉬움"), (0.6, "보통"), (np.inf, "어려움"))
REGIONS = ("서울", "경기", "부산", "기타")
GIRL_SHARE = 0.5
ENGLISH_SHARE = 0.06
UNKNOWN_REGION_SHARE = 0.05
PDF_SHARE = 0.4
OVERALL_GOAL_SHARE = 0.6
TOPIC_GOAL_SHARE = 0.3
UNDATED_SHARE = 0.4
CLOCK_ERROR_MS = 5 * 60_000


def session_rows(school: School) -> Iterator[Row]:
    """Yield the session rows, abandoned sessions included (they have no end and no result)."""
    sessions, faults = school.sessions, school.session_faults
    ids = session_ids(sessions)
    ends = session_ends(sessions, school.answers)
    ends = np.where(faults.has_clock_error, sessions.start_ms - CLOCK_ERROR_MS, ends)
    form_names = school.form_ids
    started = utc_text(sessions.start_ms)
    ended = utc_text(ends)
    for index in np.flatnonzero(faults.has_session_row).tolist():
        student = int(sessions.student[index])
        form = int(sessions.form[index])
        is_abandoned = sessions.question_count[index] == 0
        room = school.classroom_on(student, int(sessions.day[index]))
        level = int(school.people.level[student])
        yield {
            "id": ids[index],
            "user_id": school.people.student_ids[student],
            "exam_id": str(form_names[level][form]) if form >= 0 else "practice",
            "classroom_id": school.classrooms[room].classroom_id,
            "org_id": ORGS[school.people.org[student]],
            "started_at": started[index],
            "ended_at": None if is_abandoned else ended[index],
            "status": "abandoned" if is_abandoned else "completed",
        }


def question_rows(options: AcademyOptions, bank: ItemBank) -> Iterator[Row]:
    """Yield the questions; anchors carry the tag and their true parameters."""
    created = _stamp(options.first_day - timedelta(days=60), 9)
    for index, item_id in enumerate(bank.item_ids):
        topic = TOPICS[bank.topic[index]]
        difficulty = float(bank.difficulty[index])
        kind = "multiple_choice" if bank.is_multiple_choice[index] else "short_answer"
        meta: dict[str, object] = {"tags": [kind]}
        if bank.is_anchor[index]:
            meta["tags"] = [kind, "anchor"]
            meta["irt"] = {
                "a": float(bank.discrimination[index]),
                "b": difficulty,
                "c": float(bank.guessing[index]),
                "model": "3PL" if bank.guessing[index] > 0 else "2PL",
                "version": "truth",
            }
        yield {
            "id": item_id,
            "content": f"[{topic.subject} > {topic.name}] {item_id}번 문항",
            "difficulty": next(label for limit, label in DIFFICULTY_LABELS if difficulty < limit),
            "topic_id": topic.topic_id,
            "meta": meta,
            "created_at": created,
            "updated_at": created,
        }


def profile_rows(options: AcademyOptions, people: Students) -> Iterator[Row]:
    """Yield one profile per student."""
    draw = options.generator("profiles")
    for index, student_id in enumerate(people.student_ids):
        is_girl = bool(draw.random() < GIRL_SHARE)
        is_english = bool(draw.random() < ENGLISH_SHARE)
        labels = {"gender": "female" if is_girl else "male"}
        if draw.random() >= UNKNOWN_REGION_SHARE:
            labels["region"] = REGIONS[int(draw.integers(len(REGIONS)))]
        yield {
            "user_id": student_id,
            "display_name": student_name(draw, is_girl, is_english),
            "locale": "en" if is_english else "ko",
            "grade": GRADES[people.grade[index]],
            "group_labels": labels,
            "report_formats": ["html", "pdf"] if draw.random() < PDF_SHARE else ["html"],
        }


def goal_rows(options: AcademyOptions, people: Students) -> Iterator[Row]:
    """Yield overall and topic goals, some undated, some whose date has passed."""
    draw = options.generator("goals")
    for index, student_id in enumerate(people.student_ids):
        topics: list[str | None] = [None] if draw.random() < OVERALL_GOAL_SHARE else []
        if draw.random() < TOPIC_GOAL_SHARE:
            chosen = draw.choice(len(TOPICS), int(draw.integers(1, 4)), replace=False)
            topics += [TOPICS[topic].topic_id for topic in np.sort(chosen)]
        for topic_id in topics:
            ambition = float(people.theta_start[index] + draw.normal(0.4, 0.4))
            created_on = options.first_day + timedelta(
                days=int(draw.integers(people.from_day[index], options.days))
            )
            is_undated = draw.random() < UNDATED_SHARE
            due = created_on + timedelta(days=int(draw.integers(14, 150)))
            yield {
                "user_id": student_id,
                "topic_id": topic_id,
                "target_level": round(min(max(ambition, -2.5), 2.5), 2),
                "priority": int(draw.integers(0, 101)),
                "target_date": None if is_undated else due.isoformat(),
                "created_at": _stamp(created_on, 12),
            }


def classroom_rows(classrooms: tuple[Classroom, ...]) -> Iterator[Row]:
    """Yield the classes."""
    for room in classrooms:
        yield {
            "id": room.classroom_id,
            "org_id": ORGS[room.org],
            "name": room.name,
            "grade": GRADES[room.grade],
        }


def membership_rows(
    options: AcademyOptions, people: Students, classrooms: tuple[Classroom, ...]
) -> Iterator[Row]:
    """Yield who was in which class when; `to_date` is the last day, null while it lasts."""
    for index, student_id in enumerate(people.student_ids):
        joined = int(people.from_day[index])
        left = int(people.to_day[index])
        end = None if left == options.days - 1 else _day(options, left)
        moved_on = int(people.moved_on_day[index])
        room = classrooms[people.classroom[index]].classroom_id
        if joined < moved_on <= left:
            yield {
                "classroom_id": classrooms[people.moved_from_classroom[index]].classroom_id,
                "user_id": student_id,
                "from_date": _day(options, joined),
                "to_date": _day(options, moved_on - 1),
            }
            joined = moved_on
        yield {
            "classroom_id": room,
            "user_id": student_id,
            "from_date": _day(options, joined),
            "to_date": end,
        }


def _day(options: AcademyOptions, day: int) -> str:
    return (options.first_day + timedelta(days=day)).isoformat()


def _stamp(day: date, hour: int) -> str:
    return utc_text(np.array([day_number(day) * DAY_MS + hour * HOUR_MS]))[0]
