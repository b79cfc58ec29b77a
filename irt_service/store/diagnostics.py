"""What a calibration is judged by: group labels and earlier runs in, findings out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from irt_service.comparisons import BASELINE, PREVIOUS, Comparison, RunItems
from irt_service.diagnose import Diagnosis
from irt_service.errors import InvalidInputError
from irt_service.groupings import Grouping
from irt_service.options import NotAnswered
from irt_service.store import runs
from irt_service.store.copying import copy_in, driver
from irt_service.store.responses import Bank

_ITEMS = sa.text(
    """
    select
        item_id,
        discrimination,
        difficulty,
        guessing,
        se_discrimination,
        se_difficulty,
        cov_discrimination_difficulty,
        n_responses
    from irt.mirt_item_params
    where run_id = :run_id
    order by item_id
    """
)


def write_diagnosis(connection: Connection, run_id: str, diagnosis: Diagnosis) -> None:
    """Write a run's findings by COPY."""
    for name, table in (
        ("item_fit", diagnosis.item_fit),
        ("local_dependence", diagnosis.local_dependence),
        ("person_fit", diagnosis.person_fit),
        ("item_dif", diagnosis.dif),
        ("item_drift", diagnosis.drift),
    ):
        rows = table.append_column("run_id", pa.array([run_id] * table.num_rows, pa.string()))
        copy_in(connection, f"irt.{name}", rows)


def read_groupings(connection: Connection) -> list[Grouping]:
    """The groups that students are labelled with; none where no profile has labels.

    A label that is a list or an object names no group.
    """
    has_labels: bool = connection.execute(
        sa.text(
            """
            select exists (
                select 1
                from pg_catalog.pg_attribute
                where
                    attrelid = to_regclass('analytics.dim_students')
                    and attname = 'group_labels'
                    and not attisdropped
            )
            """
        )
    ).scalar_one()
    if not has_labels:
        return []
    rows = connection.execute(
        sa.text(
            """
            select
                labels.key as grouping,
                labels.value #>> '{}' as group_name,
                array_agg(students.student_id) as student_ids
            from analytics.dim_students as students
            cross join lateral jsonb_each(
                case
                    when jsonb_typeof(students.group_labels) = 'object'
                        then students.group_labels
                end
            ) as labels
            where jsonb_typeof(labels.value) in ('string', 'number', 'boolean')
            group by labels.key, labels.value #>> '{}'
            """
        )
    )
    groups: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        groups.setdefault(row.grouping, {})[row.group_name] = row.student_ids
    return [Grouping(name, members) for name, members in sorted(groups.items())]


def read_comparisons(connection: Connection, run: runs.RunStart) -> list[Comparison]:
    """The accepted run of the bank and model before this one, and the bank's baseline."""
    compared = {PREVIOUS: _previous_run(connection, run), BASELINE: _baseline(connection, run)}
    found = {name: run_id for name, run_id in compared.items() if run_id is not None}
    shared = _count_shared(connection, run, sorted(set(found.values())))
    return [
        Comparison(name, run_id, _read_items(connection, run_id), shared[run_id])
        for name, run_id in found.items()
    ]


def _previous_run(connection: Connection, run: runs.RunStart) -> str | None:
    run_id: str | None = connection.execute(
        sa.text(
            """
            select run_id
            from irt.mirt_fit_meta
            where status = 'accepted' and bank = :bank and model = :model and run_id <> :run_id
            order by fitted_at desc
            limit 1
            """
        ),
        {"bank": run.bank, "model": run.model, "run_id": run.run_id},
    ).scalar_one_or_none()
    return run_id


def _baseline(connection: Connection, run: runs.RunStart) -> str | None:
    run_id: str | None = connection.execute(
        sa.text(
            """
            select baseline.run_id
            from irt.pinned_baseline as baseline
            inner join irt.mirt_fit_meta as run on baseline.run_id = run.run_id
            where baseline.bank = :bank and run.model = :model
            """
        ),
        {"bank": run.bank, "model": run.model},
    ).scalar_one_or_none()
    return run_id


def _read_items(connection: Connection, run_id: str) -> RunItems:
    run = runs.read_run(connection, run_id)
    rows = connection.execute(_ITEMS, {"run_id": run_id}).all()
    item_ids, *columns = zip(*rows, strict=True)
    # A run that was stored before there were diagnostics has none.
    shared = (run.metrics.get("diagnostics") or {}).get("scale_covariance")
    a, b, c, se_a, se_b, cov_ab, counts = np.array(columns, dtype=np.float64)
    return RunItems(
        tuple(item_ids),
        a,
        b,
        c,
        se_a,
        se_b,
        cov_ab,
        counts,
        run.prior_mean,
        run.prior_sd,
        None if shared is None else np.array(shared),
    )


def _count_shared(
    connection: Connection, run: runs.RunStart, run_ids: Sequence[str]
) -> dict[str, dict[str, int]]:
    """Responses per item inside the look-backs of both this run and an earlier one."""
    windows = {run_id: _overlap(connection, run, run_id) for run_id in run_ids}
    shared: dict[str, dict[str, int]] = {run_id: {} for run_id in run_ids}
    bank = Bank.parse(run.bank, NotAnswered(run.settings["not_answered"]))
    for run_id, (start, end) in windows.items():
        if start >= end:
            continue
        with driver(connection).cursor() as cursor:
            cursor.execute(
                f"""
                select item_id, count(*)
                from {bank.responses} as responses
                where answered_at >= %(start)s and answered_at < %(end)s {bank.condition}
                group by item_id
                """,  # noqa: S608 - constants
                {"start": start, "end": end, "bank": bank.value},
            )
            shared[run_id] = dict(cursor.fetchall())
    return shared


def _overlap(connection: Connection, run: runs.RunStart, run_id: str) -> tuple[datetime, datetime]:
    earlier = runs.read_run(connection, run_id)
    start, end = run.window
    return max(start, earlier.window_start or start), min(end, earlier.window_end or end)


def pin_baseline(connection: Connection, run_id: str) -> str:
    """Measure drift of the run's bank against it from now on; returns the bank.

    Raises:
        InvalidInputError: no such run, or one that was not accepted.
    """
    run = runs.read_run(connection, run_id)
    if run.status != "accepted":
        raise InvalidInputError(
            f"a run that was {run.status} is no baseline",
            run_id,
            "pin an accepted one, see `python -m irt_service runs`",
        )
    connection.execute(
        sa.text("insert into irt.baselines (run_id, bank) values (:run_id, :bank)"),
        {"run_id": run_id, "bank": run.bank},
    )
    return str(run.bank)
