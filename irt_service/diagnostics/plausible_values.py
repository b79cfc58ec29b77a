"""PV-Q1: item fit by bins of plausible values, for responses that are missing by design.

Chalmers & Ng (2017, Applied Psychological Measurement 41(5)): abilities are drawn from each
student's posterior, students who answered the item are put into ten bins of equal size by them,
Yen's (1981) Q1 compares the share correct with the model at the bin's mean ability; the
statistics are averaged over the draws. As in R mirt 1.47, but for the draws, which here come
from the posterior on the quadrature grid.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from irt_service.compiled import compiled
from irt_service.diagnostics.chi_square import ChiSquareFit, chi_square_fit
from irt_service.parallel import block_runner, even_blocks
from irt_service.quadrature import normal_grid
from irt_service.responses import ResponseMatrix
from irt_service.scoring import Rows, add_rows, fill_table, item_bank

Floats = npt.NDArray[np.float64]
Draws = npt.NDArray[np.float32]
Index = npt.NDArray[np.int64]

DRAWS = 30
BINS = 10
FEWEST_RESPONSES = 200
BLOCK = 8192
TOO_FEW_RESPONSES = "too_few_responses"

STEP = np.uint64(0x9E3779B97F4A7C15)
MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
MIX_2 = np.uint64(0x94D049BB133111EB)
SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11))
UNIT = 2.0**-53


@compiled
def _uniform(seed: np.uint64, count: np.uint64) -> float:
    """The `count`-th number in [0, 1) of the sequence: SplitMix64 (Steele, Lea & Flood, 2014)."""
    x = seed + (count + np.uint64(1)) * STEP
    x = (x ^ (x >> SHIFTS[0])) * MIX_1
    x = (x ^ (x >> SHIFTS[1])) * MIX_2
    return float((x ^ (x >> SHIFTS[2])) >> SHIFTS[3]) * UNIT


@compiled
def _draw(
    table: Floats, rows: Rows, grid: Floats, seed: np.uint64, out: Draws, start: int, stop: int
) -> None:
    """Abilities of students start:stop from their posteriors: out (draws, N).

    A node's weight is spread evenly over the interval that it stands for.
    """
    stride = grid.shape[1]
    posterior = np.empty(stride)
    spacing = grid[0, 1] - grid[0, 0]
    draws = len(out)
    for i in range(start, stop):
        posterior[:] = grid[1]
        add_rows(table, rows, i, posterior)
        largest = posterior[0]
        for q in range(stride):
            largest = max(largest, posterior[q])
        total = 0.0
        for q in range(stride):
            total += math.exp(posterior[q] - largest)
            posterior[q] = total
        for draw in range(draws):
            target = _uniform(seed, np.uint64(i * draws + draw)) * total
            low = np.searchsorted(posterior, target)
            below = posterior[low - 1] if low > 0 else 0.0
            share = (target - below) / (posterior[low] - below)
            out[draw, i] = grid[0, low] + (share - 0.5) * spacing


@compiled
def _bin(position: int, count: int) -> int:
    """Bin of the position-th of `count` students; what is left over goes to both ends."""
    size = count // BINS
    position -= (count - size * BINS) // 2
    return min(max(position // size, 0), BINS - 1)


@compiled
def _q1(
    bank: Floats, rows: Rows, theta: Draws, order: Index, counts: Index, weights: Floats
) -> Floats:
    """Q1 of every item with one set of abilities."""
    n_items = len(bank)
    seen = np.zeros(n_items, np.int64)
    bins = np.zeros((n_items, BINS, 3))
    for i in order:
        weight = weights[i % len(weights)]
        for k in range(rows.indptr[i], rows.indptr[i + 1]):
            j = rows.items[k]
            if counts[j] < BINS:
                continue
            into = bins[j, _bin(seen[j], counts[j])]
            seen[j] += 1
            into[0] += weight
            into[1] += weight * theta[i]
            into[2] += weight * rows.correct[k]
    statistic = np.zeros(n_items)
    for j in range(n_items):
        for n in range(BINS):
            total = bins[j, n, 0]
            if total > 0.0:
                mean = bins[j, n, 1] / total
                s = 1.0 / (1.0 + math.exp(-bank[j, 0] * mean - bank[j, 1]))
                p = bank[j, 2] + (1.0 - bank[j, 2]) * s
                statistic[j] += (bins[j, n, 2] - total * p) ** 2 / (total * p * (1.0 - p))
    return statistic


def pv_q1(
    responses: ResponseMatrix,
    a: Floats,
    b: Floats,
    c: Floats,
    prior_mean: float = 0.0,
    prior_sd: float = 1.0,
    *,
    seed: int,
    draws: int = DRAWS,
    n_estimated: npt.ArrayLike = 2,
    threads: int = 1,
) -> ChiSquareFit:
    """PV-Q1 of every item with enough responses (200); complete forms are not needed.

    The same seed and responses give the same statistic, whatever the number of threads.

    Args:
        responses: students x items.
        a: discrimination, (J,).
        b: difficulty, (J,).
        c: guessing, (J,).
        prior_mean: of theta in the population.
        prior_sd: likewise.
        seed: of the draws.
        draws: plausible values per student; 4 bytes each.
        n_estimated: parameters estimated, per item or for all.
        threads: 0 for all cores.
    """
    grid = normal_grid()
    theta = prior_mean + prior_sd * grid.nodes
    bank = item_bank(a, b, c)
    table = np.empty((2 * len(bank), grid.stride))
    fill_table(bank, theta, table)
    rows = Rows(responses.indptr, responses.items, responses.correct)
    weights = np.ones(1) if responses.weights is None else responses.weights
    nodes = np.stack([theta, grid.log_weights])
    values = np.empty((draws, responses.n_persons), np.float32)
    start_value = np.uint64(seed % 2**64)

    def draw(_: int, start: int, stop: int) -> None:
        _draw(table, rows, nodes, start_value, values, start, stop)

    counts = responses.item_counts()
    found = np.empty((draws, len(bank)))

    def bin_up(number: int, _start: int, _stop: int) -> None:
        order = np.argsort(values[number], kind="stable")
        found[number] = _q1(bank, rows, values[number], order, counts, weights)

    with block_runner(threads) as run:
        run(draw, even_blocks(responses.n_persons, -(-responses.n_persons // BLOCK)))
        run(bin_up, [(n, n + 1) for n in range(draws)])
    reason = np.full(len(bank), "", dtype=object)
    reason[counts < FEWEST_RESPONSES] = TOO_FEW_RESPONSES
    df = np.full(len(bank), float(BINS)) - np.asarray(n_estimated, dtype=np.float64)
    return chi_square_fit(found.mean(axis=0), df, counts.astype(np.float64), reason)
