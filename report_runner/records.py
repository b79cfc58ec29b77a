"""What one student's report is made from, exactly as the marts hold it.

These are the inputs of the content hash: a report is written again when one of these values
changes, and only then.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
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
    `activity` counts attempts of the reported week and of the one before, `graded_count` the
    graded ones of all weeks of the trend, up to as many as a full report needs; `topics` covers
    the recent-28 window; `goals` and `detail` are as of the week's last day; `seen_items` were
    attempted in that window.
    """

    student_id: str
    profile: Row
    weeks: Sequence[Row]
    detail: Row
    activity: Mapping[date, Row]
    graded_count: int
    topics: Sequence[Row]
    goals: Sequence[Row]
    seen_items: frozenset[str]


Reader = Callable[[str], Any]

_COUNTS = ("attempt_count", "graded_count", "correct_count")
# An id that contains it would only be recommended once more.
ITEM_SEPARATOR = "\x1f"
_NULL = "\\N"
_ESCAPE = re.compile(r"\\([bfnrtv\\])")
_ESCAPED = re.compile(r"[\b\f\n\r\t\v\\]")
_LETTERS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\"}
_LETTER_OF = {character: letter for letter, character in _LETTERS.items()}


def escaped(value: str) -> bytes:
    """Return `value` as PostgreSQL writes it in the text format of COPY."""
    return _ESCAPED.sub(lambda match: "\\" + _LETTER_OF[match[0]], value).encode()


def _text(value: str) -> str:
    if "\\" not in value:
        return value
    return _ESCAPE.sub(lambda match: _LETTERS[match[1]], value)


def _json(value: str) -> Any:
    return json.loads(_text(value))


# The columns of each part of the inputs, in the order of the statement that reads it, and how
# their text is read; null is not read.
_COLUMNS: Mapping[str, Mapping[str, Reader]] = {
    "profile": {
        "display_name": _text, "locale": _text, "grade": _text, "classroom_name": _text,
        "report_formats": _json,
    },
    "weeks": {
        "week_start": date.fromisoformat, "as_of_date": date.fromisoformat,
        "is_complete": "t".__eq__, "improvement_index": float, "improvement_basis": _text,
        "time_efficiency": float, "recovery_rate": float, "engagement": float,
        "goal_probability": float, "theta": float, "standard_error": float, "run_id": _text,
    },
    "detail": {
        "goal_topic_id": _text, "goal_target_theta": float,
        "goal_target_date": date.fromisoformat, "median_time_recent_ms": float,
        "median_time_previous_ms": float, "recovery_attempt_count": int,
    },
    "attempts": {
        "graded_total": int, "attempt_count": int, "graded_count": int, "correct_count": int,
        "days": int, "attempt_count_before": int, "graded_count_before": int,
        "correct_count_before": int, "days_before": int, "items": _text,
    },
    "topics": {
        "topic_id": _text, "attempt_count": int, "graded_count": int, "correct_count": int,
        "strength": _text, "theta": float, "theta_basis": _text,
    },
    "goals": {
        "topic_id": _text, "target_theta": float, "target_date": date.fromisoformat,
        "priority": int, "theta": float, "standard_error": float, "basis": _text,
        "probability": float, "is_primary": "t".__eq__,
    },
}  # fmt: skip


@dataclass(frozen=True)
class StudentInputs:
    """One student's rows as the database wrote them: lines of COPY's text format per part."""

    student_id: str
    parts: Mapping[str, bytes]

    @cached_property
    def profile(self) -> Row:
        """Return the student's profile, empty without one."""
        rows = self._rows("profile")
        return rows[0] if rows else {}

    @property
    def locale(self) -> str:
        """Return the locale of the student's profile, empty without one."""
        return self.profile.get("locale") or ""

    @property
    def formats(self) -> tuple[str, ...]:
        """Return the formats in which the student gets reports; empty when every one will do."""
        asked = self.profile.get("report_formats")
        return tuple(str(name) for name in asked) if isinstance(asked, list) else ()

    def digest(self, *context: str) -> str:
        """Return a hash of every part and of `context`; no clock is among them."""
        digest = hashlib.sha256("\x1e".join((*context, self.student_id, "")).encode())
        digest.update(self._rows_digest)
        return digest.hexdigest()

    @cached_property
    def _rows_digest(self) -> bytes:
        digest = hashlib.sha256()
        for name in _COLUMNS:
            rows = self.parts[name]
            if name == "attempts":
                # The database gives items in any order, each as often as it was answered.
                counts, _tab, items = rows.rpartition(b"\t")
                separator = ITEM_SEPARATOR.encode()
                distinct = sorted(set(items.rstrip(b"\n").split(separator)))
                rows = counts + b"\t" + separator.join(distinct)
            digest.update(rows + b"\x1e")
        return digest.digest()

    def record(self, week: Week) -> StudentRecord:
        """Take the lines apart."""
        detail, attempts = ((self._rows(name) or [{}])[0] for name in ("detail", "attempts"))
        activity = {}
        for monday, suffix in (
            (week.week_start, ""),
            (week.week_start - timedelta(days=7), "_before"),
        ):
            if attempts.get(f"attempt_count{suffix}"):
                activity[monday] = {
                    **{name: attempts[name + suffix] for name in _COUNTS},
                    "day_count": attempts[f"days{suffix}"].bit_count(),
                }
        return StudentRecord(
            student_id=self.student_id,
            profile=self.profile,
            weeks=self._rows("weeks"),
            detail=detail,
            activity=activity,
            graded_count=attempts.get("graded_total", 0),
            topics=_summed(self._rows("topics")),
            goals=self._rows("goals"),
            seen_items=frozenset((attempts.get("items") or "").split(ITEM_SEPARATOR)),
        )

    def _rows(self, name: str) -> list[Row]:
        columns = _COLUMNS[name]
        return [
            {
                column: None if value == _NULL else read(value)
                for (column, read), value in zip(columns.items(), line.split("\t"), strict=True)
            }
            for line in self.parts[name].decode().split("\n")[:-1]
        ]


def _summed(days: Sequence[Row]) -> list[Row]:
    """Return one row per topic: counts of all its days, everything else of the last."""
    topics: dict[str, dict[str, Any]] = {}
    for row in days:
        before = topics.get(row["topic_id"])
        topics[row["topic_id"]] = {**row} if before is None else {
            **row, **{name: before[name] + row[name] for name in _COUNTS}
        }  # fmt: skip
    return list(topics.values())


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
    def positions_by_topic(self) -> dict[str | None, NDArray[np.int64]]:
        """Return the positions of each topic's items, topics in the order of their names."""
        found: dict[str | None, list[int]] = {}
        for position, topic_id in enumerate(self.topic_ids):
            found.setdefault(topic_id, []).append(position)
        named = sorted(topic_id for topic_id in found if topic_id is not None)
        order: list[str | None] = [*named, None] if None in found else [*named]
        return {topic_id: np.array(found[topic_id], dtype=np.int64) for topic_id in order}

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
