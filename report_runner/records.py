"""What one student's report is made from, exactly as the marts hold it.

These are the inputs of the content hash: a report is written again when one of these values
changes, and only then.
"""

import hashlib
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
