"""The run ledger `ops.pipeline_runs`: what ran, on what, and how it ended.

A step holds its locks on a connection of its own for as long as it runs. A row that says
`running` while nobody holds the lock of that run was killed.
"""

import json
import logging
import math
import os
import platform
import signal
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from types import FrameType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from warehouse.locks import IS_ALIVE, RUN_KEY, take_or_refuse, take_or_wait

logger = logging.getLogger(__name__)

# The same for all steps and tries of one Job; else each process has its own.
INVOCATION_ENVIRONMENT = "SEEDTEST_INVOCATION_ID"
# The git revision that an image was built from.
REVISION_ENVIRONMENT = "SEEDTEST_REVISION"
ERROR_MAX_CHARACTERS = 4000
RESTART_PATIENCE_SECONDS = 30.0
_OWN_PACKAGE = "seedtest-analytics"


@dataclass
class Run:
    """A running step: set `row_count` and `details`, they are written when it ends."""

    run_id: int
    step: str
    as_of_date: date | None
    row_count: int | None = None
    details: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, Any] = field(default_factory=dict)
    is_lock_held: Callable[[], bool] = lambda: True


class _TerminatedError(KeyboardInterrupt):
    """SIGTERM, turned into an exception so that the ledger hears of it.

    Of this kind, because psycopg then cancels the statement that it interrupts.
    """


@contextmanager
def step(
    engine: Engine,
    name: str,
    *,
    lock: str | None = None,
    wait: bool = False,
    wait_seconds: float | None = None,
    is_alone: bool = False,
    as_of_date: date | Callable[[], date] | None = None,
) -> Iterator[Run]:
    """Record one run of a step, under a lock.

    With `lock`, the step is refused (LockHeldError, naming the holder) while another holds the
    same lock, or waits for it when told to, `wait_seconds` at most, and logs for whom. With
    `is_alone` it is also refused while another run of the same name is there, be it waiting. A
    date that is to be found out (a callable) is found out once the lock is held, which may be
    after midnight. What the body raises is recorded as the failure and raised again; SIGTERM
    counts as a failure and ends the process with 143.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("set idle_session_timeout = 0"))
        # A process that is killed while it waits for a lock leaves the queue.
        connection.execute(sa.text("set client_connection_check_interval = '1s'"))
        starter = f"process {os.getpid()} on {socket.gethostname()}"
        if is_alone:
            take_or_refuse(connection, f"step:{name}", starter=starter)
        if lock is not None and not wait:
            take_or_refuse(connection, lock, starter=starter)
        bury_the_dead(connection)
        known = as_of_date if isinstance(as_of_date, date) else None
        run = _begin(connection, name, lock=lock, as_of_date=known)
        run.is_lock_held = lambda: _is_connected(connection)
        with _sigterm_as_exception():
            try:
                if lock is not None and wait:
                    _wait(connection, run, lock, wait_seconds)
                if callable(as_of_date):
                    run.as_of_date = as_of_date()
                    _note_date(connection, run)
                yield run
            except BaseException as error:
                try:
                    _end(engine, connection, run, status="failed", error=_describe(error))
                except SQLAlchemyError as silence:
                    # What went wrong matters more than that it could not be written down.
                    logger.warning("the ledger could not be told that %s failed: %s", name, silence)
                if isinstance(error, _TerminatedError):
                    raise SystemExit(128 + signal.SIGTERM) from None
                raise
            _end(engine, connection, run, status="succeeded", error=None)


@contextmanager
def holding(engine: Engine, lock: str) -> Iterator[None]:
    """Wait for a lock that steps take, and hold it, without a row of its own in the ledger."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("set idle_session_timeout = 0"))
        connection.execute(sa.text("set client_connection_check_interval = '1s'"))
        take_or_wait(connection, lock, limit_seconds=None)
        yield


def bury_the_dead(connection: Connection) -> int:
    """Mark runs failed whose process is gone; return how many. Safe at any time."""
    statement = sa.text(
        f"""
        update ops.pipeline_runs as run
        set
            status = 'failed',
            ended_at = clock_timestamp(),
            error = 'killed: the process ended without saying so'
        where run.status = 'running' and not {IS_ALIVE}
        """  # noqa: S608 - constants
    )
    return connection.execute(statement).rowcount


def _wait(connection: Connection, run: Run, lock: str, limit_seconds: float | None) -> None:
    """Wait for the lock; the row says so, and what the run took is counted from its end."""

    def note(changes: str) -> None:
        statement = f"update ops.pipeline_runs set {changes} where id = :run_id"  # noqa: S608 - texts of ours
        connection.execute(sa.text(statement), {"run_id": run.run_id, "lock": lock})

    note("details = details || jsonb_build_object('waiting_for', cast(:lock as text))")
    waited = take_or_wait(connection, lock, limit_seconds=limit_seconds)
    if waited:
        run.details["waited_seconds"] = round(waited, 1)
    note("started_at = clock_timestamp(), details = details - 'waiting_for'")


def _note_date(connection: Connection, run: Run) -> None:
    connection.execute(
        sa.text("update ops.pipeline_runs set as_of_date = :as_of_date where id = :run_id"),
        {"as_of_date": run.as_of_date, "run_id": run.run_id},
    )


def _begin(connection: Connection, name: str, *, lock: str | None, as_of_date: date | None) -> Run:
    versions = {"python": platform.python_version()}
    revision = os.environ.get(REVISION_ENVIRONMENT)
    if revision:
        versions["revision"] = revision
    try:
        versions[_OWN_PACKAGE] = version(_OWN_PACKAGE)
    except PackageNotFoundError:
        # Run from a checkout that was not installed.
        versions[_OWN_PACKAGE] = "checkout"
    # One statement: whoever sees the row sees its lock taken.
    statement = sa.text(
        f"""
        with run as (
            insert into ops.pipeline_runs
                (step, status, as_of_date, details, versions, host, pid, invocation_id)
            values
                (:step, 'running', :as_of_date,
                jsonb_build_object('lock', cast(:lock as text), 'backend_pid', pg_backend_pid()),
                cast(:versions as jsonb), :host, :pid, :invocation_id)
            returning id
        )
        select
            run.id,
            pg_advisory_lock({RUN_KEY}),
            pg_backend_pid() as backend_pid,
            current_setting('server_version') as server_version
        from run
        """  # noqa: S608 - constants
    )
    row = connection.execute(
        statement,
        {
            "step": name,
            "as_of_date": as_of_date,
            "lock": lock,
            "versions": json.dumps(versions),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "invocation_id": os.environ.get(INVOCATION_ENVIRONMENT) or str(uuid.uuid4()),
        },
    ).one()
    return Run(
        run_id=row.id,
        step=name,
        as_of_date=as_of_date,
        details={"lock": lock, "backend_pid": row.backend_pid},
        versions={**versions, "postgresql": row.server_version},
    )


def _end(
    engine: Engine, connection: Connection, run: Run, *, status: str, error: str | None
) -> None:
    statement = sa.text(
        """
        update ops.pipeline_runs
        set
            status = :status,
            ended_at = clock_timestamp(),
            as_of_date = :as_of_date,
            row_count = :row_count,
            details = details - 'waiting_for' || cast(:details as jsonb),
            versions = cast(:versions as jsonb),
            error = :error
        where id = :run_id
        """
    )
    details = dict(run.details)
    values = {
        "run_id": run.run_id,
        "status": status,
        "as_of_date": run.as_of_date,
        "row_count": run.row_count,
        "versions": to_json(run.versions),
        "error": None if error is None else error.replace("\0", "\\0")[:ERROR_MAX_CHARACTERS],
    }
    try:
        connection.execute(statement, {**values, "details": to_json(details)})
    except SQLAlchemyError:
        # The server was restarted under the step, and the lock went with its connection. The
        # story is still told, and the loss is part of it.
        details["lock_lost"] = True
        values["details"] = to_json(details)
        tell_patiently(engine, statement, values)


def tell_patiently(engine: Engine, statement: sa.TextClause, values: Mapping[str, Any]) -> None:
    """Write into the ledger once the server is back; raise when it stays away."""
    deadline = time.monotonic() + RESTART_PATIENCE_SECONDS
    while True:
        try:
            with engine.begin() as connection:
                connection.execute(statement, values)
            return
        except OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def _is_connected(connection: Connection) -> bool:
    try:
        connection.execute(sa.text("select 1"))
    except SQLAlchemyError:
        return False
    return True


def _describe(error: BaseException) -> str:
    if isinstance(error, _TerminatedError):
        return "terminated (SIGTERM)"
    if isinstance(error, KeyboardInterrupt):
        return "interrupted (SIGINT)"
    if isinstance(error, SystemExit):
        return f"exited with {error.code}"
    return f"{type(error).__name__}: {error}"


@contextmanager
def _sigterm_as_exception() -> Iterator[None]:
    """Turn SIGTERM into an exception, where that is possible and nobody else wants it."""

    def terminate(_signal: int, _frame: FrameType | None) -> None:
        raise _TerminatedError

    try:
        if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
            yield
            return
        signal.signal(signal.SIGTERM, terminate)
    except ValueError:
        # Not the main thread: signals are somebody else's business.
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def to_json(value: Any) -> str:
    """Write a value as JSON that PostgreSQL's jsonb accepts; what JSON cannot say becomes text."""
    return json.dumps(_plain(value), ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return str(value).replace("\0", "\\0")
