"""Fit of items: infit and outfit here, S-X2 and PV-Q1 from their own modules."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from irt_service.compiled import compiled
from irt_service.diagnostics.plausible_values import pv_q1
from irt_service.diagnostics.summed_scores import s_x2
from irt_service.parallel import block_runner, even_blocks
from irt_service.responses import ResponseMatrix
from irt_service.scoring import Rows, item_bank

__all__ = ["ResidualFit", "pv_q1", "residual_fit", "s_x2"]

Floats = npt.NDArray[np.float64]

BLOCKS = 16
SUMS = 6  # count, residual^2 / variance, residual^2, variance, kurtosis terms of both z
SMALLEST_VARIANCE = math.sqrt(1e-5)  # as in R mirt: one lucky guess must not decide the outfit
LARGEST_SPREAD = 1.4142  # of a mean square, likewise


@dataclass(frozen=True)
class ResidualFit:
    """Mean squares per item, shape (J,) each; 1 is what the model expects, NaN without answers.

    Attributes:
        infit: information-weighted mean square.
        outfit: unweighted mean square, sensitive to surprises far from the item.
        z_infit: cube-root standardisation of infit, about N(0, 1) at known theta.
        z_outfit: likewise.
        n: responses (weights summed).
    """

    infit: Floats
    z_infit: Floats
    outfit: Floats
    z_outfit: Floats
    n: Floats


@compiled
def _add_residuals(
    bank: Floats, rows: Rows, theta: Floats, weights: Floats, sums: Floats, start: int, stop: int
) -> None:
    """Add what infit and outfit need of students start:stop to sums, (J, SUMS)."""
    for i in range(start, stop):
        weight = weights[i % len(weights)]
        for k in range(rows.indptr[i], rows.indptr[i + 1]):
            j = rows.items[k]
            s = 1.0 / (1.0 + math.exp(-bank[j, 0] * theta[i] - bank[j, 1]))
            p = bank[j, 2] + (1.0 - bank[j, 2]) * s
            plain = p * (1.0 - p)
            variance = max(plain, SMALLEST_VARIANCE)
            fourth = plain * (1.0 - 3.0 * plain)
            square = (rows.correct[k] - p) ** 2
            into = sums[j]
            into[0] += weight
            into[1] += weight * square / variance
            into[2] += weight * square
            into[3] += weight * variance
            into[4] += weight * fourth / (variance * variance)
            into[5] += weight * (fourth - variance * variance)


def _cube_root(mean_square: Floats, variance: Floats) -> Floats:
    spread = np.minimum(np.sqrt(variance), LARGEST_SPREAD)
    z: Floats = (np.cbrt(mean_square) - 1.0) * (3.0 / spread) + spread / 3.0
    return z


def residual_fit(
    responses: ResponseMatrix, a: Floats, b: Floats, c: Floats, theta: Floats, threads: int = 1
) -> ResidualFit:
    """Infit and outfit of every item at given abilities.

    Wright & Masters (1982, Rating Scale Analysis, ch. 5): outfit = mean of (u - P)^2 / (P Q),
    infit = sum (u - P)^2 / sum P Q; z by the Wilson-Hilferty cube root (their table 5.5a). With
    EAP abilities this is R mirt's `itemfit(fit_stats = 'infit')`. EAPs are shrunken and rest on
    the item itself, so mean squares lie somewhat below 1 on short tests and |z| is a ranking
    rather than a test.

    Args:
        responses: students x items.
        a: discrimination, (J,).
        b: difficulty, (J,).
        c: guessing, (J,).
        theta: abilities, (N,); EAP.
        threads: 0 for all cores; the result does not depend on it.
    """
    bank = item_bank(a, b, c)
    rows = Rows(responses.indptr, responses.items, responses.correct)
    weights = np.ones(1) if responses.weights is None else responses.weights
    sums = np.zeros((BLOCKS, responses.n_items, SUMS))

    def add(block: int, start: int, stop: int) -> None:
        _add_residuals(bank, rows, theta, weights, sums[block], start, stop)

    with block_runner(threads) as run:
        run(add, even_blocks(responses.n_persons, BLOCKS))
    n, by_variance, squares, variances, kurtosis, excess = sums.sum(axis=0).T
    with np.errstate(divide="ignore", invalid="ignore"):
        outfit, infit = by_variance / n, squares / variances
        return ResidualFit(
            infit,
            _cube_root(infit, excess / variances**2),
            outfit,
            _cube_root(outfit, kurtosis / n**2 - 1.0 / n),
            n,
        )
