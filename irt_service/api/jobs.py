"""Work that outlives its request: finished before the service stops."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

from irt_service.api.observability import describe_exception

logger = structlog.get_logger("irt_service.api")


class Jobs:
    """Tasks that nobody may be waiting for any more."""

    def __init__(self) -> None:
        """Hold none yet."""
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start some work; a failure is logged if nobody hears of it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.warning("a job ended with an error", **describe_exception(error))

    async def finish(self, seconds: float) -> None:
        """Wait for what is under way; cancel what takes longer."""
        tasks = list(self._tasks)
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=seconds)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=seconds)
