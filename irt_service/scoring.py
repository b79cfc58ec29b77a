"""Expected a posteriori abilities, for one student or a million, from one definition.

theta = E[theta | responses], standard error = posterior SD, prior N(mean, sd^2) on the grid of
`quadrature` moved and scaled with the prior (Bock & Mislevy, 1982, Applied Psychological
Measurement 6(4), eqs. 5-6). No responses give the prior mean and SD back exactly.

Two kernels: one evaluates the items on each student's own grid, the other reads a table of log
probabilities when many students share one prior. They agree to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from irt_service.compiled import compiled
from irt_service.errors import InvalidInputError
from irt_service.lanes import AHEAD, sum_rows
from irt_service.parallel import block_runner, even_blocks
from irt_service.quadrature import Grid, normal_grid

Floats = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]
Grades = npt.NDArray[np.int8]

LARGEST_EXPONENT = 600.0  # products of probabilities stay within exp of it; exp(709) is infinite
TABLE_PAYS = 4  # a table of log probabilities pays from this many responses per item on
BLOCK = 8192  # students per task

DEFAULT_GRID = normal_grid()


class Rows(NamedTuple):
    """Compressed sparse rows, as in ResponseMatrix."""

    indptr: Index
    items: Codes
    correct: Grades


@compiled
def log_probability(slope: float, intercept: float, guessing: float, theta: float, u: int) -> float:
    """log P(u | theta), u being 1 or 0, without overflow or cancellation."""
    eta = slope * theta + intercept
    softplus = max(eta, 0.0) + math.log1p(math.exp(-abs(eta)))
    if u == 0:
        return math.log1p(-guessing) - softplus
    if guessing == 0.0:
        return eta - softplus
    return math.log(guessing + (1.0 - guessing) * math.exp(eta - softplus))


@compiled
def _multiply(
    line: tuple[float, float], fraction: tuple[float, float], theta: Floats, product: Floats
) -> None:
    """Multiply product[0] by f0 + f1 x and product[1] by 1 + x, x = exp(-slope theta - intercept).

    Their ratio is P(correct) with f = (1, c), P(incorrect) with (0, 1 - c). The nodes are equally
    spaced, so x is a geometric series, taken in four interleaved parts.
    """
    slope, intercept = line
    f0, f1 = fraction
    numerator = product[0]
    denominator = product[1]
    ratio = math.exp(-slope * (theta[1] - theta[0]))
    ratio2 = ratio * ratio
    ratio4 = ratio2 * ratio2
    x0 = math.exp(-slope * theta[0] - intercept)
    x1 = x0 * ratio
    x2 = x0 * ratio2
    x3 = x1 * ratio2
    for q in range(0, len(theta), 4):
        numerator[q] *= f0 + f1 * x0
        numerator[q + 1] *= f0 + f1 * x1
        numerator[q + 2] *= f0 + f1 * x2
        numerator[q + 3] *= f0 + f1 * x3
        denominator[q] *= 1.0 + x0
        denominator[q + 1] *= 1.0 + x1
        denominator[q + 2] *= 1.0 + x2
        denominator[q + 3] *= 1.0 + x3
        x0 *= ratio4
        x1 *= ratio4
        x2 *= ratio4
        x3 *= ratio4


@compiled
def _summarise(log_posterior: Floats, nodes: Floats) -> tuple[float, float]:
    """Mean and SD on the standardised nodes; log_posterior is overwritten."""
    largest = log_posterior[0]
    for value in log_posterior:
        largest = max(largest, value)
    total = 0.0
    first = 0.0
    for q in range(len(nodes)):
        weight = math.exp(log_posterior[q] - largest)
        log_posterior[q] = weight
        total += weight
        first += weight * nodes[q]
    mean = first / total
    second = 0.0
    for q in range(len(nodes)):
        second += log_posterior[q] * (nodes[q] - mean) ** 2
    return mean, math.sqrt(second / total)


@compiled
def _add_logarithms(product: Floats, log_posterior: Floats) -> None:
    for q in range(len(log_posterior)):
        log_posterior[q] += math.log(product[0, q] / product[1, q])
        product[0, q] = 1.0
        product[1, q] = 1.0


@compiled
def _score_direct(
    bank: Floats, rows: Rows, prior: Floats, grid: Floats, out: Floats, start: int, stop: int
) -> None:
    """Score students start:stop, each on the grid of its own prior.

    Args:
        bank: a, d = -a b and c of each item, shape (J, 3).
        rows: the responses.
        prior: mean and SD, shape (1, 2) for all students or (N, 2).
        grid: standardised nodes and log weights, shape (2, S).
        out: theta and standard error, shape (N, 2); written.
        start: first student.
        stop: one past the last student.
    """
    stride = grid.shape[1]
    theta = np.empty(stride)
    product = np.ones((2, stride))
    log_posterior = np.empty(stride)
    for i in range(start, stop):
        mean = prior[i % len(prior), 0]
        sd = prior[i % len(prior), 1]
        if rows.indptr[i] == rows.indptr[i + 1]:
            out[i, 0] = mean
            out[i, 1] = sd
            continue
        for q in range(stride):
            theta[q] = mean + sd * grid[0, q]
            log_posterior[q] = grid[1, q]
        exponent = 0.0
        for k in range(rows.indptr[i], rows.indptr[i + 1]):
            j = rows.items[k]
            slope = bank[j, 0]
            intercept = bank[j, 1]
            guessing = bank[j, 2]
            low = abs(slope * theta[0] + intercept)
            high = abs(slope * theta[stride - 1] + intercept)
            more = max(low, high) - math.log1p(-guessing)
            if not more < LARGEST_EXPONENT:
                for q in range(stride):
                    log_posterior[q] += log_probability(
                        slope, intercept, guessing, theta[q], rows.correct[k]
                    )
                continue
            if exponent + more > LARGEST_EXPONENT:
                _add_logarithms(product, log_posterior)
                exponent = 0.0
            exponent += more
            if rows.correct[k] == 1:
                _multiply((slope, intercept), (1.0, guessing), theta, product)
            else:
                _multiply((slope, intercept), (0.0, 1.0 - guessing), theta, product)
        _add_logarithms(product, log_posterior)
        z, spread = _summarise(log_posterior, grid[0])
        out[i, 0] = mean + sd * z
        out[i, 1] = sd * spread


@compiled
def fill_table(bank: Floats, theta: Floats, table: Floats) -> None:
    """log P(u | theta) of every item and grade: table[2 j + u, q], shape (2 J, S)."""
    for j in range(len(bank)):
        for u in range(2):
            for q in range(len(theta)):
                table[2 * j + u, q] = log_probability(
                    bank[j, 0], bank[j, 1], bank[j, 2], theta[q], u
                )


@compiled
def add_rows(table: Floats, rows: Rows, i: int, total: Floats) -> None:
    """Add the log probabilities of the answers of student i, four rows at a time."""
    start = rows.indptr[i]
    stop = rows.indptr[i + 1]
    fours = start + (stop - start) // 4 * 4
    for k in range(start, fours, 4):
        r0 = table[2 * rows.items[k] + rows.correct[k]]
        r1 = table[2 * rows.items[k + 1] + rows.correct[k + 1]]
        r2 = table[2 * rows.items[k + 2] + rows.correct[k + 2]]
        r3 = table[2 * rows.items[k + 3] + rows.correct[k + 3]]
        for q in range(len(total)):
            total[q] += (r0[q] + r1[q]) + (r2[q] + r3[q])
    for k in range(fours, stop):
        row = table[2 * rows.items[k] + rows.correct[k]]
        for q in range(len(total)):
            total[q] += row[q]


@compiled
def longest_row(rows: Rows, start: int, stop: int) -> int:
    """Most answers of one student."""
    longest = 0
    for i in range(start, stop):
        longest = max(longest, rows.indptr[i + 1] - rows.indptr[i])
    return longest


@compiled
def find_rows(rows: Rows, i: int, stride: int, starts: Codes) -> int:
    """Where the table rows of student i's answers begin; returns how many."""
    first = rows.indptr[i]
    count: int = rows.indptr[i + 1] - first
    width = np.int32(stride)
    for k in range(count):
        starts[k] = (
            rows.items[first + k] * np.int32(2) + np.int32(rows.correct[first + k])
        ) * width
    return count


@compiled
def _score_table(
    table: Floats, rows: Rows, prior: Floats, grid: Floats, out: Floats, start: int, stop: int
) -> None:
    """Score students start:stop from a table of log probabilities on the shared grid."""
    stride = grid.shape[1]
    flat = table.reshape(-1)
    log_posterior = np.empty(stride)
    starts = np.zeros(longest_row(rows, start, stop) + AHEAD, np.int32)
    for i in range(start, stop):
        if rows.indptr[i] == rows.indptr[i + 1]:
            out[i, 0] = prior[0, 0]
            out[i, 1] = prior[0, 1]
            continue
        for q in range(stride):
            log_posterior[q] = grid[1, q]
        sum_rows(log_posterior, 0, stride, flat, starts, find_rows(rows, i, stride, starts))
        z, spread = _summarise(log_posterior, grid[0])
        out[i, 0] = prior[0, 0] + prior[0, 1] * z
        out[i, 1] = prior[0, 1] * spread


@compiled
def _find_problem(bank: Floats, rows: Rows, prior: Floats) -> int:
    """Number of a rule in PROBLEMS that is broken, -1 if none."""
    problem = -1
    for j in range(len(bank)):
        is_finite = math.isfinite(bank[j, 0]) and math.isfinite(bank[j, 1])
        if not (is_finite and 0.0 <= bank[j, 2] < 1.0):
            problem = 0
    length = len(rows.items)
    if not (len(rows.indptr) > 0 and rows.indptr[0] == 0 and rows.indptr[-1] == length):
        problem = 1
    for i in range(len(rows.indptr) - 1):
        if rows.indptr[i + 1] < rows.indptr[i]:
            problem = 1
    for k in range(length):
        if not 0 <= rows.items[k] < len(bank):
            problem = 2
        if not 0 <= rows.correct[k] <= 1:
            problem = 3
    for i in range(len(prior)):
        if not (math.isfinite(prior[i, 0]) and math.isfinite(prior[i, 1]) and prior[i, 1] > 0.0):
            problem = 4
    return problem


Kernel = Callable[[Floats, Rows, Floats, Floats, Floats, int, int], None]

PROBLEMS = (
    ("item parameters must be finite, with 0 <= c < 1", "leave items without an estimate out"),
    ("indptr, items and correct do not fit together", "indptr runs from 0 to their length"),
    ("a response is to an item without parameters", "leave such responses out"),
    ("a grade is not 0 or 1", "leave unanswered questions out"),
    ("a prior needs a finite mean and a finite SD above 0", ""),
)


def item_bank(
    discrimination: npt.ArrayLike, difficulty: npt.ArrayLike, guessing: npt.ArrayLike
) -> Floats:
    """Columns a, d = -a b, c of shape (J, 3), as the kernels read them.

    Raises:
        InvalidInputError: the lengths differ.
    """
    a = np.asarray(discrimination, dtype=np.float64)
    bank = np.empty((len(a), 3))
    try:
        bank[:, 0] = a
        bank[:, 1] = -a * np.asarray(difficulty, dtype=np.float64)
        bank[:, 2] = guessing
    except ValueError as error:
        raise InvalidInputError("item parameters have unequal lengths", str(error)) from error
    return bank


def _priors(mean: npt.ArrayLike, sd: npt.ArrayLike, n_persons: int) -> Floats:
    means = np.asarray(mean, dtype=np.float64)
    sds = np.asarray(sd, dtype=np.float64)
    prior = np.empty((1 if means.ndim == sds.ndim == 0 else n_persons, 2))
    try:
        prior[:, 0] = means
        prior[:, 1] = sds
    except ValueError as error:
        raise InvalidInputError(
            f"a prior is given once or for each of {n_persons} students", str(error)
        ) from error
    return prior


def eap(
    discrimination: npt.ArrayLike,
    difficulty: npt.ArrayLike,
    guessing: npt.ArrayLike,
    indptr: npt.ArrayLike,
    items: npt.ArrayLike,
    correct: npt.ArrayLike,
    prior_mean: npt.ArrayLike = 0.0,
    prior_sd: npt.ArrayLike = 1.0,
    *,
    grid: Grid = DEFAULT_GRID,
    threads: int = 1,
) -> tuple[Floats, Floats]:
    """Score many students at once.

    Args:
        discrimination: a, shape (J,).
        difficulty: b, shape (J,).
        guessing: c, shape (J,).
        indptr: shape (N + 1,); student i answered items[indptr[i]:indptr[i + 1]].
        items: positions in the parameter arrays, shape (nnz,).
        correct: 0 or 1, shape (nnz,).
        prior_mean: one for all or one per student.
        prior_sd: likewise, above 0.
        grid: standardised nodes; it moves and scales with each prior.
        threads: 0 for all cores; the result does not depend on it.

    Returns:
        theta and standard error, each of shape (N,).

    Raises:
        InvalidInputError: shapes that do not agree, values out of range.
    """
    bank = item_bank(discrimination, difficulty, guessing)
    rows = Rows(
        np.ascontiguousarray(indptr, dtype=np.int64),
        np.ascontiguousarray(items, dtype=np.int32),
        np.ascontiguousarray(correct, dtype=np.int8),
    )
    if len(rows.items) != len(rows.correct):
        raise InvalidInputError(
            "items and correct have unequal lengths", f"{len(rows.items)}, {len(rows.correct)}"
        )
    n_persons = len(rows.indptr) - 1
    prior = _priors(prior_mean, prior_sd, n_persons)
    problem = _find_problem(bank, rows, prior)
    if problem >= 0:
        what, remedy = PROBLEMS[problem]
        raise InvalidInputError(what, remedy=remedy)
    out = np.empty((n_persons, 2))
    kernel: Kernel = _score_direct
    parameters = bank
    if len(prior) == 1 and len(rows.items) >= TABLE_PAYS * len(bank):
        table = np.empty((2 * len(bank), grid.stride))
        fill_table(bank, prior[0, 0] + prior[0, 1] * grid.nodes, table)
        kernel, parameters = _score_table, table
    if n_persons <= BLOCK:
        kernel(parameters, rows, prior, grid.table, out, 0, n_persons)
        return out[:, 0], out[:, 1]

    def score(_: int, start: int, stop: int) -> None:
        kernel(parameters, rows, prior, grid.table, out, start, stop)

    with block_runner(threads) as run:
        run(score, even_blocks(n_persons, -(-n_persons // BLOCK)))
    return out[:, 0], out[:, 1]
