"""Finds what the online update has to deal with: told at once, late by index, all by comparison."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Event

from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError

from irt_service.store import deliveries, trigger

# Comparing every result takes time that grows with their number; it is done as often as it
# keeps to this share of the time, and in between the index of updated_at finds what is late.
_SHARE_OF_TIME = 0.05
_LATE_SECONDS = 60.0
_FOUND_AT_MOST = 50_000
_SLICE_SECONDS = 0.2  # so soon a waiting worker hears that it is to stop


@dataclass
class _Pace:
    """Lets something happen once per `seconds`, and less often where it takes long."""

    seconds: float
    next_at: float = 0.0

    def is_due(self) -> bool:
        return time.monotonic() >= self.next_at

    def happened(self, begun: float) -> None:
        took = time.monotonic() - begun
        self.next_at = begun + max(self.seconds, took / _SHARE_OF_TIME)


@dataclass
class Discovery:
    """The sessions that are to be looked at, those just told of before the others.

    Attributes:
        told: sessions that were heard of or were updated lately, oldest first.
        rest: what the comparison has found, the oldest last. Workers that compare at the same
            moment find the same; whoever is second sees at the claim that he is.
    """

    patience: deliveries.Patience
    poll_seconds: float
    told: dict[str, None] = field(default_factory=dict)
    rest: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Set both paces."""
        self._late = _Pace(self.poll_seconds)
        self._all = _Pace(self.poll_seconds)

    def hear(self, told: Sequence[str]) -> None:
        """Take what the trigger said; an empty text stands for many."""
        for session in told:
            if session:
                self.told[session] = None
            else:
                self.look_everywhere()

    def look_everywhere(self) -> None:
        """Have the next look compare everything, whatever that costs."""
        self._late.next_at = self._all.next_at = 0.0

    def look(self, connection: Connection) -> None:
        """Look for more where it is time to."""
        if self._late.is_due() and not self._all.is_due():
            begun = time.monotonic()
            found = deliveries.read_undone_of_late(
                connection, _LATE_SECONDS, _FOUND_AT_MOST, self.patience
            )
            self.told.update(dict.fromkeys(found))
            self._late.happened(begun)
        if not self.rest and self._all.is_due():
            self.compare(connection)

    def due_in(self) -> float:
        """Seconds until there is reason to look again."""
        return max(0.0, min(self._late.next_at, self._all.next_at) - time.monotonic())

    def compare(self, connection: Connection) -> int:
        """Compare every result; returns how many were found."""
        begun = time.monotonic()
        self.rest = deliveries.read_undone(connection, _FOUND_AT_MOST, self.patience)
        self.rest.reverse()
        self._all.happened(begun)
        if len(self.rest) == _FOUND_AT_MOST:
            self._all.next_at = 0.0
        return len(self.rest)

    def take(self, count: int) -> list[str]:
        """Take the next sessions off the list."""
        block = list(itertools.islice(self.told, count))
        for session in block:
            del self.told[session]
        while self.rest and len(block) < count:
            block.append(self.rest.pop())
        return block


class Ears:
    """A connection that hears what the trigger tells; without one, waiting is all it does."""

    def __init__(self, engine: Engine) -> None:
        """Connect when first asked."""
        self._engine = engine
        self._connection: Connection | None = None

    def open(self) -> bool:
        """Listen; returns whether that began only now, so that something may have been missed."""
        if self._connection is not None:
            return False
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        trigger.listen(connection)
        self._connection = connection
        return True

    def wait(self, seconds: float, stop: Event) -> list[str]:
        """Wait for something to be told, for the time to pass, or for `stop`."""
        deadline = time.monotonic() + seconds
        while True:
            left = max(0.0, deadline - time.monotonic())
            told = self._hear(min(left, _SLICE_SECONDS), stop)
            if told or stop.is_set() or time.monotonic() >= deadline:
                return told

    def _hear(self, seconds: float, stop: Event) -> list[str]:
        if self._connection is None:
            stop.wait(seconds)
            return []
        try:
            return trigger.hear(self._connection, seconds)
        except (DBAPIError, OSError):
            self.close()
            raise

    def close(self) -> None:
        """Give the connection up."""
        if self._connection is not None:
            self._connection.invalidate()
            self._connection.close()
            self._connection = None
