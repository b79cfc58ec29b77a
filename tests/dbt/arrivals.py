"""The sources of a warehouse, to which something arrives.

A change picks what it touches with the random numbers it is given and from what the database
holds, so that a sequence of changes is repeated by repeating its numbers.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg

from tests.dbt.learning_scenario import TOPICS

LATEST_ARRIVAL_DAYS = 100


@dataclass
class Arrivals:
    """The sources of a warehouse, and what a sequence of arrivals has left open there."""

    connection: psycopg.Connection[Any]
    rng: random.Random
    today: date
    # Transactions that are held open, with the number of builds they outlast.
    held: list[tuple[psycopg.Connection[Any], int]] = field(default_factory=list)
    arrived: int = 0

    def run(self, statement: str, *parameters: object) -> int:
        """Execute; return how many rows it touched."""
        return self.connection.execute(statement.encode(), parameters).rowcount

    def pick(self, query: str) -> Any:
        """A value of a query's first column, or None when there is none."""
        values = [row[0] for row in self.connection.execute(query.encode()).fetchall()]
        return self.rng.choice(values) if values else None

    def session_id(self) -> Any:
        """A delivered session that no open transaction has touched."""
        return self.pick("select session_id from exam.exam_results order by session_id")

    def student_id(self) -> str:
        """Most often a student who is known."""
        if self.rng.random() < 0.1:
            return f"new-{self.rng.randrange(3)}"
        return str(self.pick("select distinct user_id from irt.mirt_ability order by user_id"))

    def new_id(self) -> str:
        """An id that no session has."""
        self.arrived += 1
        return f"arrival-{self.arrived:03}-{self.rng.randrange(1000)}"

    def moment(self, days_ago: int) -> datetime:
        """A moment of a day, now and then the very border of the day in Seoul."""
        midnight = datetime(self.today.year, self.today.month, self.today.day, 15, tzinfo=UTC)
        second = self.rng.choice((0, -1, self.rng.randrange(86_400)))
        return midnight - timedelta(days=days_ago + 1) + timedelta(seconds=second)

    def days_ago(self) -> int:
        """Today most often, else up to a hundred days back."""
        return self.rng.choice((0, 0, 1, 2, 13, 28, 90, self.rng.randrange(LATEST_ARRIVAL_DAYS)))

    def questions(self, count: int, moment: datetime) -> list[object]:
        """Elements of a result."""
        found: list[object] = []
        for number in range(count):
            element: dict[str, object] = {
                "question_id": f"q_{self.rng.randrange(26)}",
                "is_correct": self.rng.choice((True, True, False, False, None)),
            }
            if self.rng.random() < 0.5:
                element["topic"] = self.rng.choice(TOPICS)
            if self.rng.random() < 0.7:
                element["time_spent_sec"] = self.rng.randrange(300)
            if self.rng.random() < 0.5:
                element["used_hints"] = self.rng.randrange(4)
            if self.rng.random() < 0.5:
                element["answered_at"] = (moment + timedelta(seconds=number)).isoformat()
            if self.rng.random() < 0.3:
                element["user_answer"] = self.rng.choice((None, "A", "B", ""))
            found.append(element)
        return found
