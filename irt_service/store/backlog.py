"""What the online update has not dealt with yet, and what it has given up: for metrics."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from irt_service.store.deliveries import UNDONE, Patience

# A delivery that fails this often is parked.
MAX_TRIES = 3


@dataclass(frozen=True)
class Backlog:
    """The state of the online update, as the database knows it.

    Attributes:
        waiting: results that are new, delivered again or deleted, and those to be tried again.
        oldest_seconds: since `updated_at` of the oldest that is waiting; 0 when none is.
        by_status: results dealt with by what came of it (scored, nothing_to_score, parked).
        parked: results given up, by the kind of their reason.
        run_in_force: id of the run published last, None before the first publication.
        publishing: ids of the runs about to come into force.
    """

    waiting: int
    oldest_seconds: float
    by_status: dict[str, int]
    parked: dict[str, int]
    run_in_force: str | None
    publishing: list[str]


def read_backlog(connection: Connection, max_tries: int) -> Backlog:
    """Count what is waiting by comparing every result with the record of those dealt with."""
    waiting = connection.execute(
        sa.text(
            f"""
            select
                count(*) as results,
                coalesce(
                    extract(
                        epoch from clock_timestamp()
                        - min(results.updated_at) filter (where isfinite(results.updated_at))
                    ),
                    0
                ) as seconds
            from {UNDONE}
            """  # noqa: S608 - constants
        ),
        # What is to be tried again waits too, however long it is left alone.
        Patience(max_tries, 0)._asdict(),
    ).one()
    by_status: dict[str, int] = dict(
        connection.execute(
            sa.text("select status, count(*) from irt.deliveries group by status")
        ).fetchall()
    )
    parked: dict[str, int] = dict(
        connection.execute(
            sa.text(
                """
                select split_part(reason, ':', 1), count(*)
                from irt.deliveries
                where status = 'parked' and tries >= :max_tries
                group by 1
                """
            ),
            {"max_tries": max_tries},
        ).fetchall()
    )
    run_in_force: str | None = connection.execute(
        sa.text("select run_id from irt.in_force_run")
    ).scalar_one_or_none()
    publishing = connection.execute(
        sa.text("select distinct run_id from irt.publishing where ended_at is null")
    )
    return Backlog(
        int(waiting.results),
        max(0.0, float(waiting.seconds)),
        by_status,
        parked,
        run_in_force,
        sorted(publishing.scalars()),
    )
