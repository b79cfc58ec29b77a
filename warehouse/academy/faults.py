"""What goes wrong between the classroom and the database, drawn before any answer is given."""

from dataclasses import dataclass

import numpy as np

from warehouse.academy.curriculum import Bools, Ints
from warehouse.academy.options import AcademyOptions
from warehouse.academy.timetable import DAY_MS, HOUR_MS, Sessions, day_number

FAILED_SHARE = 0.006
NULL_USER_SHARE = 0.003
LATE_SHARE = 0.03
LATE_DAYS = (1, 8)
LATE_FROM_MS = LATE_DAYS[0] * DAY_MS
REDELIVERED_SHARE = 0.025
REDELIVERY_DAYS = (1, 11)
OLD_WRITER_SHARE = 0.05
NO_SESSION_ROW_SHARE = 0.01
CLOCK_ERROR_SHARE = 0.001
QUESTIONS_FAULT_SHARE = 0.0006
ELEMENT_FAULT_SHARE = 0.003
UNANSWERED_SHARE = 0.01
UNGRADED_SHARE = 0.002
TOPIC_ABSENT_SHARE = 0.02
FLIPPED_SHARE = 0.2
LONGEST_SESSION_MS = 3 * HOUR_MS

# Why a result is delivered a second time. The second delivery is the true one.
ONCE, CORRECTED, SHORTENED, RECOVERED, REPEATED = range(5)
REDELIVERIES = ("once", "corrected", "shortened", "recovered", "repeated")
REDELIVERY_SHARES = (0.45, 0.2, 0.15, 0.2)

# Faults of a whole result: what `questions` is instead of an array.
WHOLE, QUESTIONS_NULL, QUESTIONS_TEXT, QUESTIONS_OBJECT = range(4)

# Faults of an element. From FIRST_FLAG_ONLY on the graded answer survives the fault.
(
    SOUND,
    NO_QUESTION_ID,
    EMPTY_QUESTION_ID,
    YES_FOR_CORRECT,
    NULL_ELEMENT,
    TEXT_ELEMENT,
    NUMBER_ELEMENT,
    ARRAY_ELEMENT,
    NEGATIVE_TIME,
    HUGE_HINTS,
    BAD_ANSWERED_AT,
) = range(11)
ELEMENT_FAULTS = (
    "sound",
    "no_question_id",
    "empty_question_id",
    "yes_for_correct",
    "null_element",
    "text_element",
    "number_element",
    "array_element",
    "negative_time",
    "huge_hints",
    "bad_answered_at",
)
FIRST_FLAG_ONLY = NEGATIVE_TIME


@dataclass(frozen=True)
class SessionFaults:
    """One entry per session in every array.

    `is_due` is false where the (late) result has not arrived by the end of the period; delays
    are in milliseconds from the end of the session and, for the second delivery, from the first.
    """

    is_due: Bools
    is_failed: Bools
    is_user_null: Bools
    delay_ms: Ints
    redelivery: Ints
    redelivery_delay_ms: Ints
    is_old_writer: Bools
    has_session_row: Bools
    has_clock_error: Bools
    questions_fault: Ints


@dataclass(frozen=True)
class SlotFaults:
    """One entry per question asked, by session, in every array.

    `is_usable` is what is known beforehand: the answer, if given and graded, will reach the
    warehouse as an attempt. `is_flipped` marks what the first delivery of a corrected result had
    wrong, `is_withdrawn` what the second delivery of a shortened one leaves out.
    """

    element: Ints
    is_unanswered: Bools
    is_ungraded: Bools
    is_topic_absent: Bools
    is_flipped: Bools
    is_withdrawn: Bools
    is_usable: Bools


def session_faults(options: AcademyOptions, sessions: Sessions) -> SessionFaults:
    """Draw what befalls each session's result."""
    draw = options.generator("session faults")
    count = len(sessions.student)
    end_of_period = (day_number(options.until) + 1) * DAY_MS
    latest_end = sessions.start_ms + LONGEST_SESSION_MS

    is_late = draw.random(count) < LATE_SHARE
    late_ms = draw.integers(*LATE_DAYS, count) * DAY_MS + draw.integers(0, 8 * HOUR_MS, count)
    delay_ms = np.where(is_late, late_ms, draw.integers(800, 90_000, count))
    is_due = ~is_late | (latest_end + delay_ms < end_of_period)

    redelivery = draw.choice(np.arange(1, len(REDELIVERIES)), count, p=REDELIVERY_SHARES)
    redelivery_delay_ms = draw.integers(*REDELIVERY_DAYS, count) * DAY_MS
    redelivery_delay_ms += draw.integers(0, 8 * HOUR_MS, count)
    is_redelivered = draw.random(count) < REDELIVERED_SHARE
    is_redelivered &= latest_end + delay_ms + redelivery_delay_ms < end_of_period

    has_questions = sessions.question_count > 0
    is_failed = (draw.random(count) < FAILED_SHARE) & ~is_redelivered
    has_fault = draw.random(count) < QUESTIONS_FAULT_SHARE
    kind = draw.integers(QUESTIONS_NULL, QUESTIONS_OBJECT + 1, count)
    return SessionFaults(
        is_due=is_due & has_questions,
        is_failed=is_failed,
        is_user_null=draw.random(count) < NULL_USER_SHARE,
        delay_ms=delay_ms,
        redelivery=np.where(is_redelivered & has_questions, redelivery, ONCE),
        redelivery_delay_ms=redelivery_delay_ms,
        is_old_writer=draw.random(count) < OLD_WRITER_SHARE,
        has_session_row=(draw.random(count) >= NO_SESSION_ROW_SHARE) | ~has_questions,
        has_clock_error=draw.random(count) < CLOCK_ERROR_SHARE,
        questions_fault=np.where(has_fault & ~is_redelivered, kind, WHOLE),
    )


def slot_faults(
    options: AcademyOptions, slot_session: Ints, position: Ints, faults: SessionFaults
) -> SlotFaults:
    """Draw what befalls each question; `position` counts from 1 within the session."""
    draw = options.generator("slot faults")
    count = len(slot_session)
    redelivery = faults.redelivery[slot_session]
    has_fault = draw.random(count) < ELEMENT_FAULT_SHARE
    element = np.where(has_fault, draw.integers(1, len(ELEMENT_FAULTS), count), SOUND)
    is_ungraded = draw.random(count) < UNGRADED_SHARE
    is_withdrawn = (redelivery == SHORTENED) & (position == 1)
    is_chosen = (draw.random(count) < FLIPPED_SHARE) | (position == 1)
    usable_session = (
        faults.is_due & ~faults.is_failed & ~faults.is_user_null & (faults.questions_fault == WHOLE)
    )
    is_rejected = (element != SOUND) & (element < FIRST_FLAG_ONLY)
    return SlotFaults(
        element=element,
        is_unanswered=draw.random(count) < UNANSWERED_SHARE,
        is_ungraded=is_ungraded,
        is_topic_absent=draw.random(count) < TOPIC_ABSENT_SHARE,
        is_flipped=is_chosen & (redelivery == CORRECTED),
        is_withdrawn=is_withdrawn,
        is_usable=usable_session[slot_session] & ~is_rejected & ~is_ungraded & ~is_withdrawn,
    )
