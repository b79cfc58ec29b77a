"""Calibrations that clients of the HTTP service sent and poll for."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from irt_service.store.erasures import read_erased
from warehouse.ledger import to_json


def start(connection: Connection, run_id: str, org_id: str | None) -> None:
    """Record one as running, and forget those that ended more than a day ago."""
    connection.execute(
        sa.text(
            """
            delete from irt.requested_runs
            where coalesce(ended_at, alive_at) < clock_timestamp() - interval '1 day'
            """
        )
    )
    connection.execute(
        sa.text("insert into irt.requested_runs (run_id, org_id) values (:run_id, :org_id)"),
        {"run_id": run_id, "org_id": org_id},
    )


def keep_alive(connection: Connection, run_id: str) -> None:
    """Say that somebody still works on it."""
    connection.execute(
        sa.text(
            "update irt.requested_runs set alive_at = clock_timestamp() where run_id = :run_id"
        ),
        {"run_id": run_id},
    )


def succeed(connection: Connection, run_id: str, result: dict[str, Any]) -> None:
    """Keep the answer, without students who were erased while it was worked out."""
    abilities = result.get("abilities") or []
    erased = read_erased(connection, [str(one.get("user_id")) for one in abilities])
    if erased:
        kept = [one for one in abilities if one.get("user_id") not in erased]
        result = {**result, "abilities": kept}
    connection.execute(
        sa.text(
            """
            update irt.requested_runs
            set status = 'succeeded', ended_at = clock_timestamp(), result = cast(:result as jsonb)
            where run_id = :run_id
            """
        ),
        {"run_id": run_id, "result": to_json(result)},
    )


def fail(connection: Connection, run_id: str, error: str, detail: str) -> None:
    """Keep why there is no answer."""
    connection.execute(
        sa.text(
            """
            update irt.requested_runs
            set status = 'failed', ended_at = clock_timestamp(), error = :error, detail = :detail
            where run_id = :run_id and status = 'running'
            """
        ),
        {"run_id": run_id, "error": error, "detail": detail},
    )


def read(connection: Connection, run_id: str, alive_seconds: float) -> Row[Any] | None:
    """A requested run; `is_lost` when it is running and nobody has worked on it for so long."""
    return connection.execute(
        sa.text(
            """
            select
                *,
                status = 'running'
                and alive_at < clock_timestamp() - make_interval(secs => :seconds) as is_lost
            from irt.requested_runs
            where run_id = :run_id
            """
        ),
        {"run_id": run_id, "seconds": alive_seconds},
    ).one_or_none()
