"""Runs a command as a step: under a lock, with a row in the ledger, never left behind."""

import ctypes
import logging
import os
import re
import signal
import subprocess
import sys
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from threading import Thread
from typing import IO

from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from warehouse.dbt_results import MARK_ENVIRONMENT, load_results, note_results, read_results
from warehouse.errors import WarehouseError
from warehouse.ledger import Run, step

logger = logging.getLogger(__name__)

FAILED = 1
_NOT_FOUND = 127
_PR_SET_PDEATHSIG = 1
# So often it is asked whether the lock is still held.
_LOOK_SECONDS = 2.0
# Kubernetes kills a pod 30 seconds after it asked; until then the ledger must have been told.
_ENDING_SECONDS = 10.0
_LAST_LINES = 8
_COLOR = re.compile(r"\x1b\[[0-9;]*m")
# Of dbt's lines: when, and that a node began or a test passed.
_CLOCK = re.compile(r"^\d\d:\d\d:\d\d\s*")
_UNREMARKABLE = re.compile(r" (START|PASS) ")


class CommandFailedError(WarehouseError):
    """The command ended with a code other than 0; `code` is the one to pass on."""

    def __init__(self, message: str, code: int) -> None:
        """Keep the code beside the message."""
        super().__init__(message)
        self.code = code


def run_command(
    engine: Engine,
    name: str,
    command: Sequence[str],
    *,
    lock: str | None = None,
    wait: bool = False,
    as_of_date: date | None = None,
) -> None:
    """Run a command as the step `name`.

    Raises LockHeldError when the lock is held and not to be waited for, CommandFailedError
    when the command fails; of dbt it is recorded which nodes and why.
    """
    with step(engine, name, lock=lock, wait=wait, as_of_date=as_of_date) as run:
        if Path(command[0]).name == "dbt":
            run_dbt(engine, run, command)
            return
        run.details["command"] = list(command)
        code = _run(command, is_lock_held=run.is_lock_held)
        if code != 0:
            raise CommandFailedError(f"{_brief(command)} ended with {code}", code)


def run_dbt(
    engine: Engine,
    run: Run,
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run dbt within a step, print what is remarkable, and record what became of its nodes.

    `environment` is added to this process's own.

    Raises CommandFailedError, naming the nodes that failed, or what dbt said last.
    """
    run.details["command"] = list(command)
    mark = uuid.uuid4().hex
    last: deque[str] = deque(maxlen=_LAST_LINES)

    def hear(line: str) -> None:
        if _UNREMARKABLE.search(line):
            return
        sys.stdout.write(line)
        sys.stdout.flush()
        if said := _CLOCK.sub("", _COLOR.sub("", line)).strip():
            last.append(said)

    code = _run(
        command,
        environment={**(environment or {}), MARK_ENVIRONMENT: mark},
        hear=hear,
        is_lock_held=run.is_lock_held,
    )
    folder = Path(os.environ.get("DBT_TARGET_PATH", "target"))
    results = read_results(folder / "run_results.json", mark)
    if results is not None:
        note_results(run, results)
        try:
            load_results(engine, run.run_id, results.nodes)
        except SQLAlchemyError as error:
            if code == 0:
                raise
            logger.warning("ops.dbt_results could not be filled: %s", error)
    if code == 0:
        return
    reasons = results.failures if results is not None else []
    if len(reasons) > len(shown := reasons[:3]):
        shown.append(f"{len(reasons) - len(shown)} more")
    raise CommandFailedError(
        f"{_brief(command)} ended with {code}: {'; '.join(shown) or ' '.join(last)}", FAILED
    )


def _brief(command: Sequence[str]) -> str:
    return f"{' '.join(command[:2])}{' …' if command[2:] else ''}"


def _run(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    hear: Callable[[str], None] | None = None,
    is_lock_held: Callable[[], bool],
) -> int:
    """Run a command to its end and return its exit code, as a shell would say it.

    `hear` gets what it prints, line by line. The command is ended when the lock is lost, because
    another step may take it then.
    """
    # dbt and the like lie beside this Python, which need not be on PATH.
    beside = str(Path(sys.executable).parent)
    search = os.pathsep.join([beside, os.environ.get("PATH", os.defpath)])
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    parent = os.getpid()

    def die_with_parent() -> None:
        if library is not None:
            library.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:
                os.kill(os.getpid(), signal.SIGKILL)

    try:
        process = subprocess.Popen(  # noqa: S603 - the command the caller asked for, no shell
            list(command),
            env={**os.environ, "PATH": search, **(environment or {})},
            stdout=None if hear is None else subprocess.PIPE,
            # dbt says there what it did not understand of its arguments.
            stderr=None if hear is None else subprocess.STDOUT,
            text=True,
            errors="replace",
            preexec_fn=die_with_parent,  # noqa: PLW1509 - there are no threads to deadlock with
        )
    except FileNotFoundError:
        raise CommandFailedError(f"there is no command {command[0]!r}", _NOT_FOUND) from None
    listener = _listen(process.stdout, hear)
    try:
        while (code := _wait(process, _LOOK_SECONDS)) is None:
            if not is_lock_held():
                raise CommandFailedError(
                    f"{_brief(command)} was ended: the database went away, and the lock with it",
                    FAILED,
                )
    finally:
        _end(process)
        if listener is not None:
            listener.join(_ENDING_SECONDS)
    return code if code >= 0 else 128 - code


def _listen(output: IO[str] | None, hear: Callable[[str], None] | None) -> Thread | None:
    if output is None or hear is None:
        return None

    def listen() -> None:
        for line in output:
            hear(line)

    thread = Thread(target=listen, daemon=True)
    thread.start()
    return thread


def _wait(process: subprocess.Popen[str], seconds: float) -> int | None:
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None


def _end(process: subprocess.Popen[str]) -> None:
    """Ask the process to end, then make it."""
    if process.poll() is None:
        process.terminate()
    if _wait(process, _ENDING_SECONDS) is None:
        process.kill()
        process.wait()
