"""Puts a new run on the scale of the run in force, or says that it is not."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares
from scipy.special import expit

from irt_service.engines.base import Calibration
from irt_service.sessions import ScoringRun
from irt_service.settings import GateSettings

Floats = npt.NDArray[np.float64]

_NODES = np.linspace(-4.0, 4.0, 41)
_WEIGHTS = np.exp(-0.5 * _NODES**2) / np.exp(-0.5 * _NODES**2).sum()
_ROBUST_Z = 2.7  # Huynh & Meyer (2010) screen at 1.645 to 2.7
_NORMAL_IQR = 0.7413  # of a normal's interquartile range is its SD
_DRIFT_THAT_MATTERS = 0.25  # logits


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


@dataclass(frozen=True)
class Curves:
    """Parameters of the same items, in the same order, on one scale; shape (J,)."""

    discrimination: Floats
    difficulty: Floats
    guessing: Floats

    def select(self, keep: npt.NDArray[np.bool_]) -> Curves:
        """Some of the items."""
        return Curves(self.discrimination[keep], self.difficulty[keep], self.guessing[keep])

    def expected(self, slope: float, shift: float) -> Floats:
        """Test characteristic curve at the nodes after a move of the scale."""
        eta = (self.discrimination / slope) * (_NODES[:, None] - (slope * self.difficulty + shift))
        chances: Floats = self.guessing + (1.0 - self.guessing) * expit(eta)
        score: Floats = chances.sum(axis=1)
        return score


def stocking_lord(
    new: Curves, standing: Curves, *, fixed_slope: bool = False
) -> tuple[float, float]:
    """Slope A and shift B that make both test characteristic curves agree, on either scale.

    Symmetric criterion with normal weights on 41 nodes in [-4, 4] (Stocking & Lord, 1983,
    Applied Psychological Measurement 7(2); Kim & Kolen, 2007, on the symmetric form).
    """
    weight = np.sqrt(_WEIGHTS)

    def residuals(point: Floats) -> Floats:
        slope = 1.0 if fixed_slope else math.exp(point[1])
        forth = standing.expected(1.0, 0.0) - new.expected(slope, point[0])
        back = new.expected(1.0, 0.0) - standing.expected(1.0 / slope, -point[0] / slope)
        return np.concatenate([weight * forth, weight * back])

    shift = float(np.mean(standing.difficulty) - np.mean(new.difficulty))
    start = [shift] if fixed_slope else [shift, 0.0]
    found = least_squares(residuals, start, method="lm", xtol=1e-12, ftol=1e-12, gtol=1e-12)
    return (1.0 if fixed_slope else math.exp(found.x[1])), float(found.x[0])


def link_to_run(calibration: Calibration, standing: ScoringRun, gates: GateSettings) -> Scale:
    """Link a new run to the run in force through the items they have in common.

    Items that moved away from the others are screened one at a time, the worst first: by the
    robust z of their difference in difficulty (Huynh & Meyer, 2010), where it is of a size
    that matters. The scale break is declared when too few are left.
    """
    pairs = [
        (position, standing.positions[item])
        for position, item in enumerate(calibration.item_ids)
        if item in standing.positions
    ]
    names = np.array([calibration.item_ids[position] for position, _ in pairs], dtype=object)
    new = _curves(calibration, [position for position, _ in pairs])
    old = _curves(standing, [position for _, position in pairs])
    kept = np.ones(len(pairs), dtype=np.bool_)
    dropped: list[str] = []
    fixed_slope = bool((calibration.discrimination == 1.0).all())
    while kept.sum() >= gates.min_anchors:
        slope, shift = stocking_lord(new.select(kept), old.select(kept), fixed_slope=fixed_slope)
        difference = old.difficulty - (slope * new.difficulty + shift)
        worst = _worst(difference, kept)
        if worst is None:
            return Scale(
                slope,
                shift,
                "stocking-lord",
                {
                    "to_run": standing.run_id,
                    "n_anchors_used": int(kept.sum()),
                    "dropped": dropped,
                    "rmsd_difficulty": float(np.sqrt(np.mean(difference[kept] ** 2))),
                    "rmsd_expected_score": _rmsd(new.select(kept), old.select(kept), slope, shift),
                },
            )
        kept[worst] = False
        dropped.append(str(names[worst]))
    return broken_scale(
        f"{int(kept.sum())} stable items in common with run {standing.run_id}, "
        f"{gates.min_anchors} are needed",
        {"dropped": dropped, "n_common": len(pairs)},
    )


def _curves(source: Calibration | ScoringRun, positions: list[int]) -> Curves:
    return Curves(
        source.discrimination[positions], source.difficulty[positions], source.guessing[positions]
    )


def _worst(difference: Floats, kept: npt.NDArray[np.bool_]) -> int | None:
    """The item furthest from the others, if it is too far."""
    among = difference[kept]
    middle = np.median(among)
    quartiles = np.percentile(among, [25, 75])
    spread = _NORMAL_IQR * (quartiles[1] - quartiles[0])
    distance = np.where(kept, np.abs(difference - middle), -1.0)
    worst = int(np.argmax(distance))
    is_too_far = distance[worst] > max(_ROBUST_Z * spread, _DRIFT_THAT_MATTERS)
    return worst if is_too_far else None


def _rmsd(new: Curves, old: Curves, slope: float, shift: float) -> float:
    """Root mean square difference of the test characteristic curves, per item."""
    difference = (old.expected(1.0, 0.0) - new.expected(slope, shift)) / len(new.difficulty)
    return float(np.sqrt(_WEIGHTS @ difference**2))
