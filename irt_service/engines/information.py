"""Standard errors from the observed information of the marginal likelihood.

Louis (1982, JRSS B 44(2), eq. 3.1): observed = complete - missing, the missing part being the
posterior covariance of the complete-data score of each student, summed over students.

Up to `full_information_items` free items the whole matrix is inverted, latent mean and variance
included. Above that each item has a block of its own, which is exact for that block but takes
the other items as known. What that leaves out is small when students answer many items: see
docs/psychometrics.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from irt_service.compiled import compiled
from irt_service.engines.base import CalibrationSettings, Model
from irt_service.engines.derivatives import (
    PARAMETERS,
    complete_information,
    fill_curvatures,
    fill_scores,
    score_products,
)
from irt_service.engines.estimation import Estimate, bank_of
from irt_service.engines.maximisation import guessing_prior, priors_of, slope_prior
from irt_service.engines.preparation import Problem, Scale
from irt_service.parallel import RunBlocks, even_blocks
from irt_service.quadrature import Grid
from irt_service.scoring import Rows, add_rows, fill_table

Floats = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

NEGLIGIBLE = 1e-18
MOST_FULL_BLOCKS = 8
MOST_ITEM_BLOCKS = 16
LATENT = 2  # mean and variance


@dataclass(frozen=True)
class StandardErrors:
    """Covariances of (a, d, logit c) of each item, and what else the pass found.

    Attributes:
        item_covariance: (J, 3, 3); NaN where there is no inverse, 0 for what is held.
        latent_covariance: (2, 2) of mean and variance; NaN when they are not estimated.
        log_likelihood: at the estimate.
        is_positive_definite: whether the information (or every block) has an inverse.
        method: 'full' or 'per-item blocks'.
    """

    item_covariance: Floats
    latent_covariance: Floats
    log_likelihood: float
    is_positive_definite: bool
    method: str


class Missing(NamedTuple):
    """What a block of students adds up.

    counts: (2 J, S) posterior weight by item and grade.
    matrix: (P, P) covariance of scores, or (J, 3, 3) products of mean scores.
    """

    counts: Floats
    pooled: Floats
    matrix: Floats


@compiled
def _posterior(table: Floats, rows: Rows, i: int, log_weights: Floats, out: Floats) -> float:
    """Normalised posterior of student i in `out`; returns the log likelihood."""
    out[:] = log_weights
    add_rows(table, rows, i, out)
    largest = out[0]
    for q in range(len(out)):
        largest = max(largest, out[q])
    total = 0.0
    for q in range(len(out)):
        out[q] = math.exp(out[q] - largest)
        total += out[q]
    for q in range(len(out)):
        out[q] /= total
    log_likelihood: float = math.log(total) + largest
    return log_likelihood


@compiled
def _covariances(
    tables: tuple[Floats, Floats, Floats],
    rows: Rows,
    weights: Floats,
    log_weights: Floats,
    places: Index,
    sums: Missing,
    block: tuple[int, int],
) -> float:
    """Add the posterior covariance of each student's score to the lower triangle.

    Args:
        tables: log P (2 J, S), scores (2 J, 3, S), latent scores (2, S).
        rows: responses.
        weights: person weights, (N,).
        log_weights: of the nodes, (S,).
        places: row of each parameter in the matrix, -1 if held: (J + 1, 3), latent last.
        sums: added to.
        block: first student and one past the last.
    """
    log_p, scores, latent = tables
    stride = len(log_weights)
    posterior = np.empty(stride)
    longest = 0
    for i in range(block[0], block[1]):
        longest = max(longest, rows.indptr[i + 1] - rows.indptr[i])
    height = 3 * longest + LATENT
    centred = np.empty((height, stride))
    place = np.empty(height, np.int64)
    log_likelihood = 0.0
    for i in range(block[0], block[1]):
        log_likelihood += weights[i] * _posterior(log_p, rows, i, log_weights, posterior)
        low = 0
        while posterior[low] < NEGLIGIBLE:
            low += 1
        high = stride
        while posterior[high - 1] < NEGLIGIBLE:
            high -= 1
        width = high - low
        for q in range(stride):
            sums.pooled[q] += weights[i] * posterior[q]
        count = 0
        for k in range(rows.indptr[i], rows.indptr[i + 1]):
            code = 2 * rows.items[k] + rows.correct[k]
            for q in range(stride):
                sums.counts[code, q] += weights[i] * posterior[q]
            for parameter in range(3):
                if places[rows.items[k], parameter] >= 0:
                    place[count] = places[rows.items[k], parameter]
                    for q in range(width):
                        centred[count, q] = scores[code, parameter, low + q]
                    count += 1
        for parameter in range(LATENT):
            if places[len(places) - 1, parameter] >= 0:
                place[count] = places[len(places) - 1, parameter]
                for q in range(width):
                    centred[count, q] = latent[parameter, low + q]
                count += 1
        for r in range(count):
            mean = 0.0
            for q in range(width):
                mean += centred[r, q] * posterior[low + q]
            for q in range(width):
                centred[r, q] = (centred[r, q] - mean) * math.sqrt(posterior[low + q])
        for r in range(count):
            row = centred[r, :width]
            for c in range(r + 1):
                other = centred[c, :width]
                total = 0.0
                for q in range(width):
                    total += row[q] * other[q]
                first = max(place[r], place[c])
                second = min(place[r], place[c])
                sums.matrix[first, second] += weights[i] * total
    return log_likelihood


@compiled
def _mean_score_products(
    tables: tuple[Floats, Floats, Floats],
    rows: Rows,
    weights: Floats,
    log_weights: Floats,
    places: Index,
    sums: Missing,
    block: tuple[int, int],
) -> float:
    """Add the products of each student's mean score per item; arguments as _covariances."""
    log_p, scores, _ = tables
    stride = len(log_weights)
    posterior = np.empty(stride)
    mean = np.empty(3)
    log_likelihood = 0.0
    for i in range(block[0], block[1]):
        log_likelihood += weights[i] * _posterior(log_p, rows, i, log_weights, posterior)
        for q in range(stride):
            sums.pooled[q] += weights[i] * posterior[q]
        for k in range(rows.indptr[i], rows.indptr[i + 1]):
            j = rows.items[k]
            code = 2 * j + rows.correct[k]
            for q in range(stride):
                sums.counts[code, q] += weights[i] * posterior[q]
            for parameter in range(3):
                mean[parameter] = 0.0
                if places[j, parameter] >= 0:
                    total = 0.0
                    for q in range(stride):
                        total += scores[code, parameter, q] * posterior[q]
                    mean[parameter] = total
            for r in range(3):
                for c in range(3):
                    sums.matrix[j, 3 * r + c] += weights[i] * mean[r] * mean[c]
    return log_likelihood


class _Pass:
    """One pass over the students at the estimate."""

    def __init__(self, problem: Problem, estimate: Estimate, grid: Grid, run: RunBlocks) -> None:
        responses = problem.responses
        self.bank = bank_of(estimate.points)
        self.theta = estimate.mean + estimate.sd * grid.nodes
        self.log_weights = grid.log_weights
        self.rows = Rows(responses.indptr, responses.items, responses.correct)
        self.weights = (
            np.ones(responses.n_persons) if responses.weights is None else responses.weights
        )
        shape = (2 * len(self.bank), grid.stride)
        log_p = np.empty(shape)
        scores = np.empty((shape[0], PARAMETERS, shape[1]))
        variance = estimate.sd**2
        gap = self.theta - estimate.mean
        latent = np.stack([gap / variance, (gap**2 / variance - 1.0) / (2.0 * variance)])
        self.tables = (log_p, scores, latent)

        def prepare(_: int, start: int, stop: int) -> None:
            fill_table(self.bank[start:stop], self.theta, log_p[2 * start : 2 * stop])
            fill_scores(self.bank[start:stop], self.theta, scores[2 * start : 2 * stop])

        run(prepare, even_blocks(len(self.bank), min(MOST_ITEM_BLOCKS, len(self.bank))))
        self._run = run

    def __call__(
        self, places: Index, matrix_shape: tuple[int, int], is_full: bool
    ) -> tuple[Missing, float]:
        """Sums over all students, and the log likelihood."""
        n_persons = len(self.weights)
        blocks = even_blocks(
            n_persons, min(MOST_FULL_BLOCKS if is_full else MOST_ITEM_BLOCKS, n_persons)
        )
        shape = (2 * len(self.bank), len(self.theta))
        sums = [
            Missing(np.zeros(shape), np.zeros(shape[1]), np.zeros(matrix_shape)) for _ in blocks
        ]
        log_likelihoods = np.empty(len(blocks))
        kernel = _covariances if is_full else _mean_score_products

        def add(number: int, start: int, stop: int) -> None:
            log_likelihoods[number] = kernel(
                self.tables,
                self.rows,
                self.weights,
                self.log_weights,
                places,
                sums[number],
                (start, stop),
            )

        self._run(add, blocks)
        total = sums[0]
        for part in sums[1:]:
            for whole, more in zip(total, part, strict=True):
                np.add(whole, more, out=whole)
        return total, math.fsum(log_likelihoods)


def _free_parameters(problem: Problem, settings: CalibrationSettings) -> npt.NDArray[np.bool_]:
    """Which entries of (J + 1, 3) are estimated; the last row is latent mean and variance."""
    columns = {
        Model.RASCH: [False, True, False],
        Model.ONE_PL: [True, True, False],
        Model.TWO_PL: [True, True, False],
    }.get(settings.model, [True, True, True])
    free = np.zeros((len(problem.start) + 1, PARAMETERS), np.bool_)
    free[:-1] = problem.is_free[:, None] & np.array(columns)
    free[-1, 0] = problem.scale is Scale.FREE
    free[-1, 1] = problem.scale in {Scale.FREE, Scale.FREE_SD, Scale.RASCH}
    return free


def _prior_information(
    problem: Problem, estimate: Estimate, settings: CalibrationSettings
) -> Floats:
    """Minus the second derivatives of the log priors, (J, 3, 3)."""
    priors = priors_of(settings)
    information = np.zeros((len(problem.start), PARAMETERS, PARAMETERS))
    for j in np.flatnonzero(problem.is_free):
        a, _, logit = estimate.points[j]
        information[j, 0, 0] = -slope_prior(a, priors)[2]
        if logit > -math.inf:
            information[j, 2, 2] = -guessing_prior(logit, priors)[2]
    return information


def _inverse(information: Floats) -> Floats | None:
    """Inverse of a positive definite matrix, None if it is not (after scaling to unit diagonal)."""
    diagonal = np.diag(information)
    if len(diagonal) == 0 or not (np.isfinite(information).all() and (diagonal > 0).all()):
        return None
    scale = 1.0 / np.sqrt(diagonal)
    values, vectors = np.linalg.eigh(information * np.outer(scale, scale))
    if not values[0] > len(values) * np.finfo(np.float64).eps * 100 * values[-1]:
        return None
    inverse: Floats = (vectors / values) @ vectors.T * np.outer(scale, scale)
    return inverse


def standard_errors(
    problem: Problem,
    estimate: Estimate,
    settings: CalibrationSettings,
    grid: Grid,
    run: RunBlocks,
) -> StandardErrors:
    """Covariance matrix of the estimates, whole or per item."""
    once = _Pass(problem, estimate, grid, run)
    is_full = int(problem.is_free.sum()) <= settings.full_information_items
    free = _free_parameters(problem, settings)
    places = np.full(free.shape, -1, np.int64)
    places[free] = np.arange(int(free.sum()))
    size = int(free.sum())
    n_items = len(problem.start)
    shape = (size, size) if is_full else (n_items, PARAMETERS**2)
    missing, log_likelihood = once(places, shape, is_full)
    curvatures = np.empty_like(once.tables[1])
    fill_curvatures(once.bank, once.theta, curvatures)
    blocks = complete_information(missing.counts, curvatures, once.theta)
    blocks += _prior_information(problem, estimate, settings)
    if not is_full:
        blocks -= score_products(missing.counts, once.tables[1])
        blocks += missing.matrix.reshape(blocks.shape)
        return _from_blocks(blocks, free, settings, log_likelihood)
    information = np.zeros((size, size))
    for j in np.flatnonzero(problem.is_free):
        at = places[j][free[j]]
        information[np.ix_(at, at)] = blocks[j][np.ix_(free[j], free[j])]
    at = places[-1][free[-1]]
    latent = _latent_information(missing.pooled, once.theta - estimate.mean, estimate.sd**2)
    keep = free[-1, :LATENT]
    information[np.ix_(at, at)] = latent[np.ix_(keep, keep)]
    lower = missing.matrix
    information -= lower + np.tril(lower, -1).T
    return _from_full(information, free, settings, log_likelihood)


def _latent_information(pooled: Floats, gap: Floats, variance: float) -> Floats:
    """Minus the expected Hessian of log N(theta; mean, variance) by mean and variance."""
    n, first, second = pooled.sum(), pooled @ gap, pooled @ gap**2
    return np.array(
        [
            [n / variance, first / variance**2],
            [first / variance**2, second / variance**3 - n / (2.0 * variance**2)],
        ]
    )


def _from_full(
    information: Floats,
    free: npt.NDArray[np.bool_],
    settings: CalibrationSettings,
    log_likelihood: float,
) -> StandardErrors:
    """Invert the whole matrix and cut the items' blocks out."""
    n_items = len(free) - 1
    spread = np.eye(len(information))
    if settings.model is Model.ONE_PL:
        spread = _shared_slope(free)
    inverse = _inverse(spread.T @ information @ spread)
    size = len(information)
    whole = np.full((size, size), np.nan) if inverse is None else spread @ inverse @ spread.T
    items = np.zeros((n_items, PARAMETERS, PARAMETERS))
    latent = np.full((LATENT, LATENT), np.nan)
    places = np.full(free.shape, -1, np.int64)
    places[free] = np.arange(size)
    for j in range(n_items):
        at = places[j][free[j]]
        items[np.ix_([j], free[j], free[j])] = whole[np.ix_(at, at)]
    at = places[-1][free[-1]]
    keep = np.flatnonzero(free[-1])
    latent[np.ix_(keep, keep)] = whole[np.ix_(at, at)]
    return StandardErrors(items, latent, log_likelihood, inverse is not None, "full")


def _shared_slope(free: npt.NDArray[np.bool_]) -> Floats:
    """Jacobian of all (a_j, d_j, ...) by one a in front and the rest: (P, P - J_free + 1)."""
    names = np.argwhere(free)
    n_items = len(free) - 1
    is_slope = (names[:, 1] == 0) & (names[:, 0] < n_items)
    jacobian = np.zeros((len(names), 1 + int((~is_slope).sum())))
    jacobian[is_slope, 0] = 1.0
    jacobian[np.flatnonzero(~is_slope), 1 + np.arange(int((~is_slope).sum()))] = 1.0
    return jacobian


def _from_blocks(
    blocks: Floats,
    free: npt.NDArray[np.bool_],
    settings: CalibrationSettings,
    log_likelihood: float,
) -> StandardErrors:
    """Invert each item's block; in the 1PL the shared a is eliminated first."""
    items = np.zeros_like(blocks)
    is_positive = True
    estimated = np.flatnonzero(free[:-1].any(axis=1))
    if settings.model is Model.ONE_PL:
        d_variance = 1.0 / blocks[estimated, 1, 1]
        mixed = blocks[estimated, 0, 1]
        slope_variance = 1.0 / (blocks[estimated, 0, 0].sum() - (mixed**2 * d_variance).sum())
        is_positive = bool((d_variance > 0).all() and slope_variance > 0)
        items[estimated, 0, 0] = slope_variance
        cross = -mixed * d_variance * slope_variance
        items[estimated, 0, 1] = items[estimated, 1, 0] = cross
        items[estimated, 1, 1] = d_variance + (mixed * d_variance) ** 2 * slope_variance
    else:
        for j in estimated:
            keep = free[j]
            inverse = _inverse(blocks[j][np.ix_(keep, keep)])
            is_positive &= inverse is not None
            items[np.ix_([j], keep, keep)] = np.nan if inverse is None else inverse
    latent = np.full((LATENT, LATENT), np.nan)
    return StandardErrors(items, latent, log_likelihood, is_positive, "per-item blocks")
