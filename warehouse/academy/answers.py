"""Answers: which item comes next, whether it is solved, how long it takes, how many hints.

Theta, discrimination and difficulty decide the first attempt at an item by the model of the
specification, P = c + (1 - c) / (1 + exp(-a (theta + topic deviation - b))). An item that comes
back after it was graded is easier by `PRACTICE_EFFECT` and faster.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from warehouse.academy.curriculum import LEVEL_DIFFICULTY, Bools, Floats, Ints, ItemBank
from warehouse.academy.faults import SlotFaults
from warehouse.academy.options import AcademyOptions
from warehouse.academy.people import Students
from warehouse.academy.timetable import Sessions

RECOVERY_SHARE = 0.3
REVIEW_SHARE = 0.03
PRACTICE_EFFECT = 0.8
LEVEL_PULL = 2.0

MEDIAN_MS = 52_000
ABILITY_SLOPE = 0.15
PRACTICE_SPEED = 0.25
SESSION_SPEED = 0.003
TIME_NOISE_SD = 0.35
MIN_TIME_MS = 2_000
MAX_PRACTICE_MS = 600_000
MAX_EXAM_MS = 240_000
TIME_STEP_MS = 100
EXAM_MS_PER_QUESTION = 90_000
PAUSE_MS = (300, 3_000)

HINT_RATE_LOG = -1.6
HINT_SLOPE = 0.6
MAX_HINTS = 3


@dataclass(frozen=True)
class Answers:
    """One entry per question asked, by student, session and position, in every array.

    `is_first_graded` marks answers that will be the first graded one of their student and item
    in the warehouse. `answered_ms` is local, `answer` the position in the item's answers
    (0: the correct one).
    """

    session: Ints
    position: Ints
    item: Ints
    is_correct: Bools
    is_unanswered: Bools
    is_first_graded: Bools
    time_ms: Ints
    answered_ms: Ints
    hints: Ints
    answer: Ints


@dataclass(frozen=True)
class _Draws:
    """Random numbers of every slot, drawn beforehand so that their order does not matter."""

    source: Floats
    pick: Floats
    solve: Floats
    time: Floats


class _Notebook:
    """What each student has met: new items in order, wrong ones waiting, graded ones."""

    def __init__(self, order: Ints, fresh_count: Ints, slots: int) -> None:
        count = len(order)
        self.order = order
        self.fresh_count = fresh_count
        self.next_fresh = np.zeros(count, dtype=np.int64)
        self.wrong = np.zeros((count, slots), dtype=np.int32)
        self.head = np.zeros(count, dtype=np.int64)
        self.tail = np.zeros(count, dtype=np.int64)
        self.tail_at_start = np.zeros(count, dtype=np.int64)
        self.is_graded = np.zeros(order.shape, dtype=np.bool_)

    def next_item(self, student: Ints, source: Floats, pick: Floats, exam_item: Ints) -> Ints:
        """Choose each student's next item; `exam_item` is -1 in practice."""
        in_practice = exam_item < 0
        has_wrong = self.head[student] < self.tail_at_start[student]
        recovers = in_practice & has_wrong & (source < RECOVERY_SHARE)
        met = self.next_fresh[student]
        wants_review = (source >= RECOVERY_SHARE) & (source < RECOVERY_SHARE + REVIEW_SHARE)
        has_fresh = met < self.fresh_count[student]
        is_fresh = in_practice & ~recovers & has_fresh & ~(wants_review & (met > 0))
        of_order = np.where(is_fresh, met, (pick * met).astype(np.int64))
        slot = np.minimum(self.head[student], self.wrong.shape[1] - 1)
        item: Ints = np.where(
            recovers, self.wrong[student, slot], self.order[student, of_order]
        ).astype(np.int64)
        self.head[student] += recovers
        self.next_fresh[student] += is_fresh
        return np.where(in_practice, item, exam_item)

    def note(self, student: Ints, item: Ints, is_correct: Bools, is_graded: Bools) -> None:
        """Queue wrong items for recovery and remember which were graded."""
        wrong = student[~is_correct]
        self.wrong[wrong, self.tail[wrong]] = item[~is_correct]
        self.tail[wrong] += 1
        self.is_graded[student[is_graded], item[is_graded]] = True


def answer_all(
    options: AcademyOptions,
    people: Students,
    bank: ItemBank,
    forms: Ints,
    sessions: Sessions,
    faults: SlotFaults,
) -> Answers:
    """Let every student answer every question, one question of all students at a time."""
    session = np.repeat(np.arange(len(sessions.student)), sessions.question_count)
    position = slot_positions(sessions.question_count)
    count = len(session)
    draw = options.generator("answers")
    draws = _Draws(
        source=draw.random(count),
        pick=draw.random(count),
        solve=draw.random(count),
        time=draw.normal(0.0, 1.0, count),
    )
    item = np.zeros(count, dtype=np.int64)
    is_correct = np.zeros(count, dtype=np.bool_)
    is_unanswered = faults.is_unanswered.copy()
    is_first_graded = np.zeros(count, dtype=np.bool_)
    time_ms = np.zeros(count, dtype=np.int64)

    per_student = np.bincount(
        sessions.student, weights=sessions.question_count, minlength=options.students
    ).astype(np.int64)
    first_slot = np.cumsum(per_student) - per_student
    busiest_first = np.argsort(-per_student, kind="stable")
    notebook = _Notebook(
        *_practice_order(options, people, bank, forms), slots=int(per_student.max(initial=1))
    )
    exam_clock = np.zeros(options.students, dtype=np.int64)
    for step in range(int(per_student.max(initial=0))):
        student = busiest_first[: int(np.count_nonzero(per_student > step))]
        slot = first_slot[student] + step
        of_session = session[slot]
        starts = student[position[slot] == 1]
        notebook.tail_at_start[starts] = notebook.tail[starts]
        exam_clock[starts] = 0

        form = sessions.form[of_session]
        of_form = np.minimum(position[slot], forms.shape[2]) - 1  # practice may be longer
        exam_item = np.where(form >= 0, forms[people.level[student], form, of_form], -1)
        chosen = notebook.next_item(student, draws.source[slot], draws.pick[slot], exam_item)
        seen = notebook.is_graded[student, chosen]
        gap = (
            sessions.theta[of_session]
            + people.topic_deviation[student, bank.topic[chosen]]
            - bank.difficulty[chosen]
        )
        logit = bank.discrimination[chosen] * gap + PRACTICE_EFFECT * seen
        chance = bank.guessing[chosen] + (1.0 - bank.guessing[chosen]) * expit(logit)
        solved = draws.solve[slot] < chance
        taken = np.exp(
            np.log(MEDIAN_MS)
            + bank.time_intensity[chosen]
            + people.speed[student]
            - ABILITY_SLOPE * gap
            - PRACTICE_SPEED * seen
            - SESSION_SPEED * np.minimum(sessions.ordinal[of_session], 100)
            + TIME_NOISE_SD * draws.time[slot]
        )
        longest = np.where(form >= 0, MAX_EXAM_MS, MAX_PRACTICE_MS)
        taken = np.clip(taken, MIN_TIME_MS, longest)
        exam_clock[student] += taken.astype(np.int64)
        out_of_time = (form >= 0) & (exam_clock[student] > EXAM_MS_PER_QUESTION * forms.shape[2])
        is_unanswered[slot] |= out_of_time
        graded = faults.is_usable[slot] & ~is_unanswered[slot]

        item[slot] = chosen
        is_correct[slot] = solved & ~is_unanswered[slot]
        is_first_graded[slot] = graded & ~seen
        time_ms[slot] = (taken / TIME_STEP_MS).round().astype(np.int64) * TIME_STEP_MS
        notebook.note(student, chosen, is_correct[slot], graded)

    gap = (
        sessions.theta[session]
        + people.topic_deviation[sessions.student[session], bank.topic[item]]
        - bank.difficulty[item]
    )
    pause = draw.integers(*PAUSE_MS, count)
    return Answers(
        session=session,
        position=position,
        item=item,
        is_correct=is_correct,
        is_unanswered=is_unanswered,
        is_first_graded=is_first_graded,
        time_ms=time_ms,
        answered_ms=sessions.start_ms[session] + _running_total(time_ms + pause, position),
        hints=np.minimum(draw.poisson(np.exp(HINT_RATE_LOG - HINT_SLOPE * gap)), MAX_HINTS),
        answer=_answer_given(draw.random(count), bank, item, is_correct),
    )


def slot_positions(question_count: Ints) -> Ints:
    """Number the questions of each session from 1."""
    starts = np.cumsum(question_count) - question_count
    return np.arange(int(question_count.sum())) - np.repeat(starts, question_count) + 1


def _practice_order(
    options: AcademyOptions, people: Students, bank: ItemBank, forms: Ints
) -> tuple[Ints, Ints]:
    """Order the practice items of each student: the assigned ones first, in random order.

    Popular items and those of the level are assigned more often, not earlier: an item that all
    meet early would look harder than it is to a calibration in which abilities stand still.
    Items of the level's exam forms are kept for the exams.
    """
    draw = options.generator("practice order")
    centre = np.array(LEVEL_DIFFICULTY)[people.level]
    distance = (bank.difficulty[None, :] - centre[:, None]) / LEVEL_PULL
    chance = expit(bank.popularity[None, :] - 0.5 * distance**2)
    shape = (options.students, options.items)
    keys = draw.random(shape) + (draw.random(shape) < chance)
    for level in range(len(forms)):
        keys[np.ix_(people.level == level, forms[level].ravel())] = -np.inf
    order = np.argsort(-keys, axis=1, kind="stable")
    fresh_count = np.full(options.students, options.items - forms[0].size)
    return order, fresh_count


def _running_total(values: Ints, position: Ints) -> Ints:
    """Sum within each session; a session starts where `position` is 1."""
    total = np.cumsum(values)
    is_start = position == 1
    before = (total - values)[is_start]
    running: Ints = total - np.repeat(
        before, np.diff(np.append(np.flatnonzero(is_start), len(values)))
    )
    return running


def _answer_given(uniform: Floats, bank: ItemBank, item: Ints, is_correct: Bools) -> Ints:
    cumulative = bank.wrong_answer_cumulative[item]
    wrong = 1 + (uniform[:, None] > cumulative[:, :-1]).sum(axis=1)
    return np.where(is_correct, 0, wrong)
