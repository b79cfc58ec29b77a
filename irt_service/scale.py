"""Puts a new run on the scale of the run in force, or says that it is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from irt_service.engines.base import Calibration, Floats, ItemParameters
from irt_service.errors import InsufficientDataError
from irt_service.linking import Curves, Method, link
from irt_service.sessions import ScoringRun
from irt_service.settings import GateSettings

_DIGITS = 4  # of residuals on record


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


def anchored_scale(screening: Scale) -> Scale:
    """A run with fixed anchors is on their scale already.

    Args:
        screening: the link that the anchors were screened by, whose quality is kept.
    """
    constants = {"A": screening.slope, "B": screening.shift, "method": screening.method}
    return Scale(1.0, 0.0, "fixed anchors", {**screening.details, "screening": constants})


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
    base = {
        item: ItemParameters(*(float(values[position]) for values in _parameters(standing)))
        for item, position in standing.positions.items()
    }
    try:
        found = link_to_items(calibration, base, Method.STOCKING_LORD, gates.min_anchors)
    except InsufficientDataError as error:
        common = sum(item in standing.positions for item in calibration.item_ids)
        return broken_scale(
            f"no link to run {standing.run_id}, {error.what}: {error.where}",
            {"n_common": common},
        )
    return replace(found, details={"to_run": standing.run_id, **found.details})


def link_to_items(
    calibration: Calibration, base: Mapping[str, ItemParameters], method: Method, fewest_kept: int
) -> Scale:
    """Link a calibration to items whose parameters on the standing scale are known.

    Items without a usable estimate in the calibration count as dropped.

    Raises:
        InsufficientDataError: fewer than `fewest_kept` items are left after screening.
    """
    curves = _parameters(calibration)
    usable = (curves[0] > 0) & np.isfinite(np.stack(curves)).all(axis=0)
    positions = [
        j for j, item in enumerate(calibration.item_ids) if item in base and bool(usable[j])
    ]
    items = [calibration.item_ids[j] for j in positions]
    is_rasch = bool((calibration.discrimination == 1.0).all())
    found = link(
        Curves(*(values[positions] for values in curves)),
        Curves(
            np.array([base[item].discrimination for item in items]),
            np.array([base[item].difficulty for item in items]),
            np.array([base[item].guessing for item in items]),
        ),
        method,
        fewest_kept=fewest_kept,
        has_unit_slope=is_rasch,
    )
    unusable = [
        item for j, item in enumerate(calibration.item_ids) if item in base and not bool(usable[j])
    ]
    drifted = [item for item, is_kept in zip(items, found.kept, strict=True) if not is_kept]
    return Scale(
        found.slope,
        found.shift,
        found.method.value,
        {
            "n_anchors_used": int(found.kept.sum()),
            "dropped": sorted([*unusable, *drifted]),
            "residuals": dict(zip(items, found.residuals.round(_DIGITS).tolist(), strict=True)),
            "rmsd_difficulty": float(np.sqrt(np.mean(found.residuals[found.kept] ** 2))),
            "rmsd_expected_score": found.test_rmsd,
        },
    )


def _parameters(source: Calibration | ScoringRun) -> tuple[Floats, Floats, Floats]:
    return source.discrimination, source.difficulty, source.guessing
