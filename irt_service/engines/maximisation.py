"""M-step: damped Newton per item on the expected complete-data log posterior.

For an item with expected n_q students at node theta_q of whom r_q are correct, the function is
sum_q r_q log P_q + (n_q - r_q) log(1 - P_q) + log prior (Bock & Aitkin, 1981, Psychometrika 46,
eqs. 9-12), over a, d and, in the 3PL, g = logit c. Nothing is clamped: a step is only halved
until the function rises.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from irt_service.compiled import compiled
from irt_service.engines.priors import Priors, guessing_prior, slope_prior

Floats = npt.NDArray[np.float64]

MOST_NEWTON_STEPS = 20
MOST_HALVINGS = 30
NEWTON_TOLERANCE = 1e-3  # of the EM tolerance
SMALLEST_PIVOT = 1e-12  # relative; below it a Hessian counts as indefinite
SMALLEST_RIDGE = 1e-3  # relative to the largest curvature
RIDGE_GROWTH = 10.0
ROUNDING = 1e-14  # relative fall of an objective that is rounding, not a fall


class Rule(NamedTuple):
    """Whether a is estimated, and the largest step at which an item counts as done."""

    is_slope_free: bool
    tolerance: float


@compiled
def logistic_objective(
    point: Floats, sums: tuple[float, float], answered: Floats, theta: Floats, priors: Priors
) -> float:
    """Expected log posterior of an item without guessing at (a, d)."""
    value: float = point[0] * sums[1] + point[1] * sums[0] + slope_prior(point[0], priors)[0]
    for q in range(len(theta)):
        eta = point[0] * theta[q] + point[1]
        value -= answered[q] * (max(eta, 0.0) + math.log1p(math.exp(-abs(eta))))
    return value


@compiled
def _logistic_derivatives(
    point: Floats, answered: Floats, theta: Floats, gradient: Floats, hessian: Floats
) -> None:
    """Subtract what n_q contributes: gradient (2,) and hessian (2, 2) are added to."""
    for q in range(len(theta)):
        p = 1.0 / (1.0 + math.exp(-point[0] * theta[q] - point[1]))
        expected = answered[q] * p
        spread = expected * (1.0 - p)
        gradient[0] -= expected * theta[q]
        gradient[1] -= expected
        hessian[0, 0] -= spread * theta[q] * theta[q]
        hessian[0, 1] -= spread * theta[q]
        hessian[1, 1] -= spread
    hessian[1, 0] = hessian[0, 1]


@compiled
def guessing_objective(
    point: Floats, correct: Floats, answered: Floats, theta: Floats, priors: Priors
) -> float:
    """Expected log posterior of an item with guessing at (a, d, logit c)."""
    c = 1.0 / (1.0 + math.exp(-point[2]))
    value = slope_prior(point[0], priors)[0] + guessing_prior(point[2], priors)[0]
    log_rest = math.log1p(-c)
    for q in range(len(theta)):
        eta = point[0] * theta[q] + point[1]
        softplus = max(eta, 0.0) + math.log1p(math.exp(-abs(eta)))
        log_p = math.log(c + (1.0 - c) * math.exp(eta - softplus))
        value += correct[q] * log_p + (answered[q] - correct[q]) * (log_rest - softplus)
    return value


@compiled
def _guessing_derivatives(
    point: Floats,
    correct: Floats,
    answered: Floats,
    theta: Floats,
    gradient: Floats,
    hessian: Floats,
) -> None:
    """Add gradient (3,) and Hessian (3, 3) of the log likelihood at (a, d, logit c).

    With s = logistic(eta): dP/deta = (1 - c) s (1 - s), dP/dg = c (1 - c) (1 - s).
    """
    c = 1.0 / (1.0 + math.exp(-point[2]))
    for q in range(len(theta)):
        s = 1.0 / (1.0 + math.exp(-point[0] * theta[q] - point[1]))
        p = c + (1.0 - c) * s
        fraction = s / p  # share of the correct that knew
        wrong = answered[q] - correct[q]
        by_eta = correct[q] * fraction * (1.0 - c) * (1.0 - s) - wrong * s
        by_logit = correct[q] * (1.0 - s) * c * (1.0 - c) / p - wrong * c
        # Derivatives of log P and log(1 - P) by eta twice, logit twice, and once each.
        p_eta = (1.0 - c) * s * (1.0 - s)
        p_logit = c * (1.0 - c) * (1.0 - s)
        p_eta_eta = p_eta * (1.0 - 2.0 * s)
        p_logit_logit = p_logit * (1.0 - 2.0 * c)
        p_mixed = -c * (1.0 - c) * s * (1.0 - s)
        eta_eta = correct[q] * (p_eta_eta / p - (p_eta / p) ** 2) - wrong * s * (1.0 - s)
        logit_logit = correct[q] * (p_logit_logit / p - (p_logit / p) ** 2) - wrong * c * (1.0 - c)
        mixed = correct[q] * (p_mixed / p - p_eta * p_logit / (p * p))
        gradient[0] += by_eta * theta[q]
        gradient[1] += by_eta
        gradient[2] += by_logit
        hessian[0, 0] += eta_eta * theta[q] * theta[q]
        hessian[0, 1] += eta_eta * theta[q]
        hessian[1, 1] += eta_eta
        hessian[0, 2] += mixed * theta[q]
        hessian[1, 2] += mixed
        hessian[2, 2] += logit_logit
    hessian[1, 0] = hessian[0, 1]
    hessian[2, 0] = hessian[0, 2]
    hessian[2, 1] = hessian[1, 2]


@compiled
def solve_definite(hessian: Floats, gradient: Floats, size: int, step: Floats) -> bool:
    """step = -hessian^-1 gradient if the hessian is negative definite (Cholesky of -hessian)."""
    factor = np.empty((size, size))
    largest = 0.0
    for r in range(size):
        largest = max(largest, -hessian[r, r])
    for r in range(size):
        for c in range(r + 1):
            value = -hessian[r, c]
            for k in range(c):
                value -= factor[r, k] * factor[c, k]
            if r == c:
                if not value > SMALLEST_PIVOT * largest:
                    return False
                factor[r, r] = math.sqrt(value)
            else:
                factor[r, c] = value / factor[c, c]
    for r in range(size):
        value = gradient[r]
        for k in range(r):
            value -= factor[r, k] * step[k]
        step[r] = value / factor[r, r]
    for r in range(size - 1, -1, -1):
        value = step[r]
        for k in range(r + 1, size):
            value -= factor[k, r] * step[k]
        step[r] = value / factor[r, r]
    return True


@compiled
def _derivatives(
    point: Floats,
    sums: tuple[float, float],
    correct: Floats,
    answered: Floats,
    theta: Floats,
    priors: Priors,
    gradient: Floats,
    hessian: Floats,
) -> None:
    """Gradient and Hessian of the expected log posterior of one item, whole 3 x 3."""
    for r in range(len(gradient)):
        gradient[r] = 0.0
        for c in range(len(gradient)):
            hessian[r, c] = 0.0
    if len(correct) > 0:
        _guessing_derivatives(point, correct, answered, theta, gradient, hessian)
        _, slope, curvature = guessing_prior(point[2], priors)
        gradient[2] += slope
        hessian[2, 2] += curvature
    else:
        gradient[0] = sums[1]
        gradient[1] = sums[0]
        _logistic_derivatives(point, answered, theta, gradient, hessian)
    _, slope, curvature = slope_prior(point[0], priors)
    gradient[0] += slope
    hessian[0, 0] += curvature


@compiled
def _objective(
    point: Floats,
    sums: tuple[float, float],
    correct: Floats,
    answered: Floats,
    theta: Floats,
    priors: Priors,
) -> float:
    if len(correct) > 0:
        return guessing_objective(point, correct, answered, theta, priors)
    return logistic_objective(point, sums, answered, theta, priors)


@compiled
def _hold_slope(gradient: Floats, hessian: Floats) -> None:
    """Make the Newton step of a zero."""
    gradient[0] = 0.0
    for r in range(1, len(gradient)):
        hessian[0, r] = 0.0
        hessian[r, 0] = 0.0
    hessian[0, 0] = hessian[1, 1]


@compiled
def maximise_item(
    point: Floats,
    sums: tuple[float, float],
    correct: Floats,
    answered: Floats,
    theta: Floats,
    priors: Priors,
    rule: Rule,
) -> None:
    """Move `point` = (a, d, logit c) to the maximum, in place.

    Args:
        point: start and result, shape (3,).
        sums: expected number correct, and sum of theta over the correct.
        correct: r_q, shape (S,) for an item with guessing, else (0,).
        answered: n_q, shape (S,).
        theta: nodes, shape (S,).
        priors: of a and logit c.
        rule: what is estimated, and how precisely.
    """
    size = 3 if len(correct) > 0 else 2
    gradient = np.empty(3)
    hessian = np.empty((3, 3))
    step = np.empty(3)
    trial = np.empty(3)
    for r in range(3):
        trial[r] = point[r]
    value = _objective(point, sums, correct, answered, theta, priors)
    for _ in range(MOST_NEWTON_STEPS):
        _derivatives(point, sums, correct, answered, theta, priors, gradient, hessian)
        if not rule.is_slope_free:
            _hold_slope(gradient, hessian)
        ridge = SMALLEST_RIDGE * max(abs(hessian[0, 0]), abs(hessian[1, 1]))
        while not solve_definite(hessian, gradient, size, step):
            for r in range(size):
                hessian[r, r] -= ridge
            ridge *= RIDGE_GROWTH
            if not 0.0 < ridge < math.inf:
                return  # without any curvature there is nothing to climb
        scale = 1.0
        for _ in range(MOST_HALVINGS):
            for r in range(size):
                trial[r] = point[r] + scale * step[r]
            reached = _objective(trial, sums, correct, answered, theta, priors)
            if reached >= value - ROUNDING * abs(value):
                break
            scale *= 0.5
        else:
            return
        largest = 0.0
        for r in range(size):
            point[r] = trial[r]
            largest = max(largest, abs(scale * step[r]))
        value = reached
        if largest < rule.tolerance:
            return


@compiled
def maximise_items(
    points: Floats,
    is_free: npt.NDArray[np.bool_],
    sums: Floats,
    correct: Floats,
    answered: Floats,
    theta: Floats,
    priors: Priors,
    rule: Rule,
) -> None:
    """Maximise every free item on its own; shapes as in maximise_item with J in front."""
    nothing = np.empty(0)
    for j in range(len(points)):
        if is_free[j]:
            maximise_item(
                points[j],
                (sums[j, 0], sums[j, 1]),
                correct[j] if len(correct) > 0 else nothing,
                answered[j],
                theta,
                priors,
                rule,
            )


def maximise_common_slope(
    points: Floats,
    is_free: npt.NDArray[np.bool_],
    sums: Floats,
    answered: Floats,
    theta: Floats,
    tolerance: float,
) -> None:
    """1PL: one a for all free items, a d each; Newton on the arrow-shaped Hessian.

    The d are eliminated item by item (Schur complement), so a step costs O(J S).
    """
    free = np.flatnonzero(is_free)
    n, right, moment = answered[free], sums[free, 0], sums[free, 1].sum()

    def objective(a: float, d: Floats) -> float:
        eta = a * theta + d[:, None]
        return float(a * moment + d @ right - (n * np.logaddexp(0.0, eta)).sum())

    a, d = float(points[free[0], 0]), points[free, 1].copy()
    value = objective(a, d)
    for _ in range(MOST_NEWTON_STEPS):
        p = 1.0 / (1.0 + np.exp(-a * theta - d[:, None]))
        expected = n * p
        spread = expected * (1.0 - p)
        d_gradient = right - expected.sum(axis=1)
        d_curvature = spread.sum(axis=1)
        mixed = spread @ theta
        a_gradient = moment - float((expected @ theta).sum()) - mixed @ (d_gradient / d_curvature)
        a_curvature = float((spread @ theta**2).sum()) - mixed @ (mixed / d_curvature)
        a_step = a_gradient / a_curvature
        d_step = (d_gradient - mixed * a_step) / d_curvature
        scale = 1.0
        for _ in range(MOST_HALVINGS):
            reached = objective(a + scale * a_step, d + scale * d_step)
            if reached >= value - ROUNDING * abs(value):
                break
            scale *= 0.5
        a, d, value = a + scale * a_step, d + scale * d_step, reached
        if scale * max(abs(a_step), float(np.abs(d_step).max())) < tolerance:
            break
    points[free, 0] = a
    points[free, 1] = d
