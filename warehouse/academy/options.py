"""What can be asked of the simulator, checked once."""

import zlib
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

MIN_ITEMS = 30
MAX_ITEMS = 5_000
MIN_STUDENTS = 10
MAX_STUDENTS = 100_000
MIN_DAYS = 14
MAX_DAYS = 730
MAX_GUESSING = 0.4
EARLIEST_UNTIL = date(2000, 1, 1)


class AcademyError(ValueError):
    """The simulator was asked for something it cannot make."""


@dataclass(frozen=True)
class AcademyOptions:
    """Size, period and seed of a sample academy.

    `until` is the last local day (Asia/Seoul) with activity, `guessing` the mean lower asymptote
    of multiple-choice items (short-answer items have none), `anchors` the number of questions
    that carry their true parameters and the tag `anchor`.
    """

    until: date
    students: int = 2_000
    items: int = 300
    days: int = 120
    seed: int = 7
    anchors: int = 0
    guessing: float = 0.02

    def __post_init__(self) -> None:
        """Raise AcademyError where a value is out of range."""
        _between("--students", self.students, MIN_STUDENTS, MAX_STUDENTS)
        _between("--items", self.items, MIN_ITEMS, MAX_ITEMS)
        _between("--days", self.days, MIN_DAYS, MAX_DAYS)
        _between("--anchors", self.anchors, 0, self.items)
        _between("--guessing", self.guessing, 0.0, MAX_GUESSING)
        if self.seed < 0:
            raise AcademyError(f"--seed is {self.seed}; give 0 or a positive whole number")
        if self.until < EARLIEST_UNTIL:
            raise AcademyError(f"--until is {self.until}; give a day from {EARLIEST_UNTIL} on")

    @property
    def first_day(self) -> date:
        """The first local day with activity."""
        return self.until - timedelta(days=self.days - 1)

    def generator(self, purpose: str) -> np.random.Generator:
        """Return the random stream of one purpose.

        Streams are independent, so that a change in one part of the simulator leaves the draws
        of all others as they were.
        """
        return np.random.default_rng(
            np.random.SeedSequence([self.seed, zlib.crc32(purpose.encode())])
        )


def _between(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise AcademyError(f"{name} is {value}; give a value from {low} to {high}")
