"""A small random school in the tables of the exam application and the IRT service.

The same object gives what is written to the database and what an oracle is told, so that an
oracle depends on nothing that dbt built. Days lie on purpose at the borders of every window
(13, 14, 27, 28, 89, 90 days apart), times at local midnight.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg

from tests.dbt.topic_oracle import Ability, Attempt, Publication, TopicOracle

BORDER_GAPS_DAYS = (5, 13, 14, 15, 27, 28, 29, 62, 89, 90)
USUAL_GAPS_DAYS = (0, 1, 1, 2, 3)
BORDERS = (timedelta(0), timedelta(microseconds=-1), timedelta(microseconds=1))
TOPICS = ("algebra", "geometry", "확률")
RUNS = ("run-1", "run-2", "run-3")


@dataclass
class Session:
    """A delivered result: who, when, and its questions as attempts."""

    session_id: str
    student_id: str
    attempts: list[Attempt] = field(default_factory=list)
    is_ready: bool = True

    def document(self) -> dict[str, Any]:
        """The session's result_json."""
        questions = []
        for attempt in self.attempts:
            question: dict[str, Any] = {
                "question_id": attempt.item_id,
                "is_correct": attempt.is_correct,
                "answered_at": attempt.answered_at.isoformat(),
            }
            if attempt.topic_id is not None:
                question["topic"] = attempt.topic_id
            if attempt.response_time_ms is not None:
                question["time_spent_sec"] = attempt.response_time_ms / 1000
            if attempt.hint_count is not None:
                question["used_hints"] = attempt.hint_count
            if attempt.user_answer is not None:
                question["user_answer"] = attempt.user_answer
            questions.append(question)
        return {"questions": questions}


@dataclass
class School:
    """Everything of one scenario; change it and write it again."""

    rng: random.Random
    time_zone: ZoneInfo
    first_day: date
    day_count: int
    sessions: dict[str, Session] = field(default_factory=dict)
    abilities: list[Ability] = field(default_factory=list)
    publications: list[tuple[Publication, bool]] = field(default_factory=list)
    parameters: dict[tuple[str, str], tuple[float, float, float]] = field(default_factory=dict)
    item_ids: tuple[str, ...] = tuple(f"q_{number}" for number in range(24))
    question_topics: dict[str, str | None] = field(default_factory=dict)

    @classmethod
    def random(
        cls,
        seed: int,
        *,
        students: int = 8,
        time_zone: str = "Asia/Seoul",
        first_day: date = date(2026, 1, 14),
        day_count: int = 130,
    ) -> School:
        """A school of a seed; the same seed gives the same school."""
        school = cls(random.Random(seed), ZoneInfo(time_zone), first_day, day_count)  # noqa: S311
        for run_id in RUNS:
            # The last items have no parameters: they were set aside.
            for item_id in school.item_ids[:-4]:
                school.parameters[run_id, item_id] = (
                    school.rng.uniform(0.4, 2.2),
                    school.rng.uniform(-1.5, 1.5),
                    school.rng.choice((0.0, 0.0, 0.2)),
                )
        school.question_topics = {
            item_id: school.rng.choice((None, *TOPICS)) for item_id in school.item_ids[4:]
        }
        for number in range(students):
            school.add_student(f"student-{number}")
        school.publish("run-1", date(1, 1, 1))
        school.publish("run-2", first_day + timedelta(days=70))
        # Published last, but from an earlier day: it hides run-2.
        school.publish("run-3", first_day + timedelta(days=60))
        school.publish("run-1", first_day + timedelta(days=95))
        return school

    def moment(self, day: date) -> datetime:
        """A moment of a local day, often at its very border."""
        midnight = datetime.combine(day, time(), self.time_zone)
        if self.rng.random() < 0.3:
            return (midnight + self.rng.choice(BORDERS)).astimezone(UTC)
        return (midnight + timedelta(seconds=self.rng.randrange(86_000))).astimezone(UTC)

    def add_student(self, student_id: str) -> None:
        """Sessions of a student, with gaps at the borders of windows."""
        day = self.first_day + timedelta(days=self.rng.randrange(10))
        level = self.rng.uniform(0.2, 0.9)
        number = 0
        # Some come often, some at the borders of the windows.
        border_share = self.rng.choice((0.02, 0.1, 0.6))
        while day < self.first_day + timedelta(days=self.day_count):
            self.add_session(f"{student_id}/{number:03}", student_id, day, level)
            number += 1
            is_border = self.rng.random() < border_share
            gaps = BORDER_GAPS_DAYS if is_border else USUAL_GAPS_DAYS
            day += timedelta(days=self.rng.choice(gaps))

    def add_session(self, session_id: str, student_id: str, day: date, level: float) -> None:
        """A session of 1 to 12 questions, and often an ability after it."""
        started_at = self.moment(day)
        session = Session(session_id, student_id)
        topic_id = self.rng.choice(TOPICS)
        is_right = {topic: self.rng.random() < level for topic in TOPICS}
        for position in range(1, self.rng.choice((1, 3, 5, 6, 7, 8, 12)) + 1):
            topics = (None, *TOPICS) if self.rng.random() < 0.4 else (topic_id,)
            chosen = self.rng.choice(topics)
            is_correct = is_right.get(chosen or topic_id) if self.rng.random() < 0.6 else None
            if is_correct is None and self.rng.random() < 0.8:
                is_correct = self.rng.random() < level
            session.attempts.append(
                Attempt(
                    session_id=session_id,
                    position=position,
                    student_id=student_id,
                    item_id=self.rng.choice(self.item_ids),
                    topic_id=chosen,
                    is_correct=is_correct,
                    response_time_ms=self.rng.choice(
                        (None, 0, 3_999, 4_000, 60_000, self.rng.randrange(300_000))
                    ),
                    hint_count=self.rng.choice((None, 0, 1, 2)),
                    answered_at=started_at + timedelta(seconds=20 * position),
                    user_answer=self.rng.choice((None, "A", "B", "C", "오답")),
                )
            )
        self.sessions[session_id] = session
        for run_id in RUNS:
            if self.rng.random() < 0.7:
                self.score(session, run_id)

    def score(self, session: Session, run_id: str) -> None:
        """Append an overall ability of a session and abilities of some topics."""
        overall = self.rng.uniform(-2, 2)
        for topic_id in (None, *(topic for topic in TOPICS if self.rng.random() < 0.5)):
            self.abilities.append(
                Ability(
                    student_id=session.student_id,
                    run_id=run_id,
                    session_id=session.session_id,
                    topic_id=topic_id,
                    theta=overall + self.rng.gauss(0, 0.3),
                    standard_error=self.rng.uniform(0.1, 0.6),
                    response_count=self.rng.choice((4, 5, 6, 20)),
                    effective_at=max(a.answered_at for a in session.attempts),
                )
            )

    def publish(self, run_id: str, in_force_from: date) -> None:
        """Append a publication."""
        entry = Publication(len(self.publications) + 1, run_id, in_force_from)
        self.publications.append((entry, False))

    def revoke_last(self) -> None:
        """Revoke the latest publication that counts."""
        for index in reversed(range(len(self.publications))):
            entry, is_revoked = self.publications[index]
            if not is_revoked:
                self.publications[index] = (entry, True)
                return

    def attempts(self) -> list[Attempt]:
        """Every attempt of a ready session, with the question's topic where it has none."""
        return [
            replace(
                attempt,
                student_id=session.student_id,
                topic_id=attempt.topic_id or self.question_topics.get(attempt.item_id),
            )
            for session in self.sessions.values()
            if session.is_ready
            for attempt in session.attempts
        ]

    def topic_oracle(self, as_of_date: date) -> TopicOracle:
        """What the topic features have to be."""
        return TopicOracle(
            attempts=self.attempts(),
            abilities=self.abilities,
            publications=[entry for entry, is_revoked in self.publications if not is_revoked],
            parameters=self.parameters,
            as_of_date=as_of_date,
            time_zone=self.time_zone,
        )


def write_exam(connection: psycopg.Connection[Any], school: School) -> None:
    """Bring results and questions to the school's: changed ones only, gone ones deleted."""
    connection.execute(
        "delete from exam.exam_results where not session_id = any(%s)", [list(school.sessions)]
    )
    with connection.cursor() as cursor:
        cursor.executemany(
            """
            insert into exam.question (id, topic_id) values (%s, %s)
            on conflict (id) do update set topic_id = excluded.topic_id
            """,
            list(school.question_topics.items()),
        )
        cursor.executemany(
            """
            insert into exam.exam_results as existing
                (session_id, user_id, status, result_json, created_at, updated_at)
            values (%s, %s, %s, %s, %s, now())
            on conflict (session_id) do update set
                user_id = excluded.user_id, status = excluded.status,
                result_json = excluded.result_json, updated_at = excluded.updated_at
            where (existing.user_id, existing.status, existing.result_json)
                is distinct from (excluded.user_id, excluded.status, excluded.result_json)
            """,
            [
                (
                    session.session_id,
                    session.student_id,
                    "ready" if session.is_ready else "failed",
                    json.dumps(session.document()),
                    max((a.answered_at for a in session.attempts), default=datetime.now(UTC)),
                )
                for session in school.sessions.values()
            ],
        )


def write_runs(connection: psycopg.Connection[Any], school: School) -> None:
    """Write runs, item parameters and the publication log."""
    with connection.cursor() as cursor:
        cursor.executemany(
            """
            insert into irt.mirt_fit_meta (run_id, model, engine, status)
            values (%s, '3PL', 'native', 'accepted') on conflict do nothing
            """,
            [(run_id,) for run_id in RUNS],
        )
        cursor.executemany(
            """
            insert into irt.mirt_item_params
                (run_id, item_id, model, params, discrimination, difficulty, guessing)
            values (%s, %s, '3PL', '{}', %s, %s, %s) on conflict do nothing
            """,
            [(*key, *values) for key, values in school.parameters.items()],
        )
        cursor.executemany(
            """
            insert into irt.publications (publication_id, run_id, in_force_from, revoked_at)
            overriding system value
            values (%s, %s, %s, case when %s then now() end)
            on conflict (publication_id) do update set revoked_at = excluded.revoked_at
            """,
            [
                (entry.publication_id, entry.run_id, entry.in_force_from, is_revoked)
                for entry, is_revoked in school.publications
            ],
        )


def write_abilities(
    connection: psycopg.Connection[Any], abilities: Sequence[Ability], *, superseding: bool = False
) -> None:
    """Append scorings; with ``superseding`` a worse one first, which then does not count."""
    for scoring in _scorings(abilities):
        overall = scoring[0]
        for offset in (-1.5, 0.0) if superseding else (0.0,):
            row = connection.execute(
                """
                insert into irt.mirt_ability
                    (user_id, theta, se, model, run_id, session_id, effective_at, n_responses)
                values (%s, %s, %s, '3PL', %s, %s, %s, %s) returning id
                """,
                (
                    overall.student_id,
                    overall.theta + offset,
                    overall.standard_error,
                    overall.run_id,
                    overall.session_id,
                    overall.effective_at,
                    overall.response_count,
                ),
            ).fetchone()
            assert row is not None
            for ability in scoring[1:]:
                connection.execute(
                    """
                    insert into irt.mirt_topic_ability (ability_id, user_id, topic_id, theta,
                        se, run_id, session_id, effective_at, n_responses)
                    values (%s, %s, %s, %s, %s, %s, %s, %s, %s)
                    """,
                    (
                        row[0],
                        ability.student_id,
                        ability.topic_id,
                        ability.theta + offset,
                        ability.standard_error,
                        ability.run_id,
                        ability.session_id,
                        ability.effective_at,
                        ability.response_count,
                    ),
                )


def _scorings(abilities: Sequence[Ability]) -> Iterator[list[Ability]]:
    scoring: list[Ability] = []
    for ability in abilities:
        if ability.topic_id is None and scoring:
            yield scoring
            scoring = []
        scoring.append(ability)
    if scoring:
        yield scoring
