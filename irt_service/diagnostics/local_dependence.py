"""Q3: do two items have more in common than the ability they both measure?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from irt_service.compiled import compiled
from irt_service.diagnostics.false_discovery import benjamini_hochberg
from irt_service.parallel import block_runner, even_blocks
from irt_service.responses import ResponseMatrix
from irt_service.scoring import Rows, item_bank

Floats = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]
Residuals = npt.NDArray[np.float32]
Codes = npt.NDArray[np.int32]

FEWEST_PAIRS = 100
MOST_REPORTED = 1000
THRESHOLD = 0.2  # above the mean of all pairs
SIGNIFICANT = 0.05
ITEMS_AT_ONCE = 32
BLOCK = 8192
SUMS = 6  # count, two sums, two sums of squares, sum of products
MOST_CORRELATED = 1.0 - 1e-12  # Fisher's z of a perfect correlation would be infinite
LOST_TO_FISHER = 3  # Fisher's z has variance 1 / (n - 3)


@dataclass(frozen=True)
class LocalDependence:
    """The most significant pairs, most significant first, shape (K,) each.

    Attributes:
        item_1: position of the earlier item.
        item_2: position of the later item.
        q3: correlation of the residuals.
        n_pairs: students who answered both.
        p: of q3 against the mean of all pairs, by Fisher's z, two-sided.
        q: adjusted for the false-discovery rate over all pairs.
        is_flagged: significant (q < 0.05) and further than the threshold from the mean.
        mean_q3: over all pairs with enough students; about -1 / (J - 1) on complete forms.
        n_tested: pairs with enough students.
        n_untested: pairs that some student, but not enough of them, answered.
    """

    item_1: Index
    item_2: Index
    q3: Floats
    n_pairs: Index
    p: Floats
    q: Floats
    is_flagged: npt.NDArray[np.bool_]
    mean_q3: float
    n_tested: int
    n_untested: int


@compiled
def _fill_residuals(
    bank: Floats, rows: Rows, theta: Floats, out: Residuals, start: int, stop: int
) -> None:
    for i in range(start, stop):
        for k in range(rows.indptr[i], rows.indptr[i + 1]):
            j = rows.items[k]
            s = 1.0 / (1.0 + math.exp(-bank[j, 0] * theta[i] - bank[j, 1]))
            out[k] = rows.correct[k] - bank[j, 2] - (1.0 - bank[j, 2]) * s


@compiled
def _by_item(rows: Rows, starts: Index, places: Index, students: Codes) -> None:
    """Responses in the order of the items: their place in the rows and their student."""
    following = starts[:-1].copy()
    for i in range(len(rows.indptr) - 1):
        for k in range(rows.indptr[i], rows.indptr[i + 1]):
            at = following[rows.items[k]]
            places[at] = k
            students[at] = i
            following[rows.items[k]] += 1


@compiled
def _correlate(
    rows: Rows,
    residuals: Residuals,
    columns: tuple[Index, Index, Codes],
    weights: Floats,
    j: int,
    sums: Floats,
    out: Floats,
) -> None:
    """Q3 and count of item j with every later item: out (J, 2)."""
    starts, places, students = columns
    sums[j + 1 :] = 0.0
    for n in range(starts[j], starts[j + 1]):
        x = float(residuals[places[n]])
        weight = weights[students[n] % len(weights)]
        for k in range(places[n] + 1, rows.indptr[students[n] + 1]):
            y = float(residuals[k])
            into = sums[rows.items[k]]
            into[0] += weight
            into[1] += weight * x
            into[2] += weight * y
            into[3] += weight * x * x
            into[4] += weight * y * y
            into[5] += weight * x * y
    for k in range(j + 1, len(sums)):
        n, sx, sy, sxx, syy, sxy = sums[k]
        out[k, 0] = n
        out[k, 1] = (n * sxy - sx * sy) / math.sqrt((n * sxx - sx * sx) * (n * syy - sy * sy))


def q3(
    responses: ResponseMatrix,
    a: Floats,
    b: Floats,
    c: Floats,
    theta: Floats,
    *,
    min_pairs: int = FEWEST_PAIRS,
    most_reported: int = MOST_REPORTED,
    threshold: float = THRESHOLD,
    threads: int = 1,
) -> LocalDependence:
    """Correlation of residuals u - P(theta) over the students who answered both items.

    Yen (1984, Applied Psychological Measurement 8(2), eq. 8). Under local independence Q3 is
    slightly negative because theta is estimated from the same answers, so pairs are judged
    against the mean of all (Christensen, Makransky & Horton, 2017, Applied Psychological
    Measurement 41(3)), by default 0.2 away from it. In a large bank pairs differ in the number
    of students, so those that are kept are the most significant.

    One item is held against all later ones at a time: memory is that of the residuals and of
    `threads` rows of pairs.

    Args:
        responses: students x items.
        a: discrimination, (J,).
        b: difficulty, (J,).
        c: guessing, (J,).
        theta: abilities, (N,); EAP.
        min_pairs: pairs with fewer students in common are not judged.
        most_reported: pairs that are returned at most.
        threshold: distance from the mean that matters.
        threads: 0 for all cores; the result does not depend on it.
    """
    bank = item_bank(a, b, c)
    rows = Rows(responses.indptr, responses.items, responses.correct)
    weights = np.ones(1) if responses.weights is None else responses.weights
    n_items = responses.n_items
    residuals = np.empty(responses.n_responses, np.float32)
    starts = np.concatenate([[0], np.cumsum(responses.item_counts())]).astype(np.int64)
    places = np.empty(responses.n_responses, np.int64)
    students = np.empty(responses.n_responses, np.int32)
    blocks = even_blocks(n_items, -(-n_items // ITEMS_AT_ONCE))
    kept: list[Floats] = [np.empty((0, 4))] * len(blocks)
    tallies = np.zeros((len(blocks), 3))

    def fill(_: int, start: int, stop: int) -> None:
        _fill_residuals(bank, rows, theta, residuals, start, stop)

    def correlate(number: int, start: int, stop: int) -> None:
        sums, out = np.empty((n_items, SUMS)), np.empty((n_items, 2))
        best = np.empty((0, 4))
        for j in range(start, stop):
            _correlate(rows, residuals, (starts, places, students), weights, j, sums, out)
            n, value = out[j + 1 :].T
            usable = np.flatnonzero((n >= min_pairs) & np.isfinite(value))
            tallies[number] += len(usable), value[usable].sum(), (n > 0).sum() - len(usable)
            usable = usable[_extreme(n[usable], value[usable], most_reported)]
            later = np.stack([np.full(len(usable), j), usable + j + 1, n[usable], value[usable]])
            best = np.concatenate([best, later.T])
            best = best[_extreme(best[:, 2], best[:, 3], most_reported)]
        kept[number] = best

    with block_runner(threads) as run:
        run(fill, even_blocks(responses.n_persons, -(-responses.n_persons // BLOCK)))
        _by_item(rows, starts, places, students)
        run(correlate, blocks)
    n_tested, total, n_untested = tallies.sum(axis=0)
    mean = float(total / n_tested) if n_tested else float("nan")
    found = np.concatenate(kept)
    found = found[_extreme(found[:, 2], found[:, 3], 2 * most_reported, mean)]
    item_1, item_2, n, value = found[:most_reported].T
    p = 2.0 * ndtr(-np.abs(_distance(n, value, mean)))
    q = benjamini_hochberg(p, int(n_tested))
    return LocalDependence(
        item_1.astype(np.int64),
        item_2.astype(np.int64),
        value,
        n.astype(np.int64),
        p,
        q,
        (q < SIGNIFICANT) & (np.abs(value - mean) > threshold),
        mean,
        int(n_tested),
        int(n_untested),
    )


def _distance(n: Floats, value: Floats, mean: float) -> Floats:
    """Fisher's z of each Q3 against the mean."""
    bounded = np.clip(value, -MOST_CORRELATED, MOST_CORRELATED)
    distance: Floats = (np.arctanh(bounded) - np.arctanh(mean)) * np.sqrt(
        np.maximum(n - LOST_TO_FISHER, 0.0)
    )
    return distance


def _extreme(n: Floats, value: Floats, count: int, mean: float = 0.0) -> Index:
    """Positions of the `count` most significant pairs on either side, most significant first."""
    distance = _distance(n, value, mean)
    order = np.argsort(-np.abs(distance), kind="stable")
    positive = order[distance[order] >= 0][:count]
    negative = order[distance[order] < 0][:count]
    both = np.concatenate([positive, negative])
    return both[np.argsort(-np.abs(distance[both]), kind="stable")]
