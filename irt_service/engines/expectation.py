"""E-step: posterior weights of every student on the grid, summed per item and grade.

Students are processed in blocks that depend on the data alone; every block has tables of its
own, which are added up in the order of the blocks. So any number of threads gives the same bits.

One kernel serves every model, in double or single precision: add the table rows of a student's
answers, exponentiate, normalise, add the result to the same rows of a table of counts. Without
guessing the posterior is log-concave, so what lies outside a window whose edges are negligible is
negligible too, and only the window of the last time is looked at.

In single precision a table of counts takes a limited number of students before it is added to the
others in double precision, which keeps the relative error of a count near 1e-6.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from irt_service.compiled import compiled
from irt_service.lanes import AHEAD, exponentiate_lane, spread_rows, sum_rows
from irt_service.parallel import RunBlocks, even_blocks
from irt_service.quadrature import LANE, Grid
from irt_service.responses import ResponseMatrix
from irt_service.scoring import Rows, find_rows, log_probability, longest_row

Floats = npt.NDArray[np.float64]
Windows = npt.NDArray[np.int16]
Places = npt.NDArray[np.int32]
Numbers = npt.NDArray[Any]  # float64 or float32; the kernels are compiled for both

RESPONSES_PER_BLOCK = 30_000
MOST_BLOCKS = 16
MOST_SINGLE_BLOCKS = 64
SINGLE_ADDITIONS = 8_192  # to one count, on average over the blocks, in single precision
MOST_TABLE_BYTES = 200_000_000
CACHE_LINE = 64


class Precision(NamedTuple):
    """How exact tables and counts are.

    kept: weight relative to the largest up to which lanes at the edges are dropped.
    safe: weight relative to the largest from which on an edge is too close.
    """

    kind: type[np.floating[Any]]
    kept: float
    safe: float


DOUBLE = Precision(np.float64, math.exp(-36.0), math.exp(-28.0))
SINGLE = Precision(np.float32, 1e-10, 1e-7)


class Sums(NamedTuple):
    """What one block of students adds up.

    counts: flat (2 J S,), posterior weight of those who answered an item with a grade.
    pooled: (S,) posterior weight of all.
    """

    counts: Numbers
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
        correct: expected number correct at each node, (J, S).
        pooled: expected number of students at each node, (S,).
        log_likelihood: marginal log likelihood at the parameters used.
    """

    answered: Floats
    correct_sum: Floats
    correct_theta: Floats
    correct: Floats
    pooled: Floats
    log_likelihood: float


@compiled
def add_log_weights(
    table: Numbers, starts: Places, count: int, prior: Numbers, posterior: Numbers, window: Any
) -> float:
    """posterior = log prior + log likelihood inside the window; returns the largest."""
    low, high = window
    for q in range(low, high):
        posterior[q] = prior[q]
    sum_rows(posterior, low, high, table, starts, count)
    largest: float = posterior[low]
    for q in range(low, high):
        largest = max(largest, posterior[q])
    return largest


@compiled
def normalise(
    posterior: Numbers, theta: Numbers, largest: float, window: Any, kept: float
) -> tuple[float, float, int, int]:
    """Turn log weights into weights that sum to 1, dropping lanes of negligible ones at the edges.

    Returns:
        log of the sum, posterior mean, and the window of what was kept.
    """
    low, high = window
    for q in range(low, high, LANE):
        exponentiate_lane(posterior, q, largest)
    total = posterior[0] * 0
    moment = posterior[0] * 0
    for q in range(low, high):
        total += posterior[q]
        moment += posterior[q] * theta[q]
    left = low
    while left + LANE < high and lane_maximum(posterior, left) <= kept:
        left += LANE
    right = high
    while right - LANE > left and lane_maximum(posterior, right - LANE) <= kept:
        right -= LANE
    share = 1 / total
    for q in range(left, right):
        posterior[q] *= share
    return math.log(np.float64(total)) + largest, np.float64(moment) / total, left, right


@compiled
def lane_maximum(values: Numbers, at: int) -> float:
    """Largest of one lane."""
    largest: float = values[at]
    for q in range(at, at + LANE):
        largest = max(largest, values[q])
    return largest


@compiled
def add_weighted(posterior: Numbers, weight: float, pooled: Floats, low: int, high: int) -> None:
    """Weight a posterior and add it to the pooled one."""
    for q in range(low, high):
        posterior[q] *= weight
        pooled[q] += posterior[q]


@compiled
def _expect(
    table: Numbers,
    rows: Rows,
    person: Persons,
    grid: Numbers,
    limits: tuple[float, float, bool],
    sums: Sums,
    start: int,
    stop: int,
) -> float:
    """Add students start:stop to `sums`; return their log likelihood.

    Args:
        table: log P(u | theta) at the nodes, flat (2 J S,).
        rows: responses.
        person: weights, and windows which are updated.
        grid: nodes on the scale of theta and log weights, (2, S).
        limits: log of `safe`, `kept`, and whether windows hold from one time to the next.
        sums: added to.
        start: first student.
        stop: one past the last.
    """
    log_safe, kept, has_windows = limits
    stride = grid.shape[1]
    posterior = np.zeros(stride, table.dtype)
    starts = np.zeros(longest_row(rows, start, stop) + AHEAD, np.int32)
    log_likelihood = 0.0
    for i in range(start, stop):
        count = find_rows(rows, i, stride, starts)
        low: int = person.windows[i, 0]
        high: int = person.windows[i, 1]
        largest = add_log_weights(table, starts, count, grid[1], posterior, (low, high))
        edge = largest + log_safe
        if (low > 0 and posterior[low] > edge) or (high < stride and posterior[high - 1] > edge):
            low = 0
            high = stride
            largest = add_log_weights(table, starts, count, grid[1], posterior, (low, high))
        log_sum, _, low, high = normalise(posterior, grid[0], largest, (low, high), kept)
        if has_windows:
            person.windows[i, 0] = low
            person.windows[i, 1] = high
        log_likelihood += person.weights[i] * log_sum
        add_weighted(posterior, person.weights[i], sums.pooled, low, high)
        spread_rows(sums.counts, low, high, posterior, starts, count)
    return log_likelihood


@compiled
def fill_log_table(bank: Floats, theta: Floats, table: Numbers) -> None:
    """log P(u | theta) of every item and grade: table[2 j + u, q], shape (2 J, S)."""
    for j in range(len(bank)):
        for q in range(len(theta)):
            if bank[j, 2] > 0.0:
                for u in range(2):
                    table[2 * j + u, q] = log_probability(
                        bank[j, 0], bank[j, 1], bank[j, 2], theta[q], u
                    )
            else:
                eta = bank[j, 0] * theta[q] + bank[j, 1]
                log_wrong = -max(eta, 0.0) - math.log1p(math.exp(-abs(eta)))
                table[2 * j, q] = log_wrong
                table[2 * j + 1, q] = log_wrong + eta


@compiled
def fold(blocks: Numbers, answered: Floats, correct: Floats, start: int, stop: int) -> None:
    """Add items start:stop of the blocks (B, 2 J, S) up in their order, in double precision."""
    for j in range(start, stop):
        for q in range(blocks.shape[2]):
            wrong = 0.0
            right = 0.0
            for b in range(len(blocks)):
                wrong += blocks[b, 2 * j, q]
                right += blocks[b, 2 * j + 1, q]
            correct[j, q] = right
            answered[j, q] = wrong + right


def aligned(shape: tuple[int, ...], kind: type[np.floating[Any]]) -> Numbers:
    """An empty array that begins on a cache line, so that no lane lies on two."""
    size = math.prod(shape) * np.dtype(kind).itemsize
    raw = np.empty(size + CACHE_LINE, np.uint8)
    offset = -raw.ctypes.data % CACHE_LINE
    return raw[offset : offset + size].view(kind).reshape(shape)


class ExpectationStep:
    """Buffers and blocks for repeated E-steps over the same responses."""

    def __init__(
        self,
        responses: ResponseMatrix,
        grid: Grid,
        has_guessing: bool,
        run: RunBlocks,
        precision: Precision = DOUBLE,
    ) -> None:
        """Lay out the blocks."""
        n_persons, n_items, stride = responses.n_persons, responses.n_items, grid.stride
        self.rows = Rows(responses.indptr, responses.items, responses.correct)
        self.grid = grid
        self._precision = precision
        self._has_windows = not has_guessing
        self._run = run
        tally = responses.tally()
        self._correct_sum = tally[:, 2].copy()
        most_additions = int(tally[:, 0].max()) if precision is SINGLE else 0
        self._table = aligned((2 * n_items, stride), precision.kind)
        n_blocks = block_count(responses, self._table.nbytes, most_additions)
        self.blocks = even_blocks(n_persons, n_blocks)
        self.item_blocks = even_blocks(n_items, min(n_blocks, n_items))
        self._counts = aligned((n_blocks, 2 * n_items, stride), precision.kind)
        self._pooled = np.empty((n_blocks, stride))
        self._log_likelihoods = np.empty(n_blocks)
        weights = np.ones(n_persons) if responses.weights is None else responses.weights
        windows = np.zeros((n_persons, 2), np.int16)
        windows[:, 1] = stride
        self.persons = Persons(weights, windows)

    def __call__(self, bank: Floats, mean: float, sd: float) -> Expectation:
        """Posterior expectations at the parameters `bank` (a, d, c) and theta ~ N(mean, sd^2)."""
        theta = mean + sd * self.grid.nodes
        _, kept, safe = self._precision
        limits = math.log(safe), kept, self._has_windows
        scaled = np.stack([theta, self.grid.log_weights]).astype(self._precision.kind)
        flat = self._table.reshape(-1)

        def prepare(_: int, start: int, stop: int) -> None:
            fill_log_table(bank[start:stop], theta, self._table[2 * start : 2 * stop])

        def expect(number: int, start: int, stop: int) -> None:
            sums = Sums(self._counts[number].reshape(-1), self._pooled[number])
            for part in sums:
                part.fill(0.0)
            self._log_likelihoods[number] = _expect(
                flat, self.rows, self.persons, scaled, limits, sums, start, stop
            )

        answered = np.empty((len(bank), self.grid.stride))
        correct = np.empty_like(answered)

        def add_up(_: int, start: int, stop: int) -> None:
            fold(self._counts, answered, correct, start, stop)

        self._run(prepare, self.item_blocks)
        self._run(expect, self.blocks)
        self._run(add_up, self.item_blocks)
        return Expectation(
            answered,
            self._correct_sum,
            correct @ theta,
            correct,
            self._pooled.sum(axis=0),
            math.fsum(self._log_likelihoods),
        )


def block_count(responses: ResponseMatrix, table_bytes: int, most_additions: int) -> int:
    """How many blocks of students; `most_additions` to one count if they lose precision."""
    wanted = min(-(-responses.n_responses // RESPONSES_PER_BLOCK), MOST_BLOCKS)
    exact = min(-(-most_additions // SINGLE_ADDITIONS), MOST_SINGLE_BLOCKS)
    affordable = MOST_TABLE_BYTES // max(1, table_bytes)
    return max(1, min(max(wanted, exact), max(4, affordable), responses.n_persons))
