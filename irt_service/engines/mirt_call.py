"""Starts the process in which R runs, hands it a job, waits for the answer, leaves nothing behind.

R is a guest that may crash, hang or fill the memory; none of that reaches this process.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from irt_service.engines.mirt_process import LENGTH_BYTES
from irt_service.errors import CalibrationError, EngineUnavailableError

COMMAND = (sys.executable, "-m", "irt_service.engines.mirt_process")
LARGEST_MESSAGE = 300


def call(
    job: Mapping[str, npt.NDArray[Any]], seconds: float, report: Callable[[float, float], None]
) -> dict[str, Any]:
    """Run a job.

    Args:
        job: arrays by name; see mirt_bank.R.
        seconds: after which R is killed.
        report: called with penalised log likelihood and largest change of each cycle.

    Returns:
        What calibrate_bank in mirt_bank.R returns, `versions` and `change`, the largest change
        of the last cycle.

    Raises:
        EngineUnavailableError: R, mirt or rpy2 is missing.
        CalibrationError: R stopped with an error, was killed, or took too long.
    """
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **job)
    answer: dict[str, Any] = {"change": np.inf}
    is_late = threading.Event()
    with tempfile.TemporaryFile() as errors, _process(errors) as process:

        def stop() -> None:
            is_late.set()
            process.kill()

        timer = threading.Timer(max(seconds, 0.0), stop)
        timer.daemon = True
        timer.start()
        try:
            _send(process, content)
            for line in process.stdout or ():
                # The last line of a child that was killed may be half a line.
                if line.endswith(b"\n"):
                    _take(json.loads(line), answer, report)
            code = process.wait()
        finally:
            timer.cancel()
        if "result" in answer:
            result: dict[str, Any] = answer.pop("result")
            return answer | result
        raise _failure(answer, code, _tail(errors), seconds if is_late.is_set() else None)


@contextlib.contextmanager
def _process(errors: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """The child; it ends with this block, and with this process by the end of its stdin."""
    roots = [str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", "")]
    process = subprocess.Popen(  # noqa: S603 - this Python and this package, no shell
        COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, roots))},
        # Ctrl-C is for this process, which then ends the child.
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        with contextlib.suppress(BrokenPipeError):
            process.communicate()


def _send(process: subprocess.Popen[bytes], content: io.BytesIO) -> None:
    stdin = process.stdin
    if stdin is None:
        return
    # A child that is gone already says why on its other pipes.
    with contextlib.suppress(BrokenPipeError):
        stdin.write(content.getbuffer().nbytes.to_bytes(LENGTH_BYTES, "little"))
        stdin.write(content.getbuffer())
        stdin.flush()


def _take(
    line: dict[str, Any], answer: dict[str, Any], report: Callable[[float, float], None]
) -> None:
    cycle = line.pop("cycle", None)
    answer |= line
    if cycle is not None:
        answer["change"] = cycle[1]
        report(*cycle)


def _tail(errors: IO[bytes]) -> str:
    """The last of what the child, R or the loader wrote to stderr, in one line."""
    errors.seek(0)
    return " ".join(errors.read().decode(errors="replace").split())[-LARGEST_MESSAGE:]


def _failure(
    answer: Mapping[str, Any], code: int, said: str, seconds: float | None
) -> EngineUnavailableError | CalibrationError:
    if "failure" in answer:
        kind = EngineUnavailableError if answer["is_unavailable"] else CalibrationError
        return kind(*answer["failure"])
    if seconds is not None:
        return CalibrationError(
            "R mirt took too long",
            f"stopped after {seconds:.1f} s",
            "set MIRT_TIMEOUT_SECONDS higher, or use --engine native",
        )
    if code < 0:
        remedy = "R may have run out of memory; use --engine native, or a bank with fewer items"
        return CalibrationError(f"R was killed by {signal.Signals(-code).name}", said, remedy)
    return CalibrationError(
        f"the process of R ended with code {code} and no result", said, "use --engine native"
    )
