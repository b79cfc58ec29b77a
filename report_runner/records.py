"""What one student's report is made from, exactly as the marts hold it.

These are the inputs of the content hash: a report is written again when one of these values
changes, and only then.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Week:
    """The week that is reported: Monday, the day the numbers are as of, whether it is over."""

    week_start: date
    as_of_date: date
    is_complete: bool


@dataclass(frozen=True)
class StudentRecord:
    """Rows of the marts about one student and one week.

    `weeks` holds one row per week of the trend, oldest first, the reported week last;
    `activity` counts attempts per week; `topics` covers the recent-28 window; `goals` and
    `detail` are as of the week's last day; `seen_items` were attempted in that window.
    """

    student_id: str
    profile: Row
    weeks: Sequence[Row]
    detail: Row
    activity: Mapping[date, Row]
    topics: Sequence[Row]
    goals: Sequence[Row]
    seen_items: frozenset[str]


# The columns of each part of the inputs, in the order of the statement that reads it.
_COLUMNS = {
    "profile": ("display_name", "locale", "grade", "classroom_name", "report_formats"),
    "weeks": (
        "week_start", "as_of_date", "is_complete", "improvement_index", "improvement_basis",
        "time_efficiency", "recovery_rate", "engagement", "goal_probability", "theta",
        "standard_error", "run_id",
    ),
    "detail": (
        "goal_topic_id", "goal_target_theta", "goal_target_date", "median_time_recent_ms",
        "median_time_previous_ms", "recovery_attempt_count",
    ),
    "activity": ("week_start", "attempt_count", "graded_count", "correct_count", "day_count"),
    "topics": (
        "topic_id", "attempt_count", "graded_count", "correct_count", "strength", "theta",
        "theta_basis",
    ),
    "goals": (
        "topic_id", "target_theta", "target_date", "priority", "theta", "standard_error", "basis",
        "probability", "is_primary",
    ),
}  # fmt: skip
_DATES = frozenset({"week_start", "as_of_date", "goal_target_date", "target_date"})
# JSON writes 1.0 as 1, and what is no number as text.
_FLOATS = frozenset(
    {"improvement_index", "time_efficiency", "recovery_rate", "engagement", "goal_probability"}
    | {"theta", "standard_error", "goal_target_theta", "target_theta", "probability"}
    | {"median_time_recent_ms", "median_time_previous_ms"}
)


@dataclass(frozen=True)
class StudentInputs:
    """One student's rows as the database wrote them, a JSON text per part."""

    student_id: str
    parts: Mapping[str, str]

    @property
    def locale(self) -> str:
        """Return the locale of the student's profile, empty without one."""
        rows = self._rows("profile")
        return str(rows[0]["locale"] or "") if rows else ""

    @property
    def formats(self) -> tuple[str, ...]:
        """Return the formats in which the student gets reports; empty when every one will do."""
        rows = self._rows("profile")
        asked = rows[0]["report_formats"] if rows else None
        return tuple(str(name) for name in asked) if isinstance(asked, list) else ()

    def digest(self, *context: str) -> str:
        """Return a hash of every part and of `context`; no clock is among them."""
        texts = [*context, self.student_id]
        for name in (*_COLUMNS, "seen"):
            texts.append(self.parts.get(name, ""))
        return hashlib.sha256("\x1e".join(texts).encode("utf-8", "surrogatepass")).hexdigest()

    def record(self) -> StudentRecord:
        """Take the texts apart."""
        first: list[Row] = [{}]
        return StudentRecord(
            student_id=self.student_id,
            profile=(self._rows("profile") or first)[0],
            weeks=self._rows("weeks"),
            detail=(self._rows("detail") or first)[0],
            activity={row["week_start"]: row for row in self._rows("activity")},
            topics=self._rows("topics"),
            goals=self._rows("goals"),
            seen_items=frozenset(json.loads(self.parts.get("seen", "[]"))),
        )

    def _rows(self, name: str) -> list[Row]:
        columns = _COLUMNS[name]
        return [
            {column: _value(column, value) for column, value in zip(columns, row, strict=True)}
            for row in json.loads(self.parts.get(name, "[]"))
        ]


def _value(column: str, value: Any) -> Any:
    if value is None:
        return None
    if column in _DATES:
        return date.fromisoformat(value)
    return float(value) if column in _FLOATS else value


@dataclass(frozen=True)
class ItemBank:
    """The items that may be recommended, with the parameters of the run in force."""

    run_id: str | None
    item_ids: tuple[str, ...]
    topic_ids: tuple[str | None, ...]
    contents: tuple[str | None, ...]
    discrimination: NDArray[np.float64]
    difficulty: NDArray[np.float64]
    guessing: NDArray[np.float64]

    @cached_property
    def topic_codes(self) -> tuple[dict[str, int], NDArray[np.int64]]:
        """Return a number per topic and the number of each item's topic (-1 without one)."""
        codes: dict[str, int] = {}
        for topic_id in self.topic_ids:
            if topic_id is not None:
                codes.setdefault(topic_id, len(codes))
        numbers = [-1 if topic is None else codes[topic] for topic in self.topic_ids]
        return codes, np.asarray(numbers, dtype=np.int64)

    @cached_property
    def fingerprint(self) -> str:
        """Return a hash of everything in the bank."""
        digest = hashlib.sha256(repr((self.run_id, self.item_ids)).encode())
        digest.update(repr((self.topic_ids, self.contents)).encode())
        for values in (self.discrimination, self.difficulty, self.guessing):
            digest.update(values.tobytes())
        return digest.hexdigest()

    @cached_property
    def positions(self) -> dict[str, int]:
        """Return the position of each item."""
        return {item_id: position for position, item_id in enumerate(self.item_ids)}


@dataclass(frozen=True)
class Artifact:
    """One row of `report_artifacts`."""

    student_id: str
    week_start: date
    format: str
    object_key: str
    size_bytes: int
    sha256: str
    content_hash: str
    template_version: str
    language: str
    run_id: str | None
