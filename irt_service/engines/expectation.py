"""E-step: posterior weights of every student on the grid, summed per item.

Students are processed in blocks that depend on the data alone; every block has tables of its
own, which are added up in the order of the blocks. So any number of threads gives the same bits.

Two kernels with one meaning. `_expect_codes` reads a table row per item and grade and serves
every model. `_expect_slopes` serves items without guessing, whose log likelihood is
sum log(1 - P_j) + theta sum a_j u_j + sum d_j u_j: one table row per item, and only the nodes
that carry weight. The posterior is then log-concave, so what lies outside a window whose edges
are negligible is negligible too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from irt_service.compiled import compiled
from irt_service.parallel import RunBlocks, even_blocks
from irt_service.quadrature import LANE, Grid
from irt_service.responses import ResponseMatrix
from irt_service.scoring import Rows, add_rows, fill_table

Floats = npt.NDArray[np.float64]
Windows = npt.NDArray[np.uint16]

RESPONSES_PER_BLOCK = 30_000
MOST_BLOCKS = 16
MOST_TABLE_BYTES = 200_000_000

KEPT = -36.0  # log weight relative to the largest below which a node is dropped
SAFE = -28.0  # log weight relative to the largest above which an edge is too close


class Sums(NamedTuple):
    """What one block of students adds up.

    counts: (J, S) posterior weight of those who answered item j, or (2 J, S) by grade.
    moments: (J,) posterior means of theta of those who answered item j correctly.
    pooled: (S,) posterior weight of all.
    """

    counts: Floats
    moments: Floats
    pooled: Floats


@dataclass(frozen=True)
class Expectation:
    """Sufficient statistics of the complete data, given the responses and the parameters.

    Attributes:
        answered: expected number of students at each node who answered item j, (J, S).
        correct_sum: weight of correct answers, (J,).
        correct_theta: sum of theta over correct answers, on the nodes' scale, (J,).
        correct: expected number correct at each node, (J, S); None from the slopes kernel.
        pooled: expected number of students at each node, (S,).
        log_likelihood: marginal log likelihood at the parameters used.
    """

    answered: Floats
    correct_sum: Floats
    correct_theta: Floats
    correct: Floats | None
    pooled: Floats
    log_likelihood: float


@compiled
def _expect_codes(
    table: Floats, rows: Rows, weights: Floats, grid: Floats, sums: Sums, start: int, stop: int
) -> float:
    """Add students start:stop to `sums`; return their log likelihood."""
    stride = grid.shape[1]
    posterior = np.empty(stride)
    log_likelihood = 0.0
    for i in range(start, stop):
        posterior[:] = grid[1]
        add_rows(table, rows, i, posterior)
        largest = posterior[0]
        for q in range(stride):
            largest = max(largest, posterior[q])
        total = 0.0
        for q in range(stride):
            posterior[q] = math.exp(posterior[q] - largest)
            total += posterior[q]
        log_likelihood += weights[i] * (math.log(total) + largest)
        scale = weights[i] / total
        for q in range(stride):
            posterior[q] *= scale
            sums.pooled[q] += posterior[q]
        for k in range(rows.indptr[i], rows.indptr[i + 1]):
            counts = sums.counts[2 * rows.items[k] + rows.correct[k]]
            for q in range(stride):
                counts[q] += posterior[q]
    return log_likelihood


@compiled
def _expect_slopes(
    table: Floats,
    lines: Floats,
    rows: Rows,
    weights: Floats,
    grid: Floats,
    windows: Windows,
    sums: Sums,
    start: int,
    stop: int,
) -> float:
    """Add students start:stop to `sums`; return their log likelihood.

    Args:
        table: log(1 - P_j) at the nodes, (J, S).
        lines: a and d, (J, 2).
        rows: responses.
        weights: person weights, (N,).
        grid: nodes on the scale of theta and log weights, (2, S).
        windows: first and last + 1 node that mattered last time, (N, 2); updated.
        sums: added to.
        start: first student.
        stop: one past the last.
    """
    stride = grid.shape[1]
    whole = np.empty(stride)
    log_likelihood = 0.0
    for i in range(start, stop):
        first = rows.indptr[i]
        last = rows.indptr[i + 1]
        low = int(windows[i, 0])
        high = int(windows[i, 1])
        slope = 0.0
        intercept = 0.0
        for k in range(first, last):
            j = rows.items[k]
            slope += rows.correct[k] * lines[j, 0]
            intercept += rows.correct[k] * lines[j, 1]
        while True:
            posterior = whole[low:high]
            theta = grid[0, low:high]
            log_weights = grid[1, low:high]
            width = high - low
            for q in range(width):
                posterior[q] = log_weights[q] + slope * theta[q] + intercept
            fours = first + (last - first) // 4 * 4
            for k in range(first, fours, 4):
                r0 = table[rows.items[k], low:high]
                r1 = table[rows.items[k + 1], low:high]
                r2 = table[rows.items[k + 2], low:high]
                r3 = table[rows.items[k + 3], low:high]
                for q in range(width):
                    posterior[q] += (r0[q] + r1[q]) + (r2[q] + r3[q])
            for k in range(fours, last):
                row = table[rows.items[k], low:high]
                for q in range(width):
                    posterior[q] += row[q]
            largest = posterior[0]
            for q in range(width):
                largest = max(largest, posterior[q])
            is_cut_low = low > 0 and posterior[0] > largest + SAFE
            is_cut_high = high < stride and posterior[width - 1] > largest + SAFE
            if not (is_cut_low or is_cut_high):
                break
            low = 0
            high = stride
        total = 0.0
        moment = 0.0
        left = width
        right = 0
        for q in range(width):
            relative = posterior[q] - largest
            if relative > KEPT:
                left = min(left, q)
                right = q
                posterior[q] = math.exp(relative)
                total += posterior[q]
                moment += posterior[q] * theta[q]
            else:
                posterior[q] = 0.0
        log_likelihood += weights[i] * (math.log(total) + largest)
        scale = weights[i] / total
        moment *= scale
        from_node = (low + left) // LANE * LANE
        to_node = (low + right) // LANE * LANE + LANE
        windows[i, 0] = from_node
        windows[i, 1] = to_node
        width = to_node - from_node
        posterior = whole[from_node:to_node]
        pooled = sums.pooled[from_node:to_node]
        for q in range(width):
            posterior[q] *= scale
            pooled[q] += posterior[q]
        for k in range(first, last):
            j = rows.items[k]
            counts = sums.counts[j, from_node:to_node]
            for q in range(width):
                counts[q] += posterior[q]
            sums.moments[j] += rows.correct[k] * moment
    return log_likelihood


@compiled
def _fill_incorrect(lines: Floats, theta: Floats, table: Floats) -> None:
    """log(1 - P_j) of items without guessing."""
    for j in range(len(lines)):
        for q in range(len(theta)):
            eta = lines[j, 0] * theta[q] + lines[j, 1]
            table[j, q] = -max(eta, 0.0) - math.log1p(math.exp(-abs(eta)))


@compiled
def _fold(blocks: Floats, total: Floats, start: int, stop: int) -> None:
    """total[r] = sum over blocks[:, r] in the order of the blocks."""
    for r in range(start, stop):
        total[r] = blocks[0, r]
        for b in range(1, len(blocks)):
            for q in range(blocks.shape[2]):
                total[r, q] += blocks[b, r, q]


class ExpectationStep:
    """Buffers and blocks for repeated E-steps over the same responses."""

    def __init__(
        self, responses: ResponseMatrix, grid: Grid, has_guessing: bool, run: RunBlocks
    ) -> None:
        """Choose the kernel and lay out the blocks."""
        n_persons, n_items = responses.n_persons, responses.n_items
        self.rows = Rows(responses.indptr, responses.items, responses.correct)
        self.weights = np.ones(n_persons) if responses.weights is None else responses.weights
        self.grid = grid
        self.has_guessing = has_guessing
        self._run = run
        n_rows = n_items * (2 if has_guessing else 1)
        affordable = MOST_TABLE_BYTES // max(1, n_rows * grid.stride * 8)
        wanted = -(-responses.n_responses // RESPONSES_PER_BLOCK)
        n_blocks = max(1, min(wanted, MOST_BLOCKS, max(4, affordable), n_persons))
        self.blocks = even_blocks(n_persons, n_blocks)
        self._table = np.empty((n_rows, grid.stride))
        self._counts = np.empty((n_blocks, n_rows, grid.stride))
        self._moments = np.empty((n_blocks, n_items))
        self._pooled = np.empty((n_blocks, grid.stride))
        self._log_likelihoods = np.empty(n_blocks)
        self._windows = np.zeros((n_persons, 2), np.uint16)
        self._windows[:, 1] = grid.stride
        self._correct_sum: Floats = np.bincount(
            responses.items,
            weights=responses.correct * np.repeat(self.weights, responses.person_counts()),
            minlength=n_items,
        ).astype(np.float64)

    def __call__(self, bank: Floats, mean: float, sd: float) -> Expectation:
        """Posterior expectations at the parameters `bank` (a, d, c) and theta ~ N(mean, sd^2)."""
        scaled = np.stack([mean + sd * self.grid.nodes, self.grid.log_weights])
        table, rows, weights = self._table, self.rows, self.weights
        lines = np.ascontiguousarray(bank[:, :2])

        def prepare(_: int, start: int, stop: int) -> None:
            if self.has_guessing:
                fill_table(bank[start:stop], scaled[0], table[2 * start : 2 * stop])
            else:
                _fill_incorrect(lines[start:stop], scaled[0], table[start:stop])

        def expect(number: int, start: int, stop: int) -> None:
            sums = Sums(self._counts[number], self._moments[number], self._pooled[number])
            for part in sums:
                part.fill(0.0)
            self._log_likelihoods[number] = (
                _expect_codes(table, rows, weights, scaled, sums, start, stop)
                if self.has_guessing
                else _expect_slopes(
                    table, lines, rows, weights, scaled, self._windows, sums, start, stop
                )
            )

        counts = np.empty_like(self._counts[0])

        def fold(_: int, start: int, stop: int) -> None:
            _fold(self._counts, counts, start, stop)

        item_blocks = even_blocks(len(bank), min(len(self.blocks), len(bank)))
        self._run(prepare, item_blocks)
        self._run(expect, self.blocks)
        self._run(fold, even_blocks(len(counts), min(len(self.blocks), len(bank))))
        pooled = self._pooled.sum(axis=0)
        log_likelihood = math.fsum(self._log_likelihoods)
        if self.has_guessing:
            correct = np.ascontiguousarray(counts[1::2])
            return Expectation(
                counts[0::2] + correct,
                self._correct_sum,
                correct @ scaled[0],
                correct,
                pooled,
                log_likelihood,
            )
        moments = self._moments.sum(axis=0)
        return Expectation(counts, self._correct_sum, moments, None, pooled, log_likelihood)
