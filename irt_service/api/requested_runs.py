"""The record of a calibration that outlives its request, so that any process can be polled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from sqlalchemy.exc import SQLAlchemyError

from irt_service.api.database import Database
from irt_service.api.errors import ApiError
from irt_service.store import requested_runs as store

_EVERY_SECONDS = 10.0
# Without a sign of life for so long, the service that worked on it has ended.
LOST_AFTER_SECONDS = 60.0
Keep = Callable[[dict[str, object]], Awaitable[None]]
LOST = ("interrupted", "the service ended before the calibration did: send it again")


async def start(database: Database, run_id: str, org_id: str | None) -> None:
    """Record a run as running, before anybody is told to poll it."""
    await database.run(lambda connection: store.start(connection, run_id, org_id))


@asynccontextmanager
async def on_record(database: Database, run_id: str) -> AsyncIterator[Keep]:
    """Keep a run that was recorded alive; the block gets a function that keeps the answer."""

    async def keep(content: dict[str, object]) -> None:
        await database.run(lambda connection: store.succeed(connection, run_id, content))

    async def fail(error: str, detail: str) -> None:
        await database.run(lambda connection: store.fail(connection, run_id, error, detail))

    alive = asyncio.create_task(_keep_alive(database, run_id))
    try:
        yield keep
    except ApiError as error:
        await fail(error.error, error.detail)
        raise
    except asyncio.CancelledError:
        await fail(*LOST)
        raise
    except Exception:
        await fail("internal_error", "an error of the service; it is logged")
        raise
    finally:
        alive.cancel()


async def _keep_alive(database: Database, run_id: str) -> None:
    while True:
        await asyncio.sleep(_EVERY_SECONDS)
        # A database that is away for a moment ends nothing.
        with suppress(SQLAlchemyError, ApiError):
            await database.run(lambda connection: store.keep_alive(connection, run_id))
