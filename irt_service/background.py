"""Workers inside another process, as the HTTP service of a small site starts them."""

from __future__ import annotations

import time
from threading import Event, Thread

from sqlalchemy.engine import Engine

from irt_service.scorer import Scorer
from irt_service.settings import Settings
from irt_service.worker import POLL_SECONDS, Worker


class BackgroundWorkers:
    """Threads that each run a worker until told to stop.

        workers = BackgroundWorkers(engine, settings)
        workers.start()
        ...
        workers.stop(20.0)

    The engine may be shared; every worker keeps one connection of its own, and one more to
    listen on. A worker waits for a database that is away, so none of its threads ends early.
    """

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        count: int = 1,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        """Prepare `count` workers; nothing is connected to before `start`."""
        self._engine = engine
        self._settings = settings
        self._count = count
        self._poll_seconds = poll_seconds
        self._stop = Event()
        self._threads: list[Thread] = []

    @property
    def is_running(self) -> bool:
        """Whether every worker that was started is still there."""
        return bool(self._threads) and all(thread.is_alive() for thread in self._threads)

    def start(self) -> None:
        """Start the workers; a second call does nothing."""
        if self._threads:
            return
        self._stop.clear()
        for number in range(self._count):
            worker = Worker(self._engine, Scorer(self._settings), self._stop)
            # Daemons: a service that was told to go at once does not wait for them, and what
            # they have not committed is found again.
            thread = Thread(
                target=worker.run,
                args=(self._poll_seconds,),
                name=f"irt-worker-{number}",
                daemon=True,
            )
            self._threads.append(thread)
            thread.start()

    def stop(self, timeout_seconds: float) -> bool:
        """Let the workers finish what they took; False when one needs longer than allowed."""
        self._stop.set()
        deadline = time.monotonic() + timeout_seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        is_done = not any(thread.is_alive() for thread in self._threads)
        if is_done:
            self._threads.clear()
        return is_done
