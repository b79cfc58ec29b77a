"""Calendar days of the reporting zone and microseconds since 1970, and the way between them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

MICROSECONDS_PER_DAY = 86_400_000_000
BEGINNING_OF_TIME = date.min
BEFORE_ALL = -(2**62)
AFTER_ALL = 2**62
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_microseconds(moment: datetime) -> int:
    """Microseconds since 1970 of an aware datetime, exactly."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def to_datetime(microseconds: int) -> datetime:
    """The UTC datetime of microseconds since 1970."""
    return EPOCH + timedelta(microseconds=microseconds)


def start_of_day(day: date, zone: ZoneInfo) -> datetime:
    """The instant at which a local calendar day begins."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def local_day(moment: datetime, zone: ZoneInfo) -> date:
    """The local calendar day of an aware datetime."""
    return moment.astimezone(zone).date()


def start_in_microseconds(day: date, days_before: int, zone: ZoneInfo) -> int:
    """Start of the local day `days_before` days before `day`; BEFORE_ALL where that is none."""
    if day <= BEGINNING_OF_TIME + timedelta(days=days_before + 1):
        return BEFORE_ALL
    return to_microseconds(start_of_day(day - timedelta(days=days_before), zone))
