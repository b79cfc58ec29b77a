"""Puts a run in force: its abilities first, then the switch; and takes it back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import repeat

from sqlalchemy.engine import Connection, Engine

from irt_service.days import BEGINNING_OF_TIME, local_day
from irt_service.errors import InvalidInputError, IrtServiceError
from irt_service.in_force import Publication, spans_in_force
from irt_service.replay import Listener, replay
from irt_service.scorer import Scorer, Tally
from irt_service.store import completeness, publications, runs
from warehouse.ledger import step
from warehouse.locks import SCORING_LOCK

_ROUNDS = 3


@dataclass(frozen=True)
class Outcome:
    """What a publication or a roll-back led to.

    Attributes:
        has_changed: False when the run was in force already.
        in_force_from: of the run now in force.
    """

    run_id: str
    has_changed: bool
    in_force_from: date
    tally: Tally


def publish(
    engine: Engine, scorer: Scorer, run_id: str, listener: Listener | None = None
) -> Outcome:
    """Put an accepted run of the default bank in force from the day after the last build.

    Sessions are scored under it while the old run serves; when none is missing, one
    transaction switches. Killed in between, the old run stays in force.

    Raises:
        InvalidInputError: no such run, or one that must not come into force.
        IrtServiceError: sessions without an ability are left.
    """
    with step(engine, "irt-publish", lock=SCORING_LOCK, wait=True) as ledger:
        with engine.begin() as connection:
            _require_publishable(connection, run_id)
            log = publications.read_publications(connection)
            if log and log[-1].run_id == run_id:
                return Outcome(run_id, False, log[-1].in_force_from, Tally())
            coming = [_next(connection, scorer, run_id, log)]
        with _announced(engine, coming):
            tally = _replay_everybody(engine, scorer, listener)

            def extend(connection: Connection) -> list[Publication]:
                # A build may have ended meanwhile; its days keep the run they were built with.
                return [*log, _next(connection, scorer, run_id, log)]

            with _when_complete(engine, scorer, listener, tally, extend) as (connection, then):
                publication = then[-1]
                publications.append_publication(connection, publication)
                publications.end_publishing(connection)
        ledger.row_count = tally.abilities
        ledger.details |= {"run_id": run_id, "in_force_from": str(publication.in_force_from)}
    return Outcome(run_id, True, publication.in_force_from, tally)


def roll_back(engine: Engine, scorer: Scorer, listener: Listener | None = None) -> Outcome:
    """Revoke the latest publication; sessions missing under the returning run come first.

    Raises:
        InvalidInputError: no earlier run is left to return to.
        IrtServiceError: sessions without an ability are left.
    """
    with step(engine, "irt-roll-back", lock=SCORING_LOCK, wait=True) as ledger:
        with engine.begin() as connection:
            log = publications.read_publications(connection)
            if len(log) < 2:  # noqa: PLR2004 - one to revoke, one to return to
                raise InvalidInputError(
                    "there is no earlier run to return to",
                    f"{len(log)} publications are not revoked",
                    "publish another run instead",
                )
        returning = log[-2]
        in_force = spans_in_force(log)
        coming = [
            Publication(span.run_id, span.first)
            for span in spans_in_force(log[:-1])
            if span not in in_force
        ]
        with _announced(engine, coming):
            tally = _replay_everybody(engine, scorer, listener)
            with _when_complete(engine, scorer, listener, tally, lambda _: log[:-1]) as (
                connection,
                _,
            ):
                publications.revoke_latest(connection)
                publications.end_publishing(connection)
        ledger.row_count = tally.abilities
        ledger.details |= {"revoked": log[-1].run_id, "run_id": returning.run_id}
    return Outcome(returning.run_id, True, returning.in_force_from, tally)


def _require_publishable(connection: Connection, run_id: str) -> None:
    run = runs.read_run(connection, run_id)
    if run.status != "accepted":
        raise InvalidInputError(
            f"a run that was {run.status} cannot come into force",
            f"{run_id}: {'; '.join(run.reasons) or 'no reason recorded'}",
            "publish an accepted one, see `python -m irt_service runs`",
        )
    if run.bank != runs.DEFAULT_BANK:
        raise InvalidInputError(
            "only runs of the whole item bank come into force",
            f"{run_id} is of bank {run.bank}",
            "calibrate with --bank all",
        )


def _next(
    connection: Connection, scorer: Scorer, run_id: str, log: Sequence[Publication]
) -> Publication:
    """The entry to append: from the beginning of time, or from the first day not yet built."""
    if not log:
        return Publication(run_id, BEGINNING_OF_TIME)
    day = publications.day_after_last_build(connection)
    if day is None:
        day = local_day(datetime.now(UTC), scorer.settings.reporting_timezone)
    return Publication(run_id, day)


@contextmanager
def _announced(engine: Engine, coming: Sequence[Publication]) -> Iterator[None]:
    """Have sessions scored under these runs too; the switch ends it, and so does a failure."""
    with engine.begin() as connection:
        publications.begin_publishing(connection, coming)
    try:
        yield
    except Exception:
        with engine.begin() as connection:
            publications.end_publishing(connection)
        raise


def _replay_everybody(engine: Engine, scorer: Scorer, listener: Listener | None) -> Tally:
    _wait_for_scoring_under_way(engine)
    return replay(engine, scorer, None, listener)


@contextmanager
def _when_complete(
    engine: Engine,
    scorer: Scorer,
    listener: Listener | None,
    tally: Tally,
    log: Callable[[Connection], list[Publication]],
) -> Iterator[tuple[Connection, list[Publication]]]:
    """Give the transaction that has seen that nothing is missing under a log, and that log.

    Students of whom sessions were built meanwhile are replayed before, and counted in `tally`.
    """
    for is_last in (*repeat(False, _ROUNDS), True):
        with engine.begin() as connection:
            then = log(connection)
            missing = completeness.read_missing(
                connection, scorer.demands(spans_in_force(then)), scorer.settings
            )
            if not missing:
                yield connection, then
                return
        if is_last:
            raise IrtServiceError(
                f"{len(missing)} sessions have no ability under the run that was to come into"
                " force",
                f"such as session {missing[0].session_id} under run {missing[0].run_id}",
                "the run in force is unchanged; publish again when no build is running",
            )
        tally.add(replay(engine, scorer, sorted({one.student_id for one in missing}), listener))


def _wait_for_scoring_under_way(engine: Engine) -> None:
    """Whoever began before the announcement does not know of it; afterwards everybody does."""
    with engine.begin() as connection:
        publications.own_scoring(connection)
