"""Runs a command as a step: under a lock, with a row in the ledger, never left behind."""

import ctypes
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy.engine import Engine

from warehouse.errors import WarehouseError
from warehouse.ledger import Run, step

_PR_SET_PDEATHSIG = 1
_NOT_FOUND = 127
FAILURES_KEPT = 20
_BAD = ("error", "fail", "runtime error", "skipped", "partial success")


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
        run.details["command"] = list(command)
        results = Path(os.environ.get("DBT_TARGET_PATH", "target")) / "run_results.json"
        before = _modified(results)
        code = _run(command)
        if Path(command[0]).name == "dbt" and _modified(results) != before:
            _note_dbt_results(run, results)
        if code != 0:
            failures = "; ".join(run.details.get("failures", []))
            raise CommandFailedError(
                f"{' '.join(command[:3])} … ended with {code}{': ' if failures else ''}{failures}",
                code,
            )


def _run(command: Sequence[str]) -> int:
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
            env={**os.environ, "PATH": search},
            preexec_fn=die_with_parent,  # noqa: PLW1509 - there are no threads to deadlock with
        )
    except FileNotFoundError:
        raise CommandFailedError(f"there is no command {command[0]!r}", _NOT_FOUND) from None
    try:
        code = process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    return code if code >= 0 else 128 - code


def _modified(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def _note_dbt_results(run: Run, path: Path) -> None:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        run.details["dbt"] = f"results cannot be read: {error}"
        return
    results = content.get("results", [])
    run.versions["dbt"] = content.get("metadata", {}).get("dbt_version")
    run.details["dbt"] = {
        "invocation_id": content.get("metadata", {}).get("invocation_id"),
        "statuses": dict(Counter(result["status"] for result in results)),
        "slowest_seconds": {
            result["unique_id"]: round(result["execution_time"], 2)
            for result in sorted(results, key=lambda result: -result["execution_time"])[:5]
        },
    }
    failures = [
        f"{result['unique_id']}: {' '.join(str(result.get('message') or '').split())[:300]}"
        for result in results
        if result["status"] in _BAD
    ]
    if failures:
        run.details["failures"] = failures[:FAILURES_KEPT]
    run.row_count = sum(
        max(0, int(result.get("adapter_response", {}).get("rows_affected") or 0))
        for result in results
        if result["unique_id"].startswith(("model.", "snapshot."))
    )
