"""A calibration held against earlier ones: drift of its items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from irt_service.columns import Findings, numbers, tally_severity, texts_or_null, whole_numbers
from irt_service.diagnostics.drift import Parameters, drift
from irt_service.engines.base import Calibration
from irt_service.errors import InsufficientDataError
from irt_service.linking import Curves, Method, link

Floats = npt.NDArray[np.float64]

PREVIOUS = "previous"
BASELINE = "baseline"


@dataclass(frozen=True)
class RunItems:
    """What a run found, on the scale that it is stored on; shape (J,) each, NaN for null.

    Attributes:
        scale_covariance: see diagnostics.drift.Parameters; None where anchors held the scale.
    """

    item_ids: tuple[str, ...]
    discrimination: Floats
    difficulty: Floats
    guessing: Floats
    se_discrimination: Floats
    se_difficulty: Floats
    cov_ab: Floats
    n_responses: Floats
    prior_mean: float
    prior_sd: float
    scale_covariance: Floats | None

    @staticmethod
    def of(calibration: Calibration, scale_covariance: Floats | None) -> RunItems:
        """Those of a calibration."""
        return RunItems(
            calibration.item_ids,
            calibration.discrimination,
            calibration.difficulty,
            calibration.guessing,
            calibration.se_discrimination,
            calibration.se_difficulty,
            calibration.cov_ab,
            calibration.n_responses.astype(np.float64),
            calibration.prior_mean,
            calibration.prior_sd,
            scale_covariance,
        )

    def curves(self, at: Sequence[int]) -> Curves:
        """The items at these positions."""
        return Curves(self.discrimination[at], self.difficulty[at], self.guessing[at])

    def parameters(self, at: Sequence[int], slope: float = 1.0, shift: float = 0.0) -> Parameters:
        """The items at these positions on the scale theta* = slope theta + shift."""
        return Parameters(
            self.discrimination[at] / slope,
            slope * self.difficulty[at] + shift,
            (self.se_discrimination[at] / slope) ** 2,
            (self.se_difficulty[at] * slope) ** 2,
            self.cov_ab[at],
            self.n_responses[at],
            slope * self.prior_mean + shift,
            slope * self.prior_sd,
            self.scale_covariance,
        )


@dataclass(frozen=True)
class Comparison:
    """An earlier run to measure drift against.

    Attributes:
        name: PREVIOUS or BASELINE.
        shared: responses per item that lie in the look-backs of both runs.
    """

    name: str
    run_id: str
    items: RunItems
    shared: Mapping[str, int]


COLUMNS = pa.schema(
    [
        ("comparison", pa.string()),
        ("compared_run_id", pa.string()),
        ("item_id", pa.string()),
        ("n_common", pa.int64()),
        ("delta_discrimination", pa.float64()),
        ("delta_difficulty", pa.float64()),
        ("se_delta_discrimination", pa.float64()),
        ("se_delta_difficulty", pa.float64()),
        ("statistic", pa.float64()),
        ("df", pa.int64()),
        ("p", pa.float64()),
        ("q", pa.float64()),
        ("severity", pa.string()),
        ("reason", pa.string()),
    ]
)


def drift_of_comparisons(
    items: RunItems, comparisons: Sequence[Comparison], fewest_common: int
) -> Findings:
    """Drift of the items that each earlier run has too, on this run's scale.

    The earlier run is moved to this run's scale first (symmetric Stocking-Lord, drifted items
    screened), because two runs need not share one: a bank's own scale, a declared break.

    Args:
        items: of the run in question.
        comparisons: earlier runs.
        fewest_common: stable items in common that a link needs.
    """
    tables, summary = [], []
    for comparison in comparisons:
        table, found = _drift(items, comparison, fewest_common)
        tables.append(table)
        summary.append(
            {"comparison": comparison.name, "compared_run_id": comparison.run_id, **found}
        )
    return Findings(pa.concat_tables([COLUMNS.empty_table(), *tables]), summary)


def _drift(
    items: RunItems, comparison: Comparison, fewest_common: int
) -> tuple[pa.Table, dict[str, Any]]:
    earlier = comparison.items
    place = {item: j for j, item in enumerate(earlier.item_ids)}
    at = [j for j, item in enumerate(items.item_ids) if item in place]
    there = [place[items.item_ids[j]] for j in at]
    has_unit_slope = bool((items.discrimination == 1.0).all())
    try:
        found = link(
            earlier.curves(there),
            items.curves(at),
            Method.STOCKING_LORD,
            fewest_kept=fewest_common,
            has_unit_slope=has_unit_slope,
        )
    except InsufficientDataError as error:
        return COLUMNS.empty_table(), {"n_common": len(at), "reason": str(error)}
    names = [items.item_ids[j] for j in at]
    shared = np.array([comparison.shared.get(name, 0) for name in names], dtype=np.float64)
    new = items.parameters(at)
    old = earlier.parameters(there, found.slope, found.shift)
    shared = np.minimum(shared, np.minimum(new.n_responses, old.n_responses))
    result = drift(new, old, shared)
    count = len(at)
    table = pa.table(
        {
            "comparison": pa.array([comparison.name] * count, pa.string()),
            "compared_run_id": pa.array([comparison.run_id] * count, pa.string()),
            "item_id": pa.array(names, pa.string()),
            "n_common": whole_numbers(shared),
            "delta_discrimination": numbers(result.delta_a),
            "delta_difficulty": numbers(result.delta_b),
            "se_delta_discrimination": numbers(result.se_delta_a),
            "se_delta_difficulty": numbers(result.se_delta_b),
            "statistic": numbers(result.statistic),
            "df": whole_numbers(result.df),
            "p": numbers(result.p),
            "q": numbers(result.q),
            "severity": texts_or_null(result.severity),
            "reason": texts_or_null(result.reason),
        },
        schema=COLUMNS,
    )
    return table, {
        "n_common": count,
        "A": found.slope,
        "B": found.shift,
        "rmsd_expected_score": found.test_rmsd,
        **tally_severity(result.severity),
    }
