"""Lines of `exam_results`, in the order of their delivery."""

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from warehouse.academy import faults as fault
from warehouse.academy.answers import Answers
from warehouse.academy.curriculum import TOPICS, Bools, Ints
from warehouse.academy.people import ORGS
from warehouse.academy.school import School
from warehouse.academy.timetable import UTC_OFFSET_MS, Sessions

CHUNK = 4_000
RESULT_NAMESPACE = uuid.UUID("5f0c9a52-3c55-4b54-9a55-6e9d0d3b7a11")
HUGE_HINT_COUNT = 1_000_000_000
TEXT_ELEMENT = json.dumps("다시 풀기 🙂", ensure_ascii=False)


@dataclass(frozen=True)
class Deliveries:
    """One entry per delivered result, in order of delivery. Times are local milliseconds."""

    session: Ints
    is_first_of_two: Bools
    created_ms: Ints
    updated_ms: Ints


def session_ids(sessions: Sessions) -> list[str]:
    """Name the sessions after student and ordinal."""
    pairs = zip((sessions.student + 1).tolist(), sessions.ordinal.tolist(), strict=True)
    return [f"s{student:05d}-{ordinal:04d}" for student, ordinal in pairs]


def session_ends(sessions: Sessions, answers: Answers) -> Ints:
    """Return the local end of each session: its last answer, or its start where none is."""
    ends = sessions.start_ms.copy()
    np.maximum.at(ends, answers.session, answers.answered_ms)
    return ends


def deliveries(school: School) -> Deliveries:
    """List what was delivered by the end of the period; a re-delivered result comes twice."""
    faults = school.session_faults
    ends = session_ends(school.sessions, school.answers)
    created = ends + faults.delay_ms
    once = np.flatnonzero(faults.is_due)
    twice = np.flatnonzero(faults.is_due & (faults.redelivery != fault.ONCE))
    session = np.concatenate((once, twice))
    updated = np.concatenate((created[once], created[twice] + faults.redelivery_delay_ms[twice]))
    is_first = np.concatenate(
        (faults.redelivery[once] != fault.ONCE, np.zeros(len(twice), dtype=np.bool_))
    )
    order = np.lexsort((session, updated))
    return Deliveries(session[order], is_first[order], created[session][order], updated[order])


def utc_text(local_ms: Ints) -> list[str]:
    """Write local instants as UTC timestamps with a `Z`."""
    stamps = (local_ms - UTC_OFFSET_MS).astype("datetime64[ms]")
    return [f"{stamp}Z" for stamp in np.datetime_as_string(stamps, unit="ms").tolist()]


def _seoul_text(local_ms: Ints) -> list[str]:
    stamps = np.datetime_as_string(local_ms.astype("datetime64[ms]"), unit="ms")
    return [f"{stamp}+09:00" for stamp in stamps.tolist()]


class ResultWriter:
    """Renders deliveries as JSON lines, a chunk of sessions at a time to keep memory flat."""

    def __init__(self, school: School) -> None:
        """Prepare the names that recur."""
        self.school = school
        self.form_ids = school.form_ids
        self.session_ids = session_ids(school.sessions)
        self.topic_json = [json.dumps(topic.topic_id) for topic in TOPICS]
        self.answer_json = [
            tuple(json.dumps(answer) for answer in answers) for answers in school.bank.answers
        ]
        counts = school.sessions.question_count
        self.first_slot = np.cumsum(counts) - counts

    def lines(self, delivered: Deliveries) -> Iterator[str]:
        """Yield one line per delivery, without the line end."""
        for start in range(0, len(delivered.session), CHUNK):
            part = slice(start, start + CHUNK)
            yield from self._chunk(
                Deliveries(
                    delivered.session[part],
                    delivered.is_first_of_two[part],
                    delivered.created_ms[part],
                    delivered.updated_ms[part],
                )
            )

    def _chunk(self, delivered: Deliveries) -> Iterator[str]:
        counts = self.school.sessions.question_count[delivered.session]
        ends = np.cumsum(counts)
        offsets = np.repeat(self.first_slot[delivered.session] - (ends - counts), counts)
        slots = offsets + np.arange(int(counts.sum()))
        is_first = np.repeat(delivered.is_first_of_two, counts)
        elements, is_correct = self._elements(slots, is_first)
        created = utc_text(delivered.created_ms)
        updated = utc_text(delivered.updated_ms)
        start = 0
        for index, (session, end) in enumerate(
            zip(delivered.session.tolist(), ends.tolist(), strict=True)
        ):
            asked = [
                (element, correct)
                for element, correct in zip(elements[start:end], is_correct[start:end], strict=True)
                if element
            ]
            start = end
            yield self._result(
                session,
                bool(delivered.is_first_of_two[index]),
                asked,
                created[index],
                updated[index],
            )

    def _elements(self, slots: Ints, is_first: Bools) -> tuple[list[str], list[bool]]:
        """Render the elements of `slots`; what a second delivery leaves out is empty."""
        school = self.school
        answers, faults, bank = school.answers, school.slot_faults, school.bank
        session = answers.session[slots]
        item = answers.item[slots]
        is_exam = school.sessions.form[session] >= 0
        is_old = school.session_faults.is_old_writer[session]
        kind = faults.element[slots]
        is_correct = (answers.is_correct[slots] ^ (faults.is_flipped[slots] & is_first)).tolist()
        is_flipped = (faults.is_flipped[slots] & is_first).tolist()
        is_gone = (faults.is_withdrawn[slots] & ~is_first).tolist()
        rows = zip(
            item.tolist(),
            bank.topic[item].tolist(),
            answers.time_ms[slots].tolist(),
            _seoul_text(answers.answered_ms[slots]),
            answers.hints[slots].tolist(),
            answers.answer[slots].tolist(),
            answers.is_unanswered[slots].tolist(),
            faults.is_ungraded[slots].tolist(),
            (faults.is_topic_absent[slots] | is_old).tolist(),
            is_exam.tolist(),
            is_old.tolist(),
            kind.tolist(),
            strict=True,
        )
        rendered = []
        for place, row in enumerate(rows):
            (at, topic, time_ms, answered_at, hints, answer, blank, ungraded, topicless) = row[:9]
            exam, old, broken = row[9:]
            if is_gone[place]:
                rendered.append("")
                continue
            correct = "null" if ungraded else "true" if is_correct[place] else "false"
            key = '"correct"' if old else '"is_correct"'
            parts = [f'"question_id":{bank.json_ids[at]},{key}:{correct}']
            if not topicless:
                parts.append(f'"topic":{self.topic_json[topic]}')
            parts.append(f'"time_spent_sec":{time_ms // 1000}.{time_ms % 1000 // 100}')
            if not exam and not old:
                parts.append(f'"used_hints":{hints}')
            parts.append(f'"answered_at":"{answered_at}"')
            if blank:
                parts.append('"user_answer":null')
            elif exam and not is_flipped[place]:
                parts.append(f'"user_answer":{self.answer_json[at][answer]}')
            if exam:
                parts.append(f'"correct_answer":{self.answer_json[at][0]}')
            element = "{" + ",".join(parts) + "}"
            rendered.append(element if broken == fault.SOUND else _break(element, broken))
        return rendered, is_correct

    def _result(
        self,
        session: int,
        is_first_of_two: bool,
        asked: list[tuple[str, bool]],
        created: str,
        updated: str,
    ) -> str:
        school = self.school
        faults = school.session_faults
        student = int(school.sessions.student[session])
        form = int(school.sessions.form[session])
        session_id = self.session_ids[session]
        is_failed = bool(faults.is_failed[session]) or (
            is_first_of_two and faults.redelivery[session] == fault.RECOVERED
        )
        exam = str(self.form_ids[school.people.level[student]][form]) if form >= 0 else '"practice"'
        user = "null" if faults.is_user_null[session] else f'"{school.people.student_ids[student]}"'
        right = sum(correct for _, correct in asked)
        score = "null" if is_failed else str(right)
        scaled = "null" if is_failed or not asked else f"{100 * right / len(asked):.1f}"
        return (
            f'{{"id":"{uuid.uuid5(RESULT_NAMESPACE, session_id)}","session_id":"{session_id}",'
            f'"user_id":{user},"exam_id":{exam},"org_id":"{ORGS[school.people.org[student]]}",'
            f'"status":"{"failed" if is_failed else "ready"}",'
            f'"result_json":{self._body(session, is_failed, [element for element, _ in asked])},'
            f'"score_raw":{score},"score_scaled":{scaled},"standard_error":null,"percentile":null,'
            f'"created_at":"{created}","updated_at":"{updated}"}}'
        )

    def _body(self, session: int, is_failed: bool, elements: list[str]) -> str:
        kind = int(self.school.session_faults.questions_fault[session])
        if is_failed and session % 2:
            return "null"
        if kind == fault.QUESTIONS_NULL:
            return '{"questions":null}'
        if kind == fault.QUESTIONS_TEXT:
            return '{"questions":"scoring service timed out"}'
        if kind == fault.QUESTIONS_OBJECT:
            return f'{{"questions":{elements[0]}}}'
        return f'{{"questions":[{",".join(elements)}]}}'


def _break(element: str, kind: int) -> str:
    """Damage a sound element in the given way."""
    if kind == fault.NULL_ELEMENT:
        return "null"
    if kind == fault.TEXT_ELEMENT:
        return TEXT_ELEMENT
    if kind == fault.NUMBER_ELEMENT:
        return "42"
    if kind == fault.ARRAY_ELEMENT:
        return f"[{element}]"
    record = json.loads(element)
    if kind == fault.NO_QUESTION_ID:
        del record["question_id"]
    elif kind == fault.EMPTY_QUESTION_ID:
        record["question_id"] = ""
    elif kind == fault.YES_FOR_CORRECT:
        record["correct" if "correct" in record else "is_correct"] = "yes"
    elif kind == fault.NEGATIVE_TIME:
        record["time_spent_sec"] = -1.0
    elif kind == fault.HUGE_HINTS:
        record["used_hints"] = HUGE_HINT_COUNT
    elif kind == fault.BAD_ANSWERED_AT:
        record["answered_at"] = "20226-03-19T15:31:28"
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"))
