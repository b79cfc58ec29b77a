"""The online update: scores what is delivered, once per delivery, whatever is killed.

Nothing is kept in memory that PostgreSQL does not know: what is to be done is what differs
between the results and the record of those dealt with, and abilities and that record are
written in one transaction. Workers share the work by the locks of the students.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from threading import Event

import structlog
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError, OperationalError

from irt_service.errors import IrtServiceError
from irt_service.scorer import Scorer, Tally
from irt_service.store import deliveries, publications

POLL_SECONDS = 0.5
_CANDIDATES = 1000
_SESSIONS_PER_BLOCK = 32
_RETRY_AFTER_SECONDS = 30.0
_LONGEST_WAIT_SECONDS = 30.0
_CONNECTION_LOST = ("08", "57P")  # classes of SQLSTATE: connection, server shut down
_TRY_AGAIN = ("40001", "40P01", "55P03")  # serialisation, deadlock, lock not available

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
    busy: int = 0


@dataclass
class Worker:
    """Deals with deliveries until told to stop.

    Attributes:
        stop: set from outside; what was taken is finished first.
        retry_after_seconds: a delivery that failed is left alone for so long.
    """

    engine: Engine
    scorer: Scorer
    stop: Event = field(default_factory=Event)
    retry_after_seconds: float = _RETRY_AFTER_SECONDS
    work: Work = field(default_factory=Work)
    order: random.Random = field(default_factory=random.Random)

    def run(self, poll_seconds: float) -> None:
        """Work until `stop` is set; a database that is away is waited for."""
        wait = poll_seconds
        while not self.stop.is_set():
            try:
                done = self.look()
                wait = poll_seconds
            except OperationalError as error:
                done = 0
                wait = min(2 * max(wait, poll_seconds), _LONGEST_WAIT_SECONDS)
                logger.warning("the database is away", error=_first_line(error), wait_seconds=wait)
            if done == 0:
                self.stop.wait(wait)

    def drain(self) -> None:
        """Work until nothing is left; failures are tried again at once until they are parked."""
        self.retry_after_seconds = 0.0
        while not self.stop.is_set():
            if self.look() > 0:
                continue
            if self.work.busy == 0:
                return
            # Another worker is at the rest; see that it gets there.
            self.stop.wait(0.1)

    def look(self) -> int:
        """Find candidates once and deal with them; returns how many were dealt with."""
        with self.engine.connect() as connection:
            self.work.waits_for_run = not publications.read_spans(connection)
            if self.work.waits_for_run:
                return 0
            found = deliveries.read_candidates(
                connection, _CANDIDATES, self.scorer.settings.max_tries, self.retry_after_seconds
            )
        self.work.busy = 0
        # Workers that look at the same moment find the same; few of them begin at the same end.
        self.order.shuffle(found)
        done = 0
        for block in _blocks(found):
            if self.stop.is_set():
                break
            done += self._deal_with(block)
        return done

    def _deal_with(self, candidates: Sequence[deliveries.Candidate]) -> int:
        """Deal with a block; one that fails is taken apart, so that only its cause is parked."""
        try:
            return self._score(candidates)
        except (DBAPIError, IrtServiceError, ValueError, ArithmeticError) as error:
            if _is_connection_lost(error):
                raise
            if _is_passing(error):
                self.work.busy += len(candidates)
                return 0
            if len(candidates) > 1:
                return sum(self._deal_with([one]) for one in candidates)
            self._park(candidates[0], error)
            return 1

    def _score(self, candidates: Sequence[deliveries.Candidate]) -> int:
        """Score the students of some candidates in one transaction."""
        with self.engine.begin() as connection:
            publications.share_scoring(connection)
            ids = [candidate.session_id for candidate in candidates]
            owners = deliveries.read_owners(connection, ids)
            locked = deliveries.lock_students(connection, sorted(set().union(*owners.values())))
            # Under the locks: whose they are may have changed while these were waited for.
            owners = deliveries.read_owners(connection, ids)
            taken = [one for one in candidates if owners[one.session_id] <= locked]
            self.work.busy += len(candidates) - len(taken)
            taken = deliveries.keep_undone(connection, taken)
            if not taken:
                return 0
            students = sorted(set().union(*(owners[one.session_id] for one in taken)))
            tally = self.scorer.score_live(connection, students, taken)
        self.work.tally.add(tally)
        logger.debug("scored", sessions=len(taken), abilities=tally.abilities)
        return len(taken)

    def _park(self, candidate: deliveries.Candidate, error: Exception) -> None:
        reason = f"{type(error).__name__}: {_first_line(error)}"
        with self.engine.begin() as connection:
            tries = deliveries.park(connection, candidate, reason)
        logger.warning("not scored", session_id=candidate.session_id, tries=tries, reason=reason)
        if tries >= self.scorer.settings.max_tries:
            self.work.parked[candidate.session_id] = reason


def _blocks(
    candidates: Sequence[deliveries.Candidate],
) -> Iterator[Sequence[deliveries.Candidate]]:
    for start in range(0, len(candidates), _SESSIONS_PER_BLOCK):
        yield candidates[start : start + _SESSIONS_PER_BLOCK]


def _first_line(error: Exception) -> str:
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    lines = str(cause).strip().splitlines()
    return lines[0] if lines else type(cause).__name__


def _sqlstate(error: Exception) -> str:
    return str(getattr(getattr(error, "orig", None), "sqlstate", None) or "")


def _is_connection_lost(error: Exception) -> bool:
    if not isinstance(error, DBAPIError):
        return False
    return error.connection_invalidated or _sqlstate(error).startswith(_CONNECTION_LOST)


def _is_passing(error: Exception) -> bool:
    return _sqlstate(error) in _TRY_AGAIN
