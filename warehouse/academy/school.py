"""The whole school: everything that was drawn, from options alone."""

from dataclasses import dataclass

import numpy as np

from warehouse.academy.answers import Answers, answer_all, slot_positions
from warehouse.academy.curriculum import Ints, ItemBank, exam_forms, form_ids, item_bank
from warehouse.academy.faults import SessionFaults, SlotFaults, session_faults, slot_faults
from warehouse.academy.options import AcademyOptions
from warehouse.academy.people import Classroom, Students, students
from warehouse.academy.timetable import Sessions, timetable


@dataclass(frozen=True)
class School:
    """Everything that was drawn; arrays of one part share their positions."""

    options: AcademyOptions
    people: Students
    classrooms: tuple[Classroom, ...]
    bank: ItemBank
    forms: Ints
    sessions: Sessions
    session_faults: SessionFaults
    slot_faults: SlotFaults
    answers: Answers

    @property
    def form_ids(self) -> list[list[int]]:
        """The exam id of each level's forms."""
        return form_ids(self.forms)

    def classroom_on(self, student: int, day: int) -> int:
        """Return the position of the student's class on a day."""
        if day < self.people.moved_on_day[student]:
            return int(self.people.moved_from_classroom[student])
        return int(self.people.classroom[student])


def simulate(options: AcademyOptions) -> School:
    """Draw a school. The same options give the same school."""
    people, classrooms = students(options)
    bank = item_bank(options)
    forms = exam_forms(options, bank)
    _, form_count, length = forms.shape
    sessions = timetable(options, people, form_count, length)
    of_sessions = session_faults(options, sessions)
    slot_session = np.repeat(np.arange(len(sessions.student)), sessions.question_count)
    of_slots = slot_faults(
        options, slot_session, slot_positions(sessions.question_count), of_sessions
    )
    answers = answer_all(options, people, bank, forms, sessions, of_slots)
    return School(
        options, people, classrooms, bank, forms, sessions, of_sessions, of_slots, answers
    )
