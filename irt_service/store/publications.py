"""The log of publications and what is about to be published."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from irt_service.in_force import Publication, Span, spans_in_force
from warehouse.locks import ABILITIES_LOCK, hold


def share_scoring(connection: Connection) -> None:
    """Say that this transaction scores; waits while somebody scores in bulk."""
    hold(connection, ABILITIES_LOCK, is_shared=True)


def own_scoring(connection: Connection) -> None:
    """Wait until nobody scores and keep others from it until this transaction ends."""
    hold(connection, ABILITIES_LOCK)


def read_publications(connection: Connection) -> list[Publication]:
    """The entries that are not revoked, in the order in which they were written."""
    rows = connection.execute(
        sa.text(
            """
            select run_id, in_force_from
            from irt.publications
            where revoked_at is null
            order by publication_id
            """
        )
    )
    return [Publication(row.run_id, row.in_force_from) for row in rows]


def read_publishing(connection: Connection) -> list[Publication]:
    """The runs about to come into force."""
    rows = connection.execute(
        sa.text(
            """
            select run_id, in_force_from
            from irt.publishing
            where ended_at is null
            order by publishing_id
            """
        )
    )
    return [Publication(row.run_id, row.in_force_from) for row in rows]


def read_spans(connection: Connection) -> list[Span]:
    """The spans that sessions are scored for: in force, and about to be."""
    coming = [
        Span(publication.run_id, publication.in_force_from, None)
        for publication in read_publishing(connection)
    ]
    return spans_in_force(read_publications(connection)) + coming


def begin_publishing(connection: Connection, coming: Sequence[Publication]) -> None:
    """Announce runs; an earlier announcement was left by a process that was killed."""
    end_publishing(connection)
    for publication in coming:
        connection.execute(
            sa.text("insert into irt.publishing (run_id, in_force_from) values (:run_id, :day)"),
            {"run_id": publication.run_id, "day": publication.in_force_from},
        )


def end_publishing(connection: Connection) -> None:
    """Withdraw every announcement."""
    connection.execute(
        sa.text("update irt.publishing set ended_at = clock_timestamp() where ended_at is null")
    )


def append_publication(connection: Connection, publication: Publication) -> None:
    """Put a run in force from a local day on."""
    connection.execute(
        sa.text("insert into irt.publications (run_id, in_force_from) values (:run_id, :day)"),
        {"run_id": publication.run_id, "day": publication.in_force_from},
    )


def revoke_latest(connection: Connection) -> None:
    """Take the latest entry back."""
    connection.execute(
        sa.text(
            """
            update irt.publications
            set revoked_at = clock_timestamp()
            where publication_id = (select publication_id from irt.in_force_run)
            """
        )
    )


def day_after_last_build(connection: Connection) -> date | None:
    """The first day that no mart has been built for; None before the first build."""
    last: date | None = connection.execute(
        sa.text("select max(as_of_date) from ops.model_builds")
    ).scalar_one()
    return None if last is None else last + timedelta(days=1)


def read_build_timezone(connection: Connection) -> str | None:
    """The zone whose days the marts were last built in; None before the first build."""
    zone: str | None = connection.execute(
        sa.text(
            """
            select settings ->> 'reporting_timezone'
            from ops.model_builds
            where settings ? 'reporting_timezone'
            order by built_at desc
            limit 1
            """
        )
    ).scalar_one_or_none()
    return zone


def is_revoked(connection: Connection, run_id: str) -> bool:
    """Whether the run was in force and was taken back."""
    found: bool = connection.execute(
        sa.text(
            """
            select coalesce(bool_and(revoked_at is not null), false)
            from irt.publications
            where run_id = :run_id
            """
        ),
        {"run_id": run_id},
    ).scalar_one()
    return found
