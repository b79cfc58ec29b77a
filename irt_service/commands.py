"""What commands share: the database they work on, and plain output."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from zoneinfo import ZoneInfo

from sqlalchemy.engine import Engine

from irt_service.errors import InvalidSettingsError
from irt_service.settings import Settings, read_settings
from irt_service.store import publications
from warehouse.database import create_engine
from warehouse.schema import require_current

DONE, FAILED, WRONG_USAGE = 0, 1, 2


def show(text: str) -> None:
    """Write a result to stdout."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def positive(text: str) -> int:
    """An option that is a whole number above 0."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def open_warehouse() -> tuple[Engine, Settings]:
    """The database, checked, and the settings with the zone that the marts were built in.

    Raises:
        InvalidSettingsError: REPORTING_TIMEZONE is set and is not the marts' zone.
    """
    engine = create_engine()
    require_current(engine)
    settings = read_settings()
    with engine.connect() as connection:
        built = publications.read_build_timezone(connection)
    if built is None or built == settings.reporting_timezone.key:
        return engine, settings
    if os.environ.get("REPORTING_TIMEZONE", "").strip():
        raise InvalidSettingsError(
            "the marts were built in another time zone",
            f"REPORTING_TIMEZONE={settings.reporting_timezone.key}, marts {built}",
            "use one zone everywhere, or rebuild with dbt build --full-refresh",
        )
    return engine, replace(settings, reporting_timezone=ZoneInfo(built))
