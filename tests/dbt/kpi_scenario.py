"""The random school of the topic tests, with session rows and goals beside its results."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg

from tests.dbt.kpi_oracle import Goal, KpiOracle, Visit
from tests.dbt.learning_scenario import (
    BORDERS,
    TOPICS,
    School,
    Session,
    write_abilities,
    write_exam,
    write_runs,
)


@dataclass(frozen=True)
class SessionRow:
    """A row of the application's table of sessions."""

    session_id: str
    student_id: str
    started_at: datetime | None
    ended_at: datetime | None


@dataclass
class KpiSchool:
    """Everything that the KPIs are made of; change it and write it again."""

    school: School
    session_rows: dict[str, SessionRow] = field(default_factory=dict)
    goals: dict[tuple[str, str | None], tuple[Goal, datetime]] = field(default_factory=dict)

    @classmethod
    def random(cls, seed: int, *, time_zone: str = "Asia/Seoul", students: int = 8) -> KpiSchool:
        """A school of a seed; the same seed gives the same school."""
        world = cls(School.random(seed, time_zone=time_zone, students=students))
        for session in world.school.sessions.values():
            world.maybe_add_row(session)
        for number in range(students):
            student_id = f"student-{number}"
            for visit in range(world.rng.randrange(6)):
                day = world.school.first_day + timedelta(
                    days=world.rng.randrange(world.school.day_count)
                )
                world.add_visit(f"{student_id}/visit-{visit}", student_id, day)
            for topic_id in (None, *TOPICS):
                if world.rng.random() < 0.5:
                    world.add_goal(student_id, topic_id)
        return world

    @property
    def rng(self) -> Any:
        """The school's random numbers."""
        return self.school.rng

    @property
    def time_zone(self) -> ZoneInfo:
        """The zone in which days are counted."""
        return self.school.time_zone

    def maybe_add_row(self, session: Session) -> None:
        """Often a session row, now and then with a strange end or of another student."""
        if self.rng.random() < 0.5:
            first = min(a.answered_at for a in session.attempts)
            started_at = first - timedelta(seconds=self.rng.choice((0, 1, 30, 80_000)))
            ended_at = self.rng.choice(
                (
                    None,
                    started_at,
                    started_at - timedelta(seconds=1),
                    started_at + timedelta(seconds=self.rng.randrange(2_000), microseconds=7),
                )
            )
            owner = session.student_id if self.rng.random() < 0.9 else "student-of-the-row"
            self.session_rows[session.session_id] = SessionRow(
                session.session_id,
                owner,
                started_at if self.rng.random() < 0.9 else None,
                ended_at,
            )

    def add_visit(self, session_id: str, student_id: str, day: date) -> None:
        """A session row without a result."""
        started_at = self.school.moment(day)
        self.session_rows[session_id] = SessionRow(
            session_id,
            student_id,
            started_at,
            self.rng.choice((None, started_at + timedelta(minutes=5))),
        )

    def add_goal(self, student_id: str, topic_id: str | None) -> None:
        """A goal, often equal to another in what ranks them."""
        created_day = self.school.first_day + timedelta(days=self.rng.randrange(-5, 60))
        created_at = datetime.combine(created_day, time(), self.time_zone).astimezone(
            UTC
        ) + self.rng.choice((*BORDERS, timedelta(hours=9)))
        goal = Goal(
            student_id=student_id,
            topic_id=topic_id,
            target_theta=self.rng.uniform(-1, 1),
            priority=self.rng.choice((0, 50, 50, 100)),
            target_date=self.rng.choice(
                (None, created_day + timedelta(days=self.rng.choice((20, 40, 60))))
            ),
            valid_from=created_at.astimezone(self.time_zone).date(),
        )
        self.goals[student_id, topic_id] = (goal, created_at)

    def visits(self) -> list[Visit]:
        """Every ready result and every other session row."""
        ready = {s.session_id: s for s in self.school.sessions.values() if s.is_ready}
        found = []
        for session_id in ready.keys() | self.session_rows.keys():
            session, row = ready.get(session_id), self.session_rows.get(session_id)
            started_at = row.started_at if row else None
            seconds = None
            if row and started_at and row.ended_at and row.ended_at >= started_at:
                seconds = (row.ended_at - started_at).total_seconds()
            if session is not None:
                times = [
                    a.response_time_ms for a in session.attempts if a.response_time_ms is not None
                ]
                if seconds is None and times:
                    seconds = sum(times) / 1000
                started_at = started_at or min(a.answered_at for a in session.attempts)
                found.append(Visit(session.student_id, started_at, seconds))
            elif row and started_at:
                found.append(Visit(row.student_id, started_at, seconds))
        return found

    def oracle(self, as_of_date: date, history_start: date = date.min) -> KpiOracle:
        """What the KPIs have to be, while no goal has been changed."""
        return KpiOracle(
            attempts=self.school.attempts(),
            visits=self.visits(),
            abilities=self.school.abilities,
            publications=[p for p, is_revoked in self.school.publications if not is_revoked],
            goals=[goal for goal, _ in self.goals.values()],
            as_of_date=as_of_date,
            time_zone=self.time_zone,
            history_start=history_start,
        )

    def write(self, url: str) -> None:
        """Bring results, session rows, goals and publications to this school's."""
        with psycopg.connect(url) as connection:
            write_exam(connection, self.school)
            write_runs(connection, self.school)
            connection.execute("delete from exam.session")
            connection.execute("delete from exam.interest_goal")
            with connection.cursor() as cursor:
                cursor.executemany(
                    "insert into exam.session (id, user_id, started_at, ended_at) "
                    "values (%s, %s, %s, %s)",
                    [
                        (r.session_id, r.student_id, r.started_at, r.ended_at)
                        for r in self.session_rows.values()
                    ],
                )
                cursor.executemany(
                    "insert into exam.interest_goal "
                    "(user_id, topic_id, target_level, priority, target_date, created_at) "
                    "values (%s, %s, %s, %s, %s, %s)",
                    [
                        (
                            goal.student_id,
                            goal.topic_id,
                            goal.target_theta,
                            goal.priority,
                            goal.target_date,
                            created_at,
                        )
                        for goal, created_at in self.goals.values()
                    ],
                )

    def write_abilities(self, url: str, first: int = 0) -> None:
        """Append the abilities from a number on, each after one that it supersedes."""
        with psycopg.connect(url) as connection:
            write_abilities(connection, self.school.abilities[first:], superseding=True)
