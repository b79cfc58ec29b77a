"""The online update: scores what is delivered, once per delivery, whatever is killed.

Nothing is kept in memory that PostgreSQL does not know: what is to be done is what differs
between the results and the record of those dealt with, and abilities and that record are
written in one transaction. Workers share the work by claims on sessions; the locks of the
students make the updates of one student follow each other.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import psycopg
import structlog
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError

from irt_service import metrics
from irt_service.discovery import Discovery, Ears
from irt_service.errors import IrtServiceError
from irt_service.live import read_given
from irt_service.scorer import Scorer, Tally
from irt_service.store import deliveries, publications

POLL_SECONDS = 0.5
_SESSIONS_PER_BLOCK = 32
_RETRY_AFTER_SECONDS = 30.0
_FIRST_WAIT_SECONDS = 0.25
_LONGEST_WAIT_SECONDS = 10.0
_CONNECTION_LOST = ("08", "57P", "53")  # classes of SQLSTATE: connection, shut down, no room
_TRY_AGAIN = ("40001", "40P01")  # serialisation, deadlock
# The marts are being built anew, or were never built.
_MARTS_AWAY = ("42P01", "42703", "55P03")
_MARTS_PATIENCE_MILLISECONDS = 500
_WITHOUT_MARTS_SECONDS = 10.0

# Whatever is wrong with a session comes out as one of these; other errors are our own.
_FAILURES = (
    DBAPIError,
    psycopg.Error,
    IrtServiceError,
    ValueError,
    ArithmeticError,
    LookupError,
    TypeError,
)

logger = structlog.get_logger("irt_service.worker")


@dataclass
class Work:
    """What a worker has done so far.

    Attributes:
        parked: results given up in this process, with the reason.
        waits_for_run: whether the last look found no run in force.
    """

    tally: Tally = field(default_factory=Tally)
    parked: dict[str, str] = field(default_factory=dict)
    waits_for_run: bool = False


@dataclass
class Worker:
    """Deals with deliveries until told to stop.

    Attributes:
        stop: set from outside; what was taken is finished first.
        retry_after_seconds: a delivery that failed is left alone for so long.
        heartbeat: a file that each turn touches, for whoever watches that turns go on.
    """

    engine: Engine
    scorer: Scorer
    stop: Event = field(default_factory=Event)
    retry_after_seconds: float = _RETRY_AFTER_SECONDS
    heartbeat: Path | None = None
    work: Work = field(default_factory=Work)
    _connection: Connection | None = None
    _without_marts_until: float = 0.0

    @property
    def patience(self) -> deliveries.Patience:
        """How often a delivery is tried."""
        return deliveries.Patience(self.scorer.settings.max_tries, self.retry_after_seconds)

    def run(self, poll_seconds: float = POLL_SECONDS) -> None:
        """Work until `stop` is set; a database that is away is waited for."""
        discovery = Discovery(self.patience, poll_seconds)
        ears = Ears(self.engine)
        wait = _FIRST_WAIT_SECONDS
        try:
            while not self.stop.is_set():
                if self.heartbeat is not None:
                    self.heartbeat.touch()
                try:
                    if ears.open():
                        discovery.look_everywhere()
                    is_idle = self._turn(discovery)
                    pause = poll_seconds if self.work.waits_for_run else discovery.due_in()
                    discovery.hear(ears.wait(pause if is_idle else 0.0, self.stop))
                    wait = _FIRST_WAIT_SECONDS
                except (DBAPIError, psycopg.Error) as error:
                    self._disconnect()
                    ears.close()
                    logger.warning(
                        "the database is away", error=_first_line(error), wait_seconds=wait
                    )
                    # Not all workers come back in the same moment.
                    self.stop.wait(wait * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
                    wait = min(2 * wait, _LONGEST_WAIT_SECONDS)
        finally:
            ears.close()
            self._disconnect()

    def drain(self) -> None:
        """Work until nothing is left; failures are tried again at once until they are parked."""
        self.retry_after_seconds = 0.0
        discovery = Discovery(self.patience, 0.0)
        try:
            while not self.stop.is_set():
                if self._waits_for_run() or discovery.compare(self._connect()) == 0:
                    return
                self._connect().rollback()
                done = 0
                while discovery.rest and not self.stop.is_set():
                    done += self._deal_with(discovery.take(_SESSIONS_PER_BLOCK))
                if done == 0:
                    # Another worker is at the rest; see that it gets there.
                    self.stop.wait(0.1)
        finally:
            self._disconnect()

    def _turn(self, discovery: Discovery) -> bool:
        """Look for sessions and deal with one block; returns whether there was none."""
        if self._waits_for_run():
            return True
        with self._connect().begin():
            discovery.look(self._connect())
        block = discovery.take(_SESSIONS_PER_BLOCK)
        if block:
            self._deal_with(block)
        return not block

    def _waits_for_run(self) -> bool:
        with self._connect().begin():
            self.work.waits_for_run = not publications.read_spans(self._connect())
        return self.work.waits_for_run

    def _deal_with(self, session_ids: Sequence[str]) -> int:
        """Deal with a block; one that fails is taken apart, so that only its cause is parked."""
        try:
            return self._score(session_ids)
        except _FAILURES as error:
            if _is_connection_lost(error):
                raise
            if _sqlstate(error) in _MARTS_AWAY and self._has_marts():
                self._without_marts_until = time.monotonic() + _WITHOUT_MARTS_SECONDS
                return self._deal_with(session_ids)
            if _sqlstate(error) in (*_TRY_AGAIN, *_MARTS_AWAY):
                # Nobody's fault: the next comparison finds them again.
                logger.info("put off", sessions=len(session_ids), error=_first_line(error))
                return 0
            if len(session_ids) > 1:
                return sum(self._deal_with([one]) for one in session_ids)
            return self._park(session_ids[0], error)

    def _has_marts(self) -> bool:
        return time.monotonic() >= self._without_marts_until

    def _score(self, session_ids: Sequence[str]) -> int:
        """Score the students of some sessions in one transaction."""
        begun = time.perf_counter()
        connection = self._connect()
        with connection.begin():
            publications.share_scoring(connection)
            claimed = deliveries.claim(connection, session_ids, self.patience)
            if not claimed:
                return 0
            given = read_given(connection, [one.session_id for one in claimed])
            deliveries.lock_students(connection, sorted(given.students))
            with _lock_timeout(connection, _MARTS_PATIENCE_MILLISECONDS):
                tally = self.scorer.score_live(
                    connection, claimed, given, from_marts=self._has_marts()
                )
        self._count(tally, time.perf_counter() - begun)
        return len(claimed)

    def _count(self, tally: Tally, seconds: float) -> None:
        self.work.tally.add(tally)
        metrics.SCORED_SESSIONS.inc(tally.sessions)
        metrics.ABILITIES.inc(tally.abilities)
        metrics.BLOCK_SECONDS.observe(seconds)
        logger.debug("scored", sessions=tally.sessions, abilities=tally.abilities)

    def _park(self, session_id: str, error: Exception) -> int:
        """Record that a session failed, unless another worker has dealt with it meanwhile."""
        kind = type(error).__name__
        reason = f"{kind}: {_first_line(error)}"
        metrics.FAILURES.labels(kind).inc()
        connection = self._connect()
        with connection.begin():
            claimed = deliveries.claim(connection, [session_id], self.patience)
            if not claimed:
                return 0
            tries = deliveries.park(connection, claimed[0], reason)
        logger.warning("not scored", session_id=session_id, tries=tries, reason=reason)
        if tries >= self.scorer.settings.max_tries:
            self.work.parked[session_id] = reason
        return 1

    def _connect(self) -> Connection:
        """The one connection of this worker: what it has prepared stays prepared."""
        if self._connection is None:
            self._connection = self.engine.connect()
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@contextmanager
def _lock_timeout(connection: Connection, milliseconds: int) -> Iterator[None]:
    """Give up waiting for a table that somebody builds anew."""
    connection.exec_driver_sql(f"set local lock_timeout = {milliseconds}")
    yield
    connection.exec_driver_sql("set local lock_timeout = default")


def _first_line(error: Exception) -> str:
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    lines = str(cause).strip().splitlines()
    return lines[0] if lines else type(cause).__name__


def _sqlstate(error: Exception) -> str:
    cause = error.orig if isinstance(error, DBAPIError) else error
    return str(getattr(cause, "sqlstate", None) or "")


def _is_connection_lost(error: Exception) -> bool:
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    if isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError):
        return cause.sqlstate is None or cause.sqlstate.startswith(_CONNECTION_LOST)
    return False
