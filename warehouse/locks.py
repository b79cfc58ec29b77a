"""Advisory locks: who may run, and who is running.

PostgreSQL frees them when the process dies, however it dies. A lock has a name; a run of a step
holds one more that only it can hold, so that whoever reads the ledger can tell that it is alive.
"""

import logging
import math
import time

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from warehouse.errors import LockHeldError

logger = logging.getLogger(__name__)

CALIBRATION_LOCK = "irt-calibrate"
# Of every step that scores, publishes or takes back a run.
SCORING_LOCK = "irt-score"
# Transactions that score hold it shared, so that who changes all abilities can wait for them.
ABILITIES_LOCK = "irt-scoring"
NAMED_KEY = "hashtextextended('seedtest:' || :name, 0)"
RUN_KEY = "hashtextextended('seedtest-run:' || run.id, 0)"
# One bigint key of an advisory lock appears in pg_locks as two halves.
_IS_HELD = """
        {lock}.locktype = 'advisory'
        and {lock}.objsubid = 1
        and {lock}.granted
        and {lock}.database = (
            select oid from pg_catalog.pg_database where datname = current_database()
        )
        and ({lock}.classid::bigint << 32) | {lock}.objid::bigint = {key}
"""
# Of the row `run` of the ledger: its process lives.
IS_ALIVE = f"""exists (
    select 1
    from pg_catalog.pg_locks as own
    where {_IS_HELD.format(lock="own", key=RUN_KEY)}
)"""  # noqa: S608 - constants
_HOLDER = f"""
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
            and {IS_ALIVE}
    where {_IS_HELD.format(lock="held", key=NAMED_KEY)}
    order by run.id desc
    limit 1
"""  # noqa: S608 - constants
# After so long a wait it is said again who holds the lock, who may be another by then.
_LOOK_SECONDS = 60.0
_GRACE_SECONDS = 1.0
_LOCK_NOT_AVAILABLE = "55P03"


def holder_of(connection: Connection, lock: str) -> str | None:
    """Say who holds a lock, in words; None when nobody does."""
    row = _holder(connection, lock)
    return None if row is None else _in_words(row)


def take_or_refuse(connection: Connection, lock: str, *, starter: str) -> None:
    """Take a lock, or raise LockHeldError, which names the holder.

    The holder's row of the ledger keeps who was refused: `starter`, in words.
    """
    # PostgreSQL needs a moment to see that a killed holder is gone.
    is_taken = _try(connection, lock) or _queue(connection, lock, _GRACE_SECONDS)
    connection.execute(sa.text("set lock_timeout = 0"))
    if is_taken:
        return
    row = _holder(connection, lock)
    if row is not None and row.run_id is not None:
        statement = sa.text(
            """
            update ops.pipeline_runs
            set details = details || jsonb_build_object(
                'refused',
                coalesce(details -> 'refused', '[]') || jsonb_build_array(cast(:starter as text))
            )
            where id = :run_id
            """
        )
        connection.execute(statement, {"run_id": row.run_id, "starter": starter})
    raise LockHeldError(f"lock {lock!r} is held by {_in_words(row)}; nothing was done")


def take_or_wait(connection: Connection, lock: str, *, limit_seconds: float | None) -> float:
    """Take a lock, wait for it as long as it takes or `limit_seconds`; return the seconds.

    Says for whom it waits. Raises LockHeldError at the limit.
    """
    begun = time.monotonic()
    end = math.inf if limit_seconds is None else begun + limit_seconds
    if _try(connection, lock):
        return 0.0
    while True:
        holder = _in_words(_holder(connection, lock))
        left = end - time.monotonic()
        if left <= 0:
            raise LockHeldError(
                f"lock {lock!r} is held by {holder}; waited {limit_seconds} s for it, "
                "nothing was done"
            )
        logger.warning("waiting for lock %r, held by %s", lock, holder)
        if _queue(connection, lock, min(left, _LOOK_SECONDS)):
            connection.execute(sa.text("set lock_timeout = 0"))
            return time.monotonic() - begun


def hold(connection: Connection, lock: str, *, is_shared: bool = False) -> None:
    """Wait for a lock, alone or with others, and hold it until the transaction ends."""
    take = "pg_advisory_xact_lock_shared" if is_shared else "pg_advisory_xact_lock"
    connection.execute(sa.text(f"select {take}({NAMED_KEY})"), {"name": lock})


def _try(connection: Connection, lock: str) -> bool:
    taken: bool = connection.execute(
        sa.text(f"select pg_try_advisory_lock({NAMED_KEY})"), {"name": lock}
    ).scalar_one()
    return taken


def _queue(connection: Connection, lock: str, seconds: float) -> bool:
    """Wait in PostgreSQL's own queue; False after so many seconds."""
    connection.execute(sa.text(f"set lock_timeout = {max(1, int(seconds * 1000))}"))
    try:
        connection.execute(sa.text(f"select pg_advisory_lock({NAMED_KEY})"), {"name": lock})
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise
        return False
    return True


def _holder(connection: Connection, lock: str) -> sa.Row[tuple[object, ...]] | None:
    return connection.execute(sa.text(_HOLDER), {"name": lock}).one_or_none()


def _in_words(row: sa.Row[tuple[object, ...]] | None) -> str:
    if row is None:
        return "a session that has just ended"
    if row.run_id is None:
        return f"database session {row.pid} ({row.application_name or 'no name'})"
    return (
        f"run {row.run_id} of {row.step} (process {row.process_id} on {row.host}, "
        f"since {row.started_at} UTC)"
    )
