"""Linking constants between two scales, screening of drifted anchors, quality of a link.

theta* = A theta + B takes the new scale to the base scale; a* = a / A, b* = A b + B (Kolen &
Brennan, 2014, Test Equating, Scaling, and Linking, 3rd ed., eqs. 6.2-6.4). A is called slope and
B shift. Criteria are evaluated on 41 equally spaced nodes on [-4, 4].
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from irt_service.errors import InsufficientDataError, InvalidInputError

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

NODES = np.linspace(-4.0, 4.0, 41)
NORMAL_WEIGHTS = np.exp(-0.5 * NODES**2) / np.exp(-0.5 * NODES**2).sum()

FEWEST_COMMON = 2
PRECISION = 1e-13
LARGEST_ROBUST_Z = 2.7  # Huynh & Meyer (2010) screen at 1.645 to 2.7
NORMAL_IQR = 0.7413  # a normal's SD as a share of its interquartile range
DIFFICULTY_DRIFT = 0.25  # logits; a smaller difference never drops an anchor
DISCRIMINATION_DRIFT = math.log(1.35)  # of the ratio of discriminations, likewise


class Method(StrEnum):
    """How the constants are found."""

    STOCKING_LORD = "stocking-lord"
    HAEBARA = "haebara"
    MEAN_SIGMA = "mean-sigma"
    MEAN_MEAN = "mean-mean"


@dataclass(frozen=True)
class Curves:
    """Parameters of the same items in the same order on one scale, shape (J,) each."""

    discrimination: Floats
    difficulty: Floats
    guessing: Floats

    def __post_init__(self) -> None:
        """Refuse what has no curve."""
        values = (self.discrimination, self.difficulty, self.guessing)
        if len({value.shape for value in values}) > 1:
            raise InvalidInputError("item parameters have unequal lengths")
        if not all(np.isfinite(value).all() for value in values):
            raise InvalidInputError(
                "item parameters must be finite", remedy="leave items without an estimate out"
            )

    def select(self, keep: Mask) -> Curves:
        """Some of the items."""
        return Curves(self.discrimination[keep], self.difficulty[keep], self.guessing[keep])

    def moved(self, slope: float, shift: float) -> Curves:
        """The same items on the scale theta* = slope theta + shift."""
        return Curves(self.discrimination / slope, slope * self.difficulty + shift, self.guessing)

    def probabilities(self) -> Floats:
        """P(correct) at NODES, shape (41, J)."""
        eta = self.discrimination * (NODES[:, None] - self.difficulty)
        chances: Floats = self.guessing + (1.0 - self.guessing) * expit(eta)
        return chances


@dataclass(frozen=True)
class Link:
    """Constants and how well they fit.

    Attributes:
        slope: A.
        shift: B.
        method: how they were found.
        residuals: base difficulty minus moved new difficulty, per item given, (J,).
        kept: which items the constants rest on, (J,).
        curve_rmsd: per item, root mean squared difference of the moved curve, (J,).
        test_rmsd: that of the test characteristic curves of the kept items, divided by their
            number.
    """

    slope: float
    shift: float
    method: Method
    residuals: Floats
    kept: Mask
    curve_rmsd: Floats
    test_rmsd: float


def link_constants(
    new: Curves,
    base: Curves,
    method: Method = Method.STOCKING_LORD,
    *,
    is_symmetric: bool = True,
    weights: Floats = NORMAL_WEIGHTS,
    has_unit_slope: bool = False,
) -> tuple[float, float]:
    """Slope A and shift B from items that both scales hold.

    Stocking & Lord (1983, Applied Psychological Measurement 7(2), eq. 10) compares test
    characteristic curves, Haebara (1980, Japanese Psychological Research 22(3)) item curves;
    the symmetric forms add the same comparison on the new scale (Kim & Kolen, 2007). Mean-sigma
    is Marco (1977), mean-mean Loyd & Hoover (1980).

    Args:
        new: the items on the scale that moves.
        base: the same items on the scale that stays.
        method: one of Method.
        is_symmetric: compare on both scales (curve methods).
        weights: of NODES (curve methods), shape (41,).
        has_unit_slope: hold A at 1, for Rasch scales.

    Raises:
        InvalidInputError: the items do not correspond.
        InsufficientDataError: too few items, or discriminations of opposite sign.
    """
    n_items = len(new.difficulty)
    if n_items != len(base.difficulty):
        raise InvalidInputError(
            "both scales must hold the same items", f"{n_items} and {len(base.difficulty)}"
        )
    if n_items < (1 if has_unit_slope else FEWEST_COMMON):
        raise InsufficientDataError(
            "too few common items for a link", str(n_items), "keep more anchors on both forms"
        )
    slope = _start_slope(new, base, method, has_unit_slope)
    shift = float(base.difficulty.mean() - slope * new.difficulty.mean())
    if method in {Method.MEAN_SIGMA, Method.MEAN_MEAN}:
        return slope, shift
    by_item = method is Method.HAEBARA
    root = np.sqrt(weights)[:, None]
    base_curves, new_curves = base.probabilities(), new.probabilities()

    def differences(point: Floats) -> Floats:
        slope = 1.0 if has_unit_slope else math.exp(point[1])
        parts = [base_curves - new.moved(slope, point[0]).probabilities()]
        if is_symmetric:
            back = base.moved(1.0 / slope, -point[0] / slope)
            parts.append(new_curves - back.probabilities())
        sums = [root * (part if by_item else part.sum(axis=1, keepdims=True)) for part in parts]
        return np.concatenate([part.ravel() for part in sums])

    # 0.3 s that no command waits for but a calibration that links.
    from scipy.optimize import least_squares  # noqa: PLC0415

    start = [shift] if has_unit_slope else [shift, math.log(slope)]
    found = least_squares(
        differences, start, method="lm", xtol=PRECISION, ftol=PRECISION, gtol=PRECISION
    )
    return (1.0 if has_unit_slope else math.exp(found.x[1])), float(found.x[0])


def link(
    new: Curves,
    base: Curves,
    method: Method = Method.STOCKING_LORD,
    *,
    fewest_kept: int = FEWEST_COMMON,
    has_unit_slope: bool = False,
    is_screened: bool = True,
) -> Link:
    """Link, dropping drifted items one at a time, the worst first.

    An item has drifted when, after linking with those still kept, its difference in difficulty
    (or in log discrimination) lies more than 2.7 robust SDs from their median (Huynh & Meyer,
    2010, Practical Assessment 15(2)) and is large enough to matter.

    Raises:
        InvalidInputError: the items do not correspond.
        InsufficientDataError: fewer than `fewest_kept` items are left.
    """
    kept = np.ones(len(new.difficulty), np.bool_)
    while True:
        if kept.sum() < fewest_kept:
            raise InsufficientDataError(
                "too few stable items in common",
                f"{int(kept.sum())} of {len(kept)} kept, {fewest_kept} needed",
                "look at the drifted items; without more of them the scales cannot be compared",
            )
        slope, shift = link_constants(
            new.select(kept), base.select(kept), method, has_unit_slope=has_unit_slope
        )
        worst = _worst(new.moved(slope, shift), base, kept) if is_screened else None
        if worst is None:
            break
        kept[worst] = False
    moved = new.moved(slope, shift)
    gap = base.probabilities() - moved.probabilities()
    return Link(
        slope,
        shift,
        method,
        base.difficulty - moved.difficulty,
        kept,
        np.sqrt(NORMAL_WEIGHTS @ gap**2),
        float(np.sqrt(NORMAL_WEIGHTS @ gap[:, kept].mean(axis=1) ** 2)),
    )


def _start_slope(new: Curves, base: Curves, method: Method, has_unit_slope: bool) -> float:
    """A by mean-mean or mean-sigma."""
    if has_unit_slope:
        return 1.0
    if method is Method.MEAN_SIGMA:
        spread = float(new.difficulty.std())
        slope = float(base.difficulty.std()) / spread if spread > 0 else 0.0
    else:
        slope = float(new.discrimination.mean() / base.discrimination.mean())
    if not slope > 0 or not math.isfinite(slope):
        raise InsufficientDataError(
            "the common items determine no slope",
            f"A would be {slope:.3g}",
            "keep items of positive discrimination and different difficulty",
        )
    return slope


def _worst(moved: Curves, base: Curves, kept: Mask) -> int | None:
    """The kept item that lies furthest from the others, if it is too far."""
    by_difficulty = _excess(base.difficulty - moved.difficulty, kept, DIFFICULTY_DRIFT)
    is_positive = (moved.discrimination > 0) & (base.discrimination > 0)
    ratio = np.full(len(kept), np.inf)
    ratio[is_positive] = np.log(
        base.discrimination[is_positive] / moved.discrimination[is_positive]
    )
    excess = np.maximum(by_difficulty, _excess(ratio, kept, DISCRIMINATION_DRIFT))
    worst = int(np.argmax(excess))
    return worst if excess[worst] > 1.0 else None


def _excess(difference: Floats, kept: Mask, matters: float) -> Floats:
    """Distance from the median as a multiple of what is tolerated; 0 for dropped items."""
    among = difference[kept & np.isfinite(difference)]
    if not len(among):
        return np.zeros(len(kept))
    low, middle, high = np.percentile(among, [25, 50, 75])
    tolerated = max(LARGEST_ROBUST_Z * NORMAL_IQR * float(high - low), matters)
    return np.where(kept, np.abs(difference - middle) / tolerated, 0.0)
