"""How much the items tell, and where: information, standard errors, reliability."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from irt_service.quadrature import normal_grid

Floats = npt.NDArray[np.float64]

AT_ONCE = 2**20  # item-by-theta values held at a time


def item_information(a: Floats, b: Floats, c: Floats, theta: Floats) -> Floats:
    """Fisher information of each item at each theta, shape (J, G).

    I(theta) = a^2 (Q / P) ((P - c) / (1 - c))^2 (Lord, 1980, Applications of Item Response
    Theory, eq. 5-9 with the logistic P), here as a^2 s^2 (1 - c) (1 - s) / P with
    s = logistic(a (theta - b)), which does not cancel in the tails.
    """
    s = expit(a[:, None] * (theta - b[:, None]))
    p = c[:, None] + (1.0 - c[:, None]) * s
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(p > 0, s / p, 1.0)
    information: Floats = (
        a[:, None] ** 2 * (1.0 - c[:, None]) * s * share * expit(-a[:, None] * (theta - b[:, None]))
    )
    return information


def test_information(a: Floats, b: Floats, c: Floats, theta: Floats) -> Floats:
    """Sum of the items' information at each theta, shape (G,)."""
    total = np.zeros(len(theta))
    step = max(1, AT_ONCE // max(1, len(theta)))
    for start in range(0, len(a), step):
        part = slice(start, start + step)
        total += item_information(a[part], b[part], c[part], theta).sum(axis=0)
    return total


def conditional_standard_error(information: Floats, prior_sd: float | None = None) -> Floats:
    """Standard error of theta at given test information.

    Without a prior 1 / sqrt(I), that of maximum likelihood (Lord, 1980, eq. 5-6), infinite where
    there is no information; with one 1 / sqrt(I + 1 / sd^2), that of a posterior mode.
    """
    precision = information + (0.0 if prior_sd is None else prior_sd**-2)
    with np.errstate(divide="ignore"):
        error: Floats = 1.0 / np.sqrt(precision)
    return error


def expected_reliability(
    a: Floats, b: Floats, c: Floats, prior_mean: float = 0.0, prior_sd: float = 1.0
) -> float:
    """Reliability of a test of these items in a normal population.

    1 - E[1 / (I(theta) + 1 / sd^2)] / sd^2: the marginal reliability of Green, Bock, Humphreys,
    Linn & Reckase (1984, Journal of Educational Measurement 21(4), eq. 6), the error variance
    being that of a Bayesian score.
    """
    grid = normal_grid()
    theta = prior_mean + prior_sd * grid.nodes[: grid.count]
    error = conditional_standard_error(test_information(a, b, c, theta), prior_sd)
    return float(1.0 - np.exp(grid.log_weights[: grid.count]) @ error**2 / prior_sd**2)


def marginal_reliability(theta: Floats, se: Floats) -> float:
    """Reliability of EAP scores as they came out: var(theta) / (var(theta) + mean(se^2)).

    Bechger, Maris, Verstralen & Beguin (2003, Applied Psychological Measurement 27(5)); what
    R mirt calls empirical reliability. NaN for fewer than two students or without any variance.
    """
    known = np.isfinite(theta) & np.isfinite(se)
    if known.sum() < 2:  # noqa: PLR2004 - a variance needs two
        return float("nan")
    explained = float(np.var(theta[known], ddof=1))
    total = explained + float(np.mean(se[known] ** 2))
    return explained / total if total > 0 else float("nan")
