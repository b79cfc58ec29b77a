"""Puts a new run on the scale of the run in force, or says that it is not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from irt_service.engines.base import Calibration
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


def common_items(calibration: Calibration, standing: ScoringRun) -> list[tuple[int, int]]:
    """Positions of the items that both runs have, in the new run and in the standing one."""
    return [
        (position, standing.positions[item])
        for position, item in enumerate(calibration.item_ids)
        if item in standing.positions
    ]


def link_to_run(calibration: Calibration, standing: ScoringRun, gates: GateSettings) -> Scale:
    """Link a new run to the run in force through the items they have in common."""
    common = common_items(calibration, standing)
    if len(common) < gates.min_anchors:
        return broken_scale(
            f"{len(common)} items in common with run {standing.run_id}, "
            f"{gates.min_anchors} are needed"
        )
    return broken_scale("not linked", {"n_common": len(common)})
