"""Puts a new run on the scale of the run in force, or says that it is not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from irt_service.engines.base import Calibration
from irt_service.errors import InsufficientDataError
from irt_service.linking import Curves, link
from irt_service.sessions import ScoringRun
from irt_service.settings import GateSettings


@dataclass(frozen=True)
class Scale:
    """How a run's own scale relates to the standing one: theta* = slope theta + shift.

    Attributes:
        method: 'first run', 'fixed anchors', 'stocking-lord' and so on, or 'break'.
        details: how it was found and how good it is, for the record.
    """

    slope: float
    shift: float
    method: str
    details: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """The scale as it is stored."""
        return {"A": self.slope, "B": self.shift, "method": self.method, **self.details}


def first_scale() -> Scale:
    """The scale of a first run is the standing one from then on."""
    return Scale(1.0, 0.0, "first run", {})


def own_scale() -> Scale:
    """A part of the bank is calibrated for analysis, on a scale of its own."""
    return Scale(1.0, 0.0, "own scale", {})


def anchored_scale(anchors: int) -> Scale:
    """A run with fixed anchors is on their scale already."""
    return Scale(1.0, 0.0, "fixed anchors", {"n_anchors_used": anchors})


def broken_scale(reason: str, details: dict[str, Any] | None = None) -> Scale:
    """No link is possible: abilities before and after cannot be compared."""
    return Scale(1.0, 0.0, "break", {"reason": reason, **(details or {})})


def rescale(calibration: Calibration, scale: Scale) -> Calibration:
    """Move item parameters, their standard errors and the prior to the standing scale.

    a* = a / A, b* = A b + B, prior N(A mean + B, (A sd)^2) (Kolen & Brennan, 2014, eq. 6.2).
    Fixed items are on the standing scale already, and only runs without them are moved.
    """
    if scale.slope == 1.0 and scale.shift == 0.0:
        return calibration
    slope, shift = scale.slope, scale.shift
    discrimination = calibration.discrimination / slope
    difficulty = slope * calibration.difficulty + shift
    return replace(
        calibration,
        discrimination=discrimination,
        difficulty=difficulty,
        intercept=-discrimination * difficulty,
        se_discrimination=calibration.se_discrimination / slope,
        se_difficulty=calibration.se_difficulty * slope,
        prior_mean=slope * calibration.prior_mean + shift,
        prior_sd=slope * calibration.prior_sd,
    )


def link_to_run(calibration: Calibration, standing: ScoringRun, gates: GateSettings) -> Scale:
    """Link a new run to the run in force through the items they have in common.

    Symmetric Stocking-Lord, drifted items screened; the scale break is declared when too few
    stable ones are left.
    """
    pairs = [
        (position, standing.positions[item])
        for position, item in enumerate(calibration.item_ids)
        if item in standing.positions
    ]
    is_rasch = bool((calibration.discrimination == 1.0).all())
    try:
        found = link(
            _curves(calibration, [position for position, _ in pairs]),
            _curves(standing, [position for _, position in pairs]),
            fewest_kept=gates.min_anchors,
            has_unit_slope=is_rasch,
        )
    except InsufficientDataError as error:
        return broken_scale(
            f"no link to run {standing.run_id}, {error.what}: {error.where}",
            {"n_common": len(pairs)},
        )
    dropped = [
        calibration.item_ids[position]
        for (position, _), is_kept in zip(pairs, found.kept, strict=True)
        if not is_kept
    ]
    return Scale(
        found.slope,
        found.shift,
        found.method.value,
        {
            "to_run": standing.run_id,
            "n_anchors_used": int(found.kept.sum()),
            "dropped": dropped,
            "rmsd_difficulty": float(np.sqrt(np.mean(found.residuals[found.kept] ** 2))),
            "rmsd_expected_score": found.test_rmsd,
        },
    )


def _curves(source: Calibration | ScoringRun, positions: list[int]) -> Curves:
    return Curves(
        source.discrimination[positions], source.difficulty[positions], source.guessing[positions]
    )
