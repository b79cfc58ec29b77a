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
from irt_service.lanes import add_four_lanes, add_lane, prefetch
from irt_service.parallel import RunBlocks, even_blocks
from irt_service.quadrature import LANE, Grid
from irt_service.responses import ResponseMatrix
from irt_service.scoring import Rows, fill_table

Floats = npt.NDArray[np.float64]
Windows = npt.NDArray[np.uint16]
Codes = npt.NDArray[np.int64]

RESPONSES_PER_BLOCK = 30_000
MOST_BLOCKS = 16
MOST_TABLE_BYTES = 200_000_000

AHEAD = 8  # rows that are prefetched ahead of their use
KEPT = -36.0  # log weight relative to the largest below which a node is dropped
SAFE = -28.0  # log weight relative to the largest above which an edge is too close


class Sums(NamedTuple):
    """What one block of students adds up.

    counts: (J S,) posterior weight of those who answered item j, or (2 J S,) by grade.
    moments: (J,) posterior means of theta of those who answered item j correctly.
    pooled: (S,) posterior weight of all.
    """

    counts: Floats
    moments: Floats
    pooled: Floats


class Persons(NamedTuple):
    """Weights (N,), and per student the nodes that mattered last time: first, last + 1, (N, 2)."""

    weights: Floats
    windows: Windows


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
def add_table_rows(table: Floats, starts: Codes, total: Floats, low: int, high: int) -> None:
    """Add table[start + low : start + high] of every start to total[low:high].

    Args:
        table: flat, rows of S.
        starts: where the rows begin, in the order of the answers.
        total: shape (S,); added to.
        low: first node, a multiple of LANE.
        high: one past the last node, a multiple of LANE.
    """
    count = len(starts)
    fours = count // 4 * 4
    for k in range(0, fours, 4):
        for ahead in range(k + AHEAD, min(k + AHEAD + 4, count)):
            for q in range(low, high, LANE):
                prefetch(table, starts[ahead] + q)
        r0 = starts[k]
        r1 = starts[k + 1]
        r2 = starts[k + 2]
        r3 = starts[k + 3]
        for q in range(low, high, LANE):
            add_four_lanes(total, q, table, (r0 + q, r1 + q, r2 + q, r3 + q))
    for k in range(fours, count):
        for q in range(low, high, LANE):
            add_lane(total, q, table, starts[k] + q)


@compiled
def add_to_counts(counts: Floats, starts: Codes, posterior: Floats, low: int, high: int) -> None:
    """Add posterior[low:high] to the rows of `counts` (flat) that begin at `starts`."""
    count = len(starts)
    for k in range(count):
        if k + AHEAD < count:
            for q in range(low, high, LANE):
                prefetch(counts, starts[k + AHEAD] + q)
        for q in range(low, high, LANE):
            add_lane(counts, starts[k] + q, posterior, q)


@compiled
def normalise(
    posterior: Floats, theta: Floats, low: int, high: int
) -> tuple[float, float, int, int]:
    """Turn log weights into weights that sum to 1, dropping negligible ones.

    Returns:
        log of the sum, posterior mean, and the window (in LANEs) of what was kept.
    """
    largest = posterior[low]
    for q in range(low, high):
        largest = max(largest, posterior[q])
    total = 0.0
    moment = 0.0
    left = high
    right = low
    for q in range(low, high):
        relative = posterior[q] - largest
        weight = 0.0
        if relative > KEPT:
            left = min(left, q)
            right = q
            weight = math.exp(relative)
            total += weight
            moment += weight * theta[q]
        posterior[q] = weight
    first = left // LANE * LANE
    last = right // LANE * LANE + LANE
    for q in range(first, last):
        posterior[q] /= total
    return math.log(total) + largest, moment / total, first, last


@compiled
def _is_cut(posterior: Floats, low: int, high: int) -> bool:
    """Whether an edge of the window still matters, so that more may lie outside."""
    largest = posterior[low]
    for q in range(low, high):
        largest = max(largest, posterior[q])
    is_cut_low = low > 0 and posterior[low] > largest + SAFE
    return is_cut_low or (high < len(posterior) and posterior[high - 1] > largest + SAFE)


@compiled
def add_weighted(posterior: Floats, weight: float, pooled: Floats, low: int, high: int) -> None:
    """Weight a posterior and add it to the pooled one."""
    for q in range(low, high):
        posterior[q] *= weight
        pooled[q] += posterior[q]


@compiled
def _expect_codes(
    table: Floats, rows: Rows, weights: Floats, grid: Floats, sums: Sums, start: int, stop: int
) -> float:
    """Add students start:stop to `sums`; return their log likelihood."""
    stride = grid.shape[1]
    posterior = np.empty(stride)
    starts = np.empty(longest_row(rows, start, stop), np.int64)
    log_likelihood = 0.0
    for i in range(start, stop):
        first = rows.indptr[i]
        last = rows.indptr[i + 1]
        for k in range(first, last):
            starts[k - first] = (2 * rows.items[k] + rows.correct[k]) * stride
        for q in range(stride):
            posterior[q] = grid[1, q]
        add_table_rows(table, starts[: last - first], posterior, 0, stride)
        log_sum, _, low, high = normalise(posterior, grid[0], 0, stride)
        log_likelihood += weights[i] * log_sum
        add_weighted(posterior, weights[i], sums.pooled, low, high)
        add_to_counts(sums.counts, starts[: last - first], posterior, low, high)
    return log_likelihood


@compiled
def longest_row(rows: Rows, start: int, stop: int) -> int:
    """Most answers of one student."""
    longest = 0
    for i in range(start, stop):
        longest = max(longest, rows.indptr[i + 1] - rows.indptr[i])
    return longest


@compiled
def _expect_slopes(
    table: Floats,
    lines: Floats,
    rows: Rows,
    person: Persons,
    grid: Floats,
    sums: Sums,
    start: int,
    stop: int,
) -> float:
    """Add students start:stop to `sums`; return their log likelihood.

    Args:
        table: log(1 - P_j) at the nodes, flat (J S,).
        lines: a and d, (J, 2).
        rows: responses.
        person: weights, and windows which are updated.
        grid: nodes on the scale of theta and log weights, (2, S).
        sums: added to.
        start: first student.
        stop: one past the last.
    """
    stride = grid.shape[1]
    posterior = np.empty(stride)
    starts = np.empty(longest_row(rows, start, stop), np.int64)
    log_likelihood = 0.0
    for i in range(start, stop):
        first = rows.indptr[i]
        last = rows.indptr[i + 1]
        slope = 0.0
        intercept = 0.0
        for k in range(first, last):
            j = rows.items[k]
            starts[k - first] = j * stride
            slope += rows.correct[k] * lines[j, 0]
            intercept += rows.correct[k] * lines[j, 1]
        low = int(person.windows[i, 0])
        high = int(person.windows[i, 1])
        for _ in range(2):
            for q in range(low, high):
                posterior[q] = grid[1, q] + slope * grid[0, q] + intercept
            add_table_rows(table, starts[: last - first], posterior, low, high)
            if not _is_cut(posterior, low, high):
                break
            low = 0
            high = stride
        log_sum, mean, low, high = normalise(posterior, grid[0], low, high)
        person.windows[i, 0] = low
        person.windows[i, 1] = high
        log_likelihood += person.weights[i] * log_sum
        add_weighted(posterior, person.weights[i], sums.pooled, low, high)
        add_to_counts(sums.counts, starts[: last - first], posterior, low, high)
        for k in range(first, last):
            sums.moments[rows.items[k]] += rows.correct[k] * mean * person.weights[i]
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
        for q in range(blocks.shape[2]):
            total[r, q] = blocks[0, r, q]
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
        self._correct_sum = responses.tally()[:, 2].copy()

    def __call__(self, bank: Floats, mean: float, sd: float) -> Expectation:
        """Posterior expectations at the parameters `bank` (a, d, c) and theta ~ N(mean, sd^2)."""
        scaled = np.stack([mean + sd * self.grid.nodes, self.grid.log_weights])
        table, rows, weights = self._table, self.rows, self.weights
        persons = Persons(weights, self._windows)
        lines = np.ascontiguousarray(bank[:, :2])

        def prepare(_: int, start: int, stop: int) -> None:
            if self.has_guessing:
                fill_table(bank[start:stop], scaled[0], table[2 * start : 2 * stop])
            else:
                _fill_incorrect(lines[start:stop], scaled[0], table[start:stop])

        def expect(number: int, start: int, stop: int) -> None:
            counts = self._counts[number].reshape(-1)
            sums = Sums(counts, self._moments[number], self._pooled[number])
            for part in sums:
                part.fill(0.0)
            flat = table.reshape(-1)
            self._log_likelihoods[number] = (
                _expect_codes(flat, rows, weights, scaled, sums, start, stop)
                if self.has_guessing
                else _expect_slopes(flat, lines, rows, persons, scaled, sums, start, stop)
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
