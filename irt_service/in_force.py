"""Which run is in force when, and which runs a session is scored under."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from zoneinfo import ZoneInfo

from irt_service.days import AFTER_ALL, start_in_microseconds


@dataclass(frozen=True)
class Publication:
    """An entry of the log that is not revoked: the run counts from this local day on."""

    run_id: str
    in_force_from: date


@dataclass(frozen=True)
class Span:
    """A stretch of days on which one run is in force.

    Attributes:
        first: first local day.
        end: first local day after it; None when it lasts.
    """

    run_id: str
    first: date
    end: date | None


@dataclass(frozen=True)
class Demand:
    """Sessions that need a run: those whose last attempt lies in [start, end).

    Attributes:
        start: microseconds since 1970.
        end: likewise.
    """

    run_id: str
    start: int
    end: int


def spans_in_force(publications: Sequence[Publication]) -> list[Span]:
    """Turn the log, in the order it was written, into the days each run is in force.

    In force on a day is the latest entry that has begun, so an entry ends where the earliest
    of its successors begins; one that never was in force on any day has no span.
    """
    spans: list[Span] = []
    end: date | None = None
    for publication in reversed(publications):
        if end is None or publication.in_force_from < end:
            spans.append(Span(publication.run_id, publication.in_force_from, end))
            end = publication.in_force_from
    return spans[::-1]


def demands(spans: Sequence[Span], lookback_days: int, zone: ZoneInfo) -> list[Demand]:
    """Say which sessions need which run.

    A session needs every run in force on any day from its own to the last on which its ability
    still counts, `lookback_days` - 1 days later.
    """
    return [
        Demand(
            span.run_id,
            start_in_microseconds(span.first, lookback_days - 1, zone),
            AFTER_ALL if span.end is None else start_in_microseconds(span.end, 0, zone),
        )
        for span in spans
    ]
