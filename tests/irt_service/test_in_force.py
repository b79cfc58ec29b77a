"""Which run is in force when, and which sessions need it."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from irt_service.days import AFTER_ALL, BEFORE_ALL, BEGINNING_OF_TIME, to_microseconds
from irt_service.in_force import Publication, Span, demands, spans_in_force

SEOUL = ZoneInfo("Asia/Seoul")
JUNE, JULY, AUGUST = date(2026, 6, 1), date(2026, 7, 1), date(2026, 8, 1)
FIRST = Publication("run_1", BEGINNING_OF_TIME)


def in_force_on(publications: list[Publication], day: date) -> str | None:
    """The definition, read literally: the latest entry that has begun."""
    begun = [one.run_id for one in publications if one.in_force_from <= day]
    return begun[-1] if begun else None


@pytest.mark.parametrize(
    "publications",
    [
        [],
        [FIRST],
        [FIRST, Publication("run_2", JULY)],
        [FIRST, Publication("run_2", JULY), Publication("run_3", JULY)],
        [FIRST, Publication("run_2", AUGUST), Publication("run_3", JUNE)],
        [FIRST, Publication("run_2", JUNE), Publication("run_1", AUGUST)],
        [Publication("run_2", JULY), FIRST],
        [Publication("run_2", JULY)],
    ],
)
def test_spans_say_what_the_log_says_of_every_day(publications: list[Publication]) -> None:
    spans = spans_in_force(publications)
    for offset in range(120):
        day = date(2026, 5, 15) + timedelta(days=offset)
        covering = [
            span.run_id
            for span in spans
            if span.first <= day and (span.end is None or day < span.end)
        ]
        expected = in_force_on(publications, day)
        assert covering == ([] if expected is None else [expected])


def test_a_run_is_needed_from_eighty_nine_days_before_it_to_its_last_day() -> None:
    span = Span("run_1", date(2026, 6, 1), date(2026, 7, 1))
    (demand,) = demands([span], 90, SEOUL)
    # Local midnight in Seoul is 15:00 UTC of the day before.
    assert demand.start == to_microseconds(datetime(2026, 3, 3, 15, tzinfo=UTC))
    assert demand.end == to_microseconds(datetime(2026, 6, 30, 15, tzinfo=UTC))


def test_a_run_without_beginning_and_end_is_needed_by_every_session() -> None:
    (demand,) = demands([Span("run_1", BEGINNING_OF_TIME, None)], 90, SEOUL)
    assert (demand.start, demand.end) == (BEFORE_ALL, AFTER_ALL)
