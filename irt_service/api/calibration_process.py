"""Runs each calibration in a process of its own: it may take every core, and fail, alone."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from threading import Thread

import anyio
import anyio.to_thread

from irt_service.api.errors import ApiError
from irt_service.errors import IrtServiceError

# A fork of this server has the compiled engine loaded and nothing of the service's.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["irt_service.api.calibration"])
_NICENESS = 5
_LOOK_SECONDS = 1.0

Answer = tuple[int, dict[str, object]]


class Calibrations:
    """So many at a time; a few more wait, the rest is sent away."""

    def __init__(self, at_a_time: int, waiting: int, longest_seconds: float) -> None:
        """Start nothing yet."""
        self._places = at_a_time + waiting
        self._at_a_time = at_a_time
        self._longest_seconds = longest_seconds
        self._taken = 0
        self._limiter: anyio.CapacityLimiter | None = None

    def take_place(self) -> None:
        """Take a place before reading what may be a large body; give it back in any case.

        Raises:
            ApiError: 503 when too many wait already.
        """
        if self._taken >= self._places:
            raise ApiError(503, "busy", "too many calibrations are waiting", {"Retry-After": "30"})
        self._taken += 1

    def give_place_back(self) -> None:
        """Let the next one in."""
        self._taken -= 1

    async def run(self, body: bytes, run_id: str) -> dict[str, object]:
        """Calibrate a request; for who has a place.

        Raises:
            ApiError: 422 when the data allow no calibration, 504 when it takes too long.
        """
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(self._at_a_time)
        async with self._limiter:
            status, content = await anyio.to_thread.run_sync(
                self._work, body, run_id, limiter=_UNLIMITED
            )
        if status == 200:  # noqa: PLR2004 - of HTTP
            return content
        raise ApiError(status, str(content["error"]), str(content["detail"]))

    def _work(self, body: bytes, run_id: str) -> Answer:
        """Wait in a thread for the process and what it says."""
        ours, theirs = _CONTEXT.Pipe(duplex=False)
        process = _CONTEXT.Process(
            target=_calibrate, args=(theirs, body, run_id, os.getpid()), name=f"calibrate-{run_id}"
        )
        process.start()
        theirs.close()
        try:
            return self._listen(ours, process)
        finally:
            if process.is_alive():
                process.kill()
            process.join()
            ours.close()

    def _listen(self, ours: Connection, process: BaseProcess) -> Answer:
        deadline = time.monotonic() + self._longest_seconds
        while not ours.poll(_LOOK_SECONDS):
            if time.monotonic() > deadline:
                return 504, {
                    "error": "too_long",
                    "detail": f"ended after {self._longest_seconds:.0f} s; send less at a time",
                }
        try:
            answer: Answer = ours.recv()
        except EOFError:
            process.join()
            raise RuntimeError(
                f"a calibration ended with code {process.exitcode} and said nothing"
            ) from None
        return answer


# The limiter of the class bounds the threads.
_UNLIMITED = anyio.CapacityLimiter(1_000_000)


def _calibrate(out: Connection, body: bytes, run_id: str, service: int) -> None:
    """The process: parse, calibrate, answer."""
    from irt_service.api.calibration import calibrate, parse_request  # noqa: PLC0415 - the engine is for this process

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(_NICENESS)
    _end_with(service)
    try:
        answer: Answer = (200, calibrate(parse_request(body), run_id))
    except ApiError as error:
        answer = (error.status, {"error": error.error, "detail": error.detail})
    except IrtServiceError as error:
        answer = (422, {"error": "invalid_request", "detail": str(error)})
    out.send(answer)
    out.close()


def _end_with(service: int) -> None:
    """End when the service has: nobody is left to answer. Its child is the fork server."""

    def watch() -> None:
        while True:
            time.sleep(_LOOK_SECONDS)
            try:
                os.kill(service, 0)
            except ProcessLookupError:
                os._exit(1)

    Thread(target=watch, daemon=True).start()
