"""EM's step per item, lengthened by the information that the E-step does not have.

Near the maximum EM moves an item by complete^-1 x gradient, Newton's method by (complete -
missing)^-1 x gradient (Dempster, Laird & Rubin, 1977, JRSS B 39(1), eq. 3.15). The missing part of
an item, the posterior variance of its complete-data score (Louis, 1982, JRSS B 44(2), eq. 3.1),
is approximated to first order in theta: the posterior variance at theta times the squared
derivative of the score. That needs no other pass over the students. It decides only where the
next E-step is taken; EM itself decides on convergence.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from irt_service.compiled import compiled

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

MOST_MISSING = 0.9  # share of the information; items that miss more keep EM's step


@compiled
def add_test_information(points: Floats, answered: Floats, theta: Floats, total: Floats) -> None:
    """Add sum over items of n_q a^2 P (1 - P) to `total`, shape (S,)."""
    for j in range(len(points)):
        a = points[j, 0]
        for q in range(len(theta)):
            p = 1.0 / (1.0 + math.exp(-a * theta[q] - points[j, 1]))
            total[q] += answered[j, q] * a * a * p * (1.0 - p)


@compiled
def lengthen(
    points: Floats,
    images: Floats,
    is_free: Mask,
    answered: Floats,
    variance: Floats,
    theta: Floats,
) -> None:
    """Move `images` on from `points`, in place; 2PL items without a prior.

    Args:
        points: a, d, ... before EM's step, (J, 3).
        images: after it, (J, 3); a and d are changed.
        is_free: items that are estimated, (J,).
        answered: expected number of students at each node, (J, S).
        variance: posterior variance of theta of a student at each node, (S,).
        theta: nodes, (S,).
    """
    for j in range(len(points)):
        if not is_free[j]:
            continue
        a = points[j, 0]
        aa = ad = dd = 0.0
        missing_aa = missing_ad = missing_dd = 0.0
        for q in range(len(theta)):
            p = 1.0 / (1.0 + math.exp(-a * theta[q] - points[j, 1]))
            spread = answered[j, q] * p * (1.0 - p)
            aa += spread * theta[q] * theta[q]
            ad += spread * theta[q]
            dd += spread
            # d/dtheta of (u - P) theta and of u - P, squared, expected over u.
            slope = spread * variance[q] * a * a * p * (1.0 - p)
            missing_aa += slope * theta[q] * theta[q] + spread * variance[q]
            missing_ad += slope * theta[q]
            missing_dd += slope
        observed_aa = aa - missing_aa
        observed_ad = ad - missing_ad
        observed_dd = dd - missing_dd
        determinant = observed_aa * observed_dd - observed_ad * observed_ad
        is_safe = missing_aa < MOST_MISSING * aa and missing_dd < MOST_MISSING * dd
        if not (is_safe and determinant > (1.0 - MOST_MISSING) ** 2 * (aa * dd - ad * ad)):
            continue
        a_step = images[j, 0] - points[j, 0]
        d_step = images[j, 1] - points[j, 1]
        a_gradient = aa * a_step + ad * d_step
        d_gradient = ad * a_step + dd * d_step
        images[j, 0] = points[j, 0] + (
            (observed_dd * a_gradient - observed_ad * d_gradient) / determinant
        )
        images[j, 1] = points[j, 1] + (
            (observed_aa * d_gradient - observed_ad * a_gradient) / determinant
        )
