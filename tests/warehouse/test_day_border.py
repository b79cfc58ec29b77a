"""Which day a night is of, up to the last second, and where summer time moves midnight."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from warehouse.overview import last_complete_day

SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Asia/Seoul", date(2026, 3, 8), 24),
        ("America/New_York", date(2026, 3, 8), 23),
        ("America/New_York", date(2026, 11, 1), 25),
        # Midnight itself is skipped: the day begins at one.
        ("America/Santiago", date(2026, 9, 6), 23),
    ],
)
def test_a_night_is_of_the_day_before_until_the_last_second(
    zone: str, day: date, hours: int
) -> None:
    begin = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    end = begin + timedelta(hours=hours)
    yesterday = day - timedelta(days=1)
    assert last_complete_day(zone, begin - SECOND) == yesterday - timedelta(days=1)
    assert last_complete_day(zone, begin) == yesterday
    assert last_complete_day(zone, end - SECOND) == yesterday
    assert last_complete_day(zone, end) == day
