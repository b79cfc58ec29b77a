"""Calibration runs: their record, item parameters and exclusions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from irt_service.engines.base import Calibration, Exclusion
from irt_service.errors import InvalidInputError
from irt_service.sessions import ScoringRun
from irt_service.store.copying import copy_in
from warehouse.ledger import to_json

DEFAULT_BANK = "all"


@dataclass(frozen=True)
class RunStart:
    """What is known of a run before it is fitted."""

    run_id: str
    bank: str
    model: str
    engine: str
    engine_version: str
    settings: dict[str, Any]
    versions: dict[str, Any]
    fingerprint: str
    window: tuple[datetime, datetime]


@dataclass(frozen=True)
class RunEnd:
    """How a run ended, apart from its items."""

    status: str
    reasons: Sequence[str] = ()
    metrics: dict[str, Any] = field(default_factory=dict)
    model_spec: dict[str, Any] = field(default_factory=dict)
    linking: dict[str, Any] | None = None
    n_persons: int | None = None
    n_items: int | None = None
    n_responses: int | None = None
    log_likelihood: float | None = None
    is_converged: bool | None = None
    iterations: int | None = None
    prior_mean: float | None = None
    prior_sd: float | None = None


def free_run_id(connection: Connection, wanted: str) -> str:
    """`wanted`, or with the first free number behind it."""
    taken: set[str] = set(
        connection.execute(
            sa.text(
                "select run_id from irt.mirt_fit_meta"
                " where run_id = :wanted or starts_with(run_id, :wanted || '-')"
            ),
            {"wanted": wanted},
        ).scalars()
    )
    candidates = (wanted, *(f"{wanted}-{number}" for number in range(2, len(taken) + 3)))
    return next(run_id for run_id in candidates if run_id not in taken)


def start_run(connection: Connection, run: RunStart) -> None:
    """Record a run as running."""
    connection.execute(
        sa.text(
            """
            insert into irt.mirt_fit_meta
                (run_id, bank, model, engine, engine_version, status, settings, versions,
                input_fingerprint, window_start, window_end)
            values
                (:run_id, :bank, :model, :engine, :engine_version, 'running',
                cast(:settings as jsonb), cast(:versions as jsonb), :fingerprint,
                :window_start, :window_end)
            """
        ),
        {
            "run_id": run.run_id,
            "bank": run.bank,
            "model": run.model,
            "engine": run.engine,
            "engine_version": run.engine_version,
            "settings": to_json(run.settings),
            "versions": to_json(run.versions),
            "fingerprint": run.fingerprint,
            "window_start": run.window[0],
            "window_end": run.window[1],
        },
    )


def end_run(connection: Connection, run_id: str, end: RunEnd) -> None:
    """Record how a run ended."""
    connection.execute(
        sa.text(
            """
            update irt.mirt_fit_meta
            set
                status = :status,
                reasons = cast(:reasons as jsonb),
                metrics = cast(:metrics as jsonb),
                model_spec = cast(:model_spec as jsonb),
                linking = cast(:linking as jsonb),
                n_persons = :n_persons,
                n_items = :n_items,
                n_responses = :n_responses,
                log_likelihood = :log_likelihood,
                is_converged = :is_converged,
                iterations = :iterations,
                prior_mean = :prior_mean,
                prior_sd = :prior_sd,
                fitted_at = clock_timestamp(),
                duration_seconds = extract(epoch from clock_timestamp() - started_at)
            where run_id = :run_id
            """
        ),
        {
            **{name: getattr(end, name) for name in RunEnd.__dataclass_fields__},
            "run_id": run_id,
            "reasons": to_json(list(end.reasons)),
            "metrics": to_json(end.metrics),
            "model_spec": to_json(end.model_spec),
            "linking": None if end.linking is None else to_json(end.linking),
        },
    )


def fail_interrupted_runs(connection: Connection) -> list[str]:
    """Mark runs failed that were left running; only for who holds the calibration lock."""
    rows = connection.execute(
        sa.text(
            """
            update irt.mirt_fit_meta
            set
                status = 'failed',
                reasons = '["interrupted: the calibration was killed before it ended"]'
            where status = 'running'
            returning run_id
            """
        )
    )
    return list(rows.scalars())


def write_items(connection: Connection, run_id: str, model: str, calibration: Calibration) -> None:
    """Write a run's item parameters by COPY."""
    columns = {
        "discrimination": calibration.discrimination,
        "difficulty": calibration.difficulty,
        "guessing": calibration.guessing,
        "se_discrimination": calibration.se_discrimination,
        "se_difficulty": calibration.se_difficulty,
        "se_guessing": calibration.se_guessing,
        "cov_discrimination_difficulty": calibration.cov_ab,
    }
    count = len(calibration.item_ids)
    names = ("discrimination", "difficulty", "guessing")
    rows = pa.table(
        {
            "run_id": [run_id] * count,
            "item_id": list(calibration.item_ids),
            "model": [model] * count,
            "params": [_letters(columns, names, j) for j in range(count)],
            "standard_errors": [
                _letters(columns, tuple(f"se_{name}" for name in names), j) for j in range(count)
            ],
            **{
                name: pa.array(values, mask=~np.isfinite(values))
                for name, values in columns.items()
            },
            "n_responses": calibration.n_responses,
            "flags": [to_json(list(flags)) for flags in calibration.flags],
            "version": [run_id] * count,
        }
    )
    copy_in(connection, "irt.mirt_item_params", rows)


def _letters(columns: dict[str, Any], names: tuple[str, ...], j: int) -> str:
    """One item's values under their names on the wire; not estimated is null."""
    values = (float(columns[name][j]) for name in names)
    return to_json(
        {
            letter: value if math.isfinite(value) else None
            for letter, value in zip("abc", values, strict=True)
        }
    )


def write_exclusions(connection: Connection, run_id: str, excluded: Sequence[Exclusion]) -> None:
    """Write which items a run set aside, and why."""
    rows = pa.table(
        {
            "run_id": pa.array([run_id] * len(excluded), pa.string()),
            "item_id": pa.array([one.item_id for one in excluded], pa.string()),
            "reason": pa.array([one.reason for one in excluded], pa.string()),
            "n_responses": pa.array([one.n_responses for one in excluded], pa.int64()),
        }
    )
    copy_in(connection, "irt.excluded_items", rows)


def read_run(connection: Connection, run_id: str) -> Row[Any]:
    """A run's record.

    Raises:
        InvalidInputError: there is no such run.
    """
    row = connection.execute(
        sa.text("select * from irt.mirt_fit_meta where run_id = :run_id"), {"run_id": run_id}
    ).one_or_none()
    if row is None:
        raise InvalidInputError(
            "there is no such run", run_id, "`python -m irt_service runs` lists them"
        )
    return row


def find_equal_runs(connection: Connection, run: RunStart) -> list[str]:
    """Accepted runs of the same responses with the same settings, the latest first."""
    rows = connection.execute(
        sa.text(
            """
            select run_id
            from irt.mirt_fit_meta
            where
                status = 'accepted'
                and bank = :bank
                and model = :model
                and engine = :engine
                and engine_version = :engine_version
                and input_fingerprint = :fingerprint
                and settings = cast(:settings as jsonb)
            order by fitted_at desc
            """
        ),
        {
            "bank": run.bank,
            "model": run.model,
            "engine": run.engine,
            "engine_version": run.engine_version,
            "fingerprint": run.fingerprint,
            "settings": to_json(run.settings),
        },
    )
    return list(rows.scalars())


def read_current_run_id(connection: Connection) -> str | None:
    """The run in force today for the application."""
    run_id: str | None = connection.execute(
        sa.text("select run_id from irt.in_force_run")
    ).scalar_one_or_none()
    return run_id


def read_scoring_run(connection: Connection, run_id: str) -> ScoringRun:
    """Item parameters and prior of a run, items in the order of their ids' bytes."""
    run = read_run(connection, run_id)
    rows = connection.execute(
        sa.text(
            """
            select item_id, discrimination, difficulty, guessing
            from irt.mirt_item_params
            where run_id = :run_id
            order by item_id
            """
        ),
        {"run_id": run_id},
    ).all()
    return ScoringRun(
        run_id,
        run.model,
        run_id,
        {row.item_id: position for position, row in enumerate(rows)},
        np.array([row.discrimination for row in rows], dtype=np.float64),
        np.array([row.difficulty for row in rows], dtype=np.float64),
        np.array([row.guessing for row in rows], dtype=np.float64),
        run.prior_mean,
        run.prior_sd,
    )


def list_runs(connection: Connection, limit: int) -> list[Row[Any]]:
    """Runs, the latest first, with the days they are in force from."""
    return list(
        connection.execute(
            sa.text(
                """
                select
                    run.*,
                    (
                        select max(publication.in_force_from)
                        from irt.publications as publication
                        where
                            publication.run_id = run.run_id
                            and publication.revoked_at is null
                    ) as in_force_from,
                    run.run_id = (select run_id from irt.in_force_run) as is_current
                from irt.mirt_fit_meta as run
                order by run.started_at desc
                limit :limit
                """
            ),
            {"limit": limit},
        )
    )
