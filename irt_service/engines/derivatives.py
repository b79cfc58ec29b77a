"""Derivatives of log P(u | theta) by a, d and logit c, per item, grade and node.

With s = logistic(a theta + d) and P = c + (1 - c) s:
dP/d eta = (1 - c) s (1 - s), dP/d logit c = c (1 - c) (1 - s); chain rule from there.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from irt_service.compiled import compiled

Floats = npt.NDArray[np.float64]

PARAMETERS = 3  # a, d, logit c


@compiled
def fill_scores(bank: Floats, theta: Floats, scores: Floats) -> None:
    """First derivatives, shape (2 J, 3, S): scores[2 j + u, parameter, q]."""
    for j in range(len(bank)):
        c = bank[j, 2]
        for q in range(len(theta)):
            s = 1.0 / (1.0 + math.exp(-bank[j, 0] * theta[q] - bank[j, 1]))
            p = c + (1.0 - c) * s
            knew = s / p if p > 0.0 else 1.0
            by_eta = knew * (1.0 - c) * (1.0 - s)
            scores[2 * j, 0, q] = -s * theta[q]
            scores[2 * j, 1, q] = -s
            scores[2 * j, 2, q] = -c
            scores[2 * j + 1, 0, q] = by_eta * theta[q]
            scores[2 * j + 1, 1, q] = by_eta
            scores[2 * j + 1, 2, q] = c * (1.0 - c) * (1.0 - s) / p if c > 0.0 else 0.0


@compiled
def fill_curvatures(bank: Floats, theta: Floats, curvatures: Floats) -> None:
    """Second derivatives by (eta eta), (eta logit), (logit logit): (2 J, 3, S)."""
    for j in range(len(bank)):
        c = bank[j, 2]
        for q in range(len(theta)):
            s = 1.0 / (1.0 + math.exp(-bank[j, 0] * theta[q] - bank[j, 1]))
            curvatures[2 * j, 0, q] = -s * (1.0 - s)
            curvatures[2 * j, 1, q] = 0.0
            curvatures[2 * j, 2, q] = -c * (1.0 - c)
            if c > 0.0:
                p = c + (1.0 - c) * s
                p_eta = (1.0 - c) * s * (1.0 - s)
                p_logit = c * (1.0 - c) * (1.0 - s)
                p_mixed = -c * (1.0 - c) * s * (1.0 - s)
                curvatures[2 * j + 1, 0, q] = p_eta * (1.0 - 2.0 * s) / p - (p_eta / p) ** 2
                curvatures[2 * j + 1, 1, q] = p_mixed / p - p_eta * p_logit / (p * p)
                curvatures[2 * j + 1, 2, q] = p_logit * (1.0 - 2.0 * c) / p - (p_logit / p) ** 2
            else:
                curvatures[2 * j + 1, 0, q] = -s * (1.0 - s)
                curvatures[2 * j + 1, 1, q] = 0.0
                curvatures[2 * j + 1, 2, q] = 0.0


def complete_information(counts: Floats, curvatures: Floats, theta: Floats) -> Floats:
    """Minus the expected complete-data Hessian of each item, shape (J, 3, 3).

    Args:
        counts: expected number of students by grade and node, (2 J, S).
        curvatures: from fill_curvatures.
        theta: nodes, (S,).
    """
    weighted = -(counts[:, None, :] * curvatures)
    per_item = weighted[0::2] + weighted[1::2]
    eta, mixed, logit = per_item[:, 0], per_item[:, 1], per_item[:, 2]
    information = np.empty((len(per_item), PARAMETERS, PARAMETERS))
    information[:, 0, 0] = eta @ theta**2
    information[:, 0, 1] = information[:, 1, 0] = eta @ theta
    information[:, 1, 1] = eta.sum(axis=1)
    information[:, 0, 2] = information[:, 2, 0] = mixed @ theta
    information[:, 1, 2] = information[:, 2, 1] = mixed.sum(axis=1)
    information[:, 2, 2] = logit.sum(axis=1)
    return information


def score_products(counts: Floats, scores: Floats) -> Floats:
    """Expected sum of the score's outer product with itself, per item, shape (J, 3, 3)."""
    products = np.empty((len(counts) // 2, PARAMETERS, PARAMETERS))
    for r in range(PARAMETERS):
        for c in range(r + 1):
            by_grade = (counts * scores[:, r] * scores[:, c]).sum(axis=1)
            products[:, r, c] = products[:, c, r] = by_grade[0::2] + by_grade[1::2]
    return products
