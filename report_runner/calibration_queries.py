"""What a calibration report reads. Tables of diagnostics that are absent give no rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from report_runner.records import Row

_RUN = text(
    """
    select runs.*, publications.in_force_from
    from irt.mirt_fit_meta as runs
    left join lateral (
        -- As text: the first run is in force from -infinity on.
        select cast(max(found.in_force_from) as text) as in_force_from
        from irt.publications as found
        where found.run_id = runs.run_id and found.revoked_at is null
    ) as publications on true
    where
        runs.run_id = coalesce(cast(:run_id as text), (
            select latest.run_id
            from irt.mirt_fit_meta as latest
            where latest.status = 'accepted'
            order by latest.fitted_at desc, latest.run_id
            limit 1
        ))
    """
)

_ITEMS = """
    select
        item_id, discrimination, difficulty, guessing, se_discrimination, se_difficulty,
        se_guessing, n_responses, flags
    from irt.mirt_item_params
    where run_id = :run_id
    order by item_id
"""

_ABILITIES = """
    select distinct on (user_id) theta
    from irt.mirt_ability
    where run_id = :run_id
    order by user_id, effective_at desc, fitted_at desc, id desc
"""

_EXCLUDED = """
    select item_id, reason, n_responses
    from irt.excluded_items
    where run_id = :run_id
    order by item_id
"""

# table -> rows of the run
_DIAGNOSTICS: Mapping[str, str] = {
    "item_fit": "select * from irt.item_fit where run_id = :run_id order by item_id",
    "item_dif": """
        select * from irt.item_dif
        where run_id = :run_id and severity in ('minor', 'moderate', 'severe')
        order by abs(delta_difficulty) desc nulls last, item_id
    """,
    "item_drift": """
        select drift.*, compared.difficulty as compared_difficulty, now.difficulty
        from irt.item_drift as drift
        inner join irt.mirt_item_params as now
            on drift.run_id = now.run_id and drift.item_id = now.item_id
        left join irt.mirt_item_params as compared
            on drift.compared_run_id = compared.run_id and drift.item_id = compared.item_id
        where drift.run_id = :run_id
        order by abs(drift.delta_difficulty) desc nulls last, drift.item_id
    """,
    "local_dependence": """
        select * from irt.local_dependence where run_id = :run_id order by abs(q3) desc limit 20
    """,
}


@dataclass(frozen=True)
class CalibrationRecord:
    """The rows of one run."""

    run: Row
    items: Sequence[Row]
    abilities: Sequence[float]
    excluded: Sequence[Row]
    diagnostics: Mapping[str, Sequence[Row]]


def read_calibration(connection: Connection, run_id: str | None) -> CalibrationRecord | None:
    """Return the run asked for, else the latest accepted one; None when there is none."""
    run = connection.execute(_RUN, {"run_id": run_id}).mappings().one_or_none()
    if run is None:
        return None

    def rows(statement: str) -> list[Row]:
        found = connection.execute(text(statement), {"run_id": run["run_id"]})
        return [dict(row) for row in found.mappings()]

    return CalibrationRecord(
        run=dict(run),
        items=rows(_ITEMS),
        abilities=[row["theta"] for row in rows(_ABILITIES)],
        excluded=rows(_EXCLUDED),
        diagnostics={
            table: rows(statement) if _exists(connection, table) else []
            for table, statement in _DIAGNOSTICS.items()
        },
    )


def _exists(connection: Connection, table: str) -> bool:
    found: Any = connection.execute(
        text("select to_regclass(:name)"), {"name": f"irt.{table}"}
    ).scalar_one()
    return found is not None
