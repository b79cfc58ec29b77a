"""Posterior means and covariances of scores, student by student (Louis, 1982, eq. 3.1)."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from irt_service.compiled import compiled
from irt_service.engines.derivatives import PARAMETERS
from irt_service.engines.expectation import (
    Numbers,
    Places,
    add_log_weights,
    add_weighted,
    normalise,
)
from irt_service.lanes import AHEAD, multiply_rows, spread_rows
from irt_service.scoring import Rows, find_rows, longest_row

Floats = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

LATENT = 2  # mean and variance


class Missing(NamedTuple):
    """What a block of students adds up.

    counts: (2 J S,) posterior weight by item and grade, in the precision of the tables.
    pooled: (S,) posterior weight of all.
    matrix: (P, P) covariance of scores, or (J + 1, 9) products of mean scores; lower triangles.
    """

    counts: Numbers
    pooled: Floats
    matrix: Floats


@compiled
def _posterior(
    table: Numbers,
    rows: Rows,
    grid: Numbers,
    kept: float,
    i: int,
    starts: Places,
    posterior: Numbers,
) -> tuple[float, int, int]:
    """Posterior of student i; returns the log likelihood and the nodes that matter."""
    window = (0, grid.shape[1])
    count = find_rows(rows, i, grid.shape[1], starts)
    largest = add_log_weights(table, starts, count, grid[1], posterior, window)
    log_likelihood, _, low, high = normalise(posterior, grid[0], largest, window, kept)
    return log_likelihood, low, high


@compiled
def _gather_scores(
    tables: tuple[Floats, Floats, Floats],
    rows: Rows,
    places: Index,
    i: int,
    window: tuple[int, int],
    gathered: Floats,
    place: Index,
) -> int:
    """Rows of the scores of student i's free parameters; returns how many."""
    low, high = window
    count = 0
    for k in range(rows.indptr[i], rows.indptr[i + 1]):
        code = 2 * rows.items[k] + rows.correct[k]
        for parameter in range(PARAMETERS):
            if places[rows.items[k], parameter] >= 0:
                place[count] = places[rows.items[k], parameter]
                for q in range(low, high):
                    gathered[count, q - low] = tables[1][code, parameter, q]
                count += 1
    for parameter in range(LATENT):
        if places[-1, parameter] >= 0:
            place[count] = places[-1, parameter]
            for q in range(low, high):
                gathered[count, q - low] = tables[2][parameter, q]
            count += 1
    return count


@compiled
def _add_covariance(
    gathered: Floats,
    shape: tuple[int, int],
    place: Index,
    posterior: Floats,
    weight: float,
    matrix: Floats,
) -> None:
    """Add the covariance of the first rows of `gathered` under `posterior`, lower triangle."""
    count, width = shape
    for r in range(count):
        mean = 0.0
        for q in range(width):
            mean += gathered[r, q] * posterior[q]
        for q in range(width):
            gathered[r, q] = (gathered[r, q] - mean) * math.sqrt(posterior[q])
    for r in range(count):
        row = gathered[r, :width]
        for c in range(0, r + 1, 4):
            # Beyond r the last row is repeated and not added.
            row0 = gathered[c, :width]
            row1 = gathered[min(c + 1, r), :width]
            row2 = gathered[min(c + 2, r), :width]
            row3 = gathered[min(c + 3, r), :width]
            s0 = s1 = s2 = s3 = 0.0
            for q in range(width):
                s0 += row[q] * row0[q]
                s1 += row[q] * row1[q]
                s2 += row[q] * row2[q]
                s3 += row[q] * row3[q]
            totals = (s0, s1, s2, s3)
            for k in range(min(4, r + 1 - c)):
                at = place[c + k]
                matrix[max(place[r], at), min(place[r], at)] += weight * totals[k]


@compiled
def add_covariances(
    tables: tuple[Floats, Floats, Floats],
    rows: Rows,
    weights: Floats,
    grid: Floats,
    kept: float,
    places: Index,
    sums: Missing,
    block: tuple[int, int],
) -> float:
    """Add the posterior covariance of each student's score to the lower triangle.

    Args:
        tables: log P flat (2 J S,), scores (2 J, 3, S), latent scores (2, S).
        rows: responses.
        weights: person weights, (N,).
        grid: nodes on the scale of theta and log weights, (2, S).
        kept: weight relative to the largest up to which lanes at the edges are dropped.
        places: row of each parameter in the matrix, -1 if held: (J + 1, 3), latent last.
        sums: added to.
        block: first student and one past the last.
    """
    stride = grid.shape[1]
    posterior = np.zeros(stride)
    longest = longest_row(rows, block[0], block[1])
    starts = np.zeros(longest + AHEAD, np.int32)
    height = PARAMETERS * longest + LATENT
    gathered = np.empty((height, stride))
    place = np.empty(height, np.int64)
    log_likelihood = 0.0
    for i in range(block[0], block[1]):
        value, low, high = _posterior(tables[0], rows, grid, kept, i, starts, posterior)
        log_likelihood += weights[i] * value
        count = _gather_scores(tables, rows, places, i, (low, high), gathered, place)
        _add_covariance(
            gathered, (count, high - low), place, posterior[low:high], weights[i], sums.matrix
        )
        add_weighted(posterior, weights[i], sums.pooled, low, high)
        answers = rows.indptr[i + 1] - rows.indptr[i]
        spread_rows(sums.counts, low, high, posterior, starts, answers)
    return log_likelihood


@compiled
def add_mean_score_products(
    tables: tuple[Numbers, Numbers, Numbers],
    rows: Rows,
    weights: Floats,
    grid: Numbers,
    kept: float,
    sums: Missing,
    block: tuple[int, int],
) -> None:
    """Add the outer product of each student's mean score with itself, per item.

    The last row of the sums does the same for (theta, theta^2 - 1), the score of the mean and
    log SD of N(0, 1).

    Args:
        tables: flat (2 J S,) each: log P, its derivative by eta, and by logit c (empty without
            guessing).
        rows: responses.
        weights: person weights, (N,).
        grid: nodes on the scale of theta and log weights, (2, S).
        kept: weight relative to the largest up to which lanes at the edges are dropped.
        sums: added to.
        block: first student and one past the last.
    """
    stride = grid.shape[1]
    posterior = np.zeros(stride, tables[0].dtype)
    # Posterior weights times theta, then the weights.
    vectors = np.zeros(2 * stride, tables[0].dtype)
    longest = longest_row(rows, block[0], block[1])
    starts = np.zeros(longest + AHEAD, np.int32)
    by_line = np.zeros(2 * longest, tables[0].dtype)
    by_logit = np.zeros_like(by_line)
    for i in range(block[0], block[1]):
        _, low, high = _posterior(tables[0], rows, grid, kept, i, starts, posterior)
        mean = 0.0
        square = 0.0
        for q in range(low, high):
            moment = posterior[q] * grid[0, q]
            vectors[q] = moment
            vectors[stride + q] = posterior[q]
            mean += moment
            square += moment * grid[0, q]
        latent = sums.matrix[len(sums.matrix) - 1]
        latent[0] += weights[i] * mean * mean
        latent[3] += weights[i] * mean * (square - 1.0)
        latent[4] += weights[i] * (square - 1.0) ** 2
        first = rows.indptr[i]
        answers = rows.indptr[i + 1] - first
        multiply_rows(by_line, low, high, vectors, tables[1], starts, answers)
        if len(tables[2]) > 0:
            multiply_rows(by_logit, low, high, vectors, tables[2], starts, answers)
        for k in range(answers):
            into = sums.matrix[rows.items[first + k]]
            a = np.float64(by_line[2 * k])
            d = np.float64(by_line[2 * k + 1])
            into[0] += weights[i] * a * a
            into[3] += weights[i] * d * a
            into[4] += weights[i] * d * d
            if len(tables[2]) > 0:
                logit = np.float64(by_logit[2 * k + 1])
                into[6] += weights[i] * logit * a
                into[7] += weights[i] * logit * d
                into[8] += weights[i] * logit * logit
        add_weighted(posterior, weights[i], sums.pooled, low, high)
        spread_rows(sums.counts, low, high, posterior, starts, answers)
