"""Blocking work on PostgreSQL, kept off the event loop: so many threads as connections."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar
from zoneinfo import ZoneInfo

import anyio
import anyio.to_thread
from sqlalchemy.engine import Connection, Engine

from irt_service.api.errors import ApiError
from irt_service.settings import Settings, read_settings
from irt_service.store import publications
from warehouse.database import create_engine, database_url

T = TypeVar("T")

# Longer than any question of the service takes; a connection is not held for ever.
_STATEMENT_SECONDS = 10
_CONNECT_SECONDS = 3
_WAIT_SECONDS = 5.0


class Database:
    """A bounded pool of connections, each used in a thread."""

    def __init__(self, connections: int) -> None:
        """Prepare the pool; nothing is connected to yet."""
        url = database_url()
        # Whoever set options in the address keeps them.
        given = url.query.get("options", "")
        options = " ".join([given] if isinstance(given, str) else given)
        self.engine: Engine = create_engine(
            url,
            pooled=True,
            application_name="irt-service",
            pool_size=connections,
            max_overflow=0,
            pool_timeout=_WAIT_SECONDS,
            # What is logged of a failure holds no answers.
            hide_parameters=True,
            connect_args={
                "connect_timeout": _CONNECT_SECONDS,
                "options": f"{options} -c statement_timeout={_STATEMENT_SECONDS}s".strip(),
            },
        )
        self._connections = connections
        self._limiter: anyio.CapacityLimiter | None = None
        self._settings: Settings | None = None

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Do some work in a transaction of its own, in a thread.

        Raises:
            ApiError: 503 when every connection stays busy.
        """
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(self._connections)

        def do() -> T:
            with self.engine.begin() as connection:
                return work(connection)

        borrower = object()
        try:
            with anyio.fail_after(_WAIT_SECONDS):
                await self._limiter.acquire_on_behalf_of(borrower)
        except TimeoutError as error:
            raise ApiError(
                503, "busy", "every database connection is in use", {"Retry-After": "1"}
            ) from error
        try:
            return await anyio.to_thread.run_sync(do, limiter=_UNLIMITED)
        finally:
            self._limiter.release_on_behalf_of(borrower)

    def scoring_settings(self, connection: Connection) -> Settings:
        """The settings, with the zone that the marts were built in."""
        if self._settings is not None:
            return self._settings
        settings = read_settings()
        built = publications.read_build_timezone(connection)
        if built is None:
            return settings
        if not os.environ.get("REPORTING_TIMEZONE", "").strip():
            settings = replace(settings, reporting_timezone=ZoneInfo(built))
        self._settings = settings
        return settings

    def close(self) -> None:
        """Close what is idle."""
        self.engine.dispose()


# The limiter above bounds the threads; anyio's own would count them a second time.
_UNLIMITED = anyio.CapacityLimiter(1_000_000)
