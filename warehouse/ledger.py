"""The run ledger `ops.pipeline_runs` and the locks that keep steps from overlapping.

A step holds its locks on a connection of its own for as long as it runs: PostgreSQL frees
them when the process dies, however it dies. Besides the lock it asked for, each run holds one
that only it can hold; a row that says `running` while nobody holds that lock was killed.
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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from types import FrameType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from warehouse.errors import LockHeldError

logger = logging.getLogger(__name__)

INVOCATION_ENVIRONMENT = "SEEDTEST_INVOCATION_ID"
ERROR_MAX_CHARACTERS = 4000
RESTART_PATIENCE_SECONDS = 30.0
_OWN_PACKAGE = "seedtest-analytics"
_LOCK_KEY = "hashtextextended('seedtest:' || :name, 0)"
_RUN_LOCK_KEY = "hashtextextended('seedtest-run:' || run.id, 0)"
# One bigint key of an advisory lock appears in pg_locks as two halves.
_HELD = """
    select 1
    from pg_catalog.pg_locks as held
    where
        held.locktype = 'advisory'
        and held.objsubid = 1
        and held.granted
        and held.database = (
            select oid from pg_catalog.pg_database where datname = current_database()
        )
        and (held.classid::bigint << 32) | held.objid::bigint = {key}
"""
IS_ALIVE = f"exists ({_HELD.format(key=_RUN_LOCK_KEY)})"


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


class _TerminatedError(BaseException):
    """SIGTERM, turned into an exception so that the ledger hears of it."""


@contextmanager
def step(
    engine: Engine,
    name: str,
    *,
    lock: str | None = None,
    wait: bool = False,
    as_of_date: date | None = None,
) -> Iterator[Run]:
    """Record one run of a step, under a lock.

    With `lock`, the step is refused (LockHeldError, naming the holder) while another holds the
    same lock, or waits for it when told to and logs for whom. What the body raises is recorded
    as the failure and raised again; SIGTERM counts as a failure and ends the process with 143.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("set idle_session_timeout = 0"))
        if lock is not None:
            _acquire(connection, lock, wait=wait)
        bury_the_dead(connection)
        run = _begin(connection, name, lock=lock, as_of_date=as_of_date)
        run.is_lock_held = lambda: _is_connected(connection)
        with _sigterm_as_exception():
            try:
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
        _acquire(connection, lock, wait=True)
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


def holder_of(connection: Connection, lock: str) -> str | None:
    """Say who holds a lock, in words; None when nobody does."""
    statement = sa.text(
        f"""
        select
            activity.pid,
            activity.application_name,
            run.id as run_id,
            run.step,
            run.host,
            run.pid as process_id,
            to_char(run.started_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') as started_at
        from pg_catalog.pg_locks as held
        left join pg_catalog.pg_stat_activity as activity on held.pid = activity.pid
        left join ops.pipeline_runs as run
            on
                run.status = 'running'
                and (run.details ->> 'backend_pid')::integer = held.pid
                and run.details ->> 'lock' = :name
        where
            held.locktype = 'advisory'
            and held.objsubid = 1
            and held.granted
            and held.database = (
                select oid from pg_catalog.pg_database where datname = current_database()
            )
            and (held.classid::bigint << 32) | held.objid::bigint = {_LOCK_KEY}
        order by run.id desc
        limit 1
        """  # noqa: S608 - constants
    )
    row = connection.execute(statement, {"name": lock}).one_or_none()
    if row is None:
        return None
    if row.run_id is None:
        return f"database session {row.pid} ({row.application_name or 'no name'})"
    return (
        f"run {row.run_id} of {row.step} (process {row.process_id} on {row.host}, "
        f"since {row.started_at} UTC)"
    )


def _acquire(connection: Connection, lock: str, *, wait: bool) -> None:
    key = {"name": lock}
    taken: bool = connection.execute(
        sa.text(f"select pg_try_advisory_lock({_LOCK_KEY})"), key
    ).scalar_one()
    if taken:
        return
    holder = holder_of(connection, lock) or "a session that has just ended"
    if not wait:
        raise LockHeldError(f"lock {lock!r} is held by {holder}; nothing was done")
    logger.warning("waiting for lock %r, held by %s", lock, holder)
    connection.execute(sa.text(f"select pg_advisory_lock({_LOCK_KEY})"), key)


def _begin(connection: Connection, name: str, *, lock: str | None, as_of_date: date | None) -> Run:
    versions = {"python": platform.python_version()}
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
            pg_advisory_lock({_RUN_LOCK_KEY}),
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
            details = cast(:details as jsonb),
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
        _tell_later(engine, statement, values)


def _tell_later(engine: Engine, statement: sa.TextClause, values: dict[str, Any]) -> None:
    """Write the end of a run once the server is back; raise when it stays away."""
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
