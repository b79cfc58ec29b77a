"""S-X2: observed against expected shares correct by summed score, on complete forms.

Orlando & Thissen (2000, Applied Psychological Measurement 24(1), eqs. 3-5; 2003, 27(4)). The
expected shares come from the recursion of Lord & Wingersky (1984, Applied Psychological
Measurement 8(4)). Cells are collapsed as in R mirt 1.47 until none expects less than 1.

A summed score means the same only among students who answered exactly the same items. Students
are therefore grouped into forms by their set of items; every form with enough students gives a
statistic for each of its items, and those of one item are added up over its forms (independent
given the parameters), its estimated parameters being subtracted from the degrees of freedom once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from irt_service.compiled import compiled
from irt_service.diagnostics.chi_square import ChiSquareFit, chi_square_fit
from irt_service.parallel import block_runner
from irt_service.quadrature import normal_grid
from irt_service.responses import ResponseMatrix
from irt_service.scoring import Rows, fill_table, item_bank

Floats = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]

FEWEST_STUDENTS = 200  # of one form
FEWEST_ITEMS = 3  # a shorter form has too few scores
SMALLEST_EXPECTED = 1.0
INCOMPLETE_FORMS = "incomplete_forms"

MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
SHIFT = np.uint64(29)


@dataclass(frozen=True)
class Form:
    """Students who answered exactly the same items.

    Attributes:
        items: positions of the items, rising.
        students: rows of the responses.
    """

    items: npt.NDArray[np.int32]
    students: Index


@compiled
def _hash_rows(rows: Rows, hashes: Hashes) -> None:
    for i in range(len(hashes)):
        value = np.uint64(rows.indptr[i + 1] - rows.indptr[i])
        for k in range(rows.indptr[i], rows.indptr[i + 1]):
            value = (value ^ np.uint64(rows.items[k] + 1)) * MULTIPLIER
            value ^= value >> SHIFT
        hashes[i] = value


@compiled
def _is_same(rows: Rows, students: Index, same: npt.NDArray[np.bool_]) -> None:
    """Which students answered exactly the items that the first one did."""
    first = rows.indptr[students[0]]
    count = rows.indptr[students[0] + 1] - first
    for n in range(len(students)):
        start = rows.indptr[students[n]]
        same[n] = rows.indptr[students[n] + 1] - start == count
        for k in range(count):
            if same[n] and rows.items[start + k] != rows.items[first + k]:
                same[n] = False


def complete_forms(responses: ResponseMatrix, fewest_students: int) -> list[Form]:
    """Sets of items that at least `fewest_students` students answered, no item more or less."""
    rows = Rows(responses.indptr, responses.items, responses.correct)
    hashes = np.empty(responses.n_persons, np.uint64)
    _hash_rows(rows, hashes)
    order = np.argsort(hashes, kind="stable")
    edges = np.flatnonzero(np.diff(hashes[order], prepend=hashes[order[:1]] - MULTIPLIER))
    sizes = np.diff(np.append(edges, len(order)))
    forms = []
    for edge in np.flatnonzero(sizes >= fewest_students):
        students = np.sort(order[edges[edge] : edges[edge] + sizes[edge]])
        same = np.empty(len(students), np.bool_)
        _is_same(rows, students, same)
        first = slice(rows.indptr[students[0]], rows.indptr[students[0] + 1])
        if len(rows.items[first]) >= FEWEST_ITEMS:
            forms.append(Form(rows.items[first].copy(), students[same]))
    return sorted(forms, key=lambda form: int(form.students[0]))


@compiled
def _count_scores(rows: Rows, students: Index, weights: Floats, observed: Floats) -> None:
    """Students by item, summed score and grade, (m, m + 1, 2)."""
    for n in range(len(students)):
        start = rows.indptr[students[n]]
        stop = rows.indptr[students[n] + 1]
        score = 0
        for k in range(start, stop):
            score += rows.correct[k]
        for k in range(start, stop):
            observed[k - start, score, rows.correct[k]] += weights[students[n] % len(weights)]


@compiled
def _score_distribution(chances: Floats, without: int, scores: Floats) -> None:
    """P(summed score | theta) over all items but one: scores (m + 1, S); -1 leaves none out."""
    scores[:] = 0.0
    scores[0] = 1.0
    seen = 0
    for j in range(len(chances)):
        if j == without:
            continue
        seen += 1
        for score in range(seen, -1, -1):
            for q in range(chances.shape[1]):
                below = scores[score - 1, q] * chances[j, q] if score > 0 else 0.0
                scores[score, q] = scores[score, q] * (1.0 - chances[j, q]) + below


@compiled
def _merge(observed: Floats, expected: Floats, count: int, source: int, into: int) -> int:
    """Add a row to another and close the gap; returns the rows left."""
    for u in range(2):
        observed[into, u] += observed[source, u]
        expected[into, u] += expected[source, u]
    for row in range(source, count - 1):
        for u in range(2):
            observed[row, u] = observed[row + 1, u]
            expected[row, u] = expected[row + 1, u]
    return count - 1


@compiled
def _collapse(observed: Floats, expected: Floats, count: int) -> int:
    """Merge rows as R mirt does until every cell expects enough; returns the rows left."""
    row = 0
    while row < count - 1:
        if observed[row].sum() <= 1.0:
            count = _merge(observed, expected, count, row, row + 1)
        else:
            row += 1
    if count > 1 and observed[count - 1].sum() <= 1.0:
        count = _merge(observed, expected, count, count - 1, count - 2)
    while count > 1:
        small = -1
        for row in range(count - 1, -1, -1):
            if min(expected[row, 0], expected[row, 1]) < SMALLEST_EXPECTED:
                small = row
        if small < 0:
            break
        into = 1
        if small == count - 1:
            into = count - 2
        elif small > 0:
            into = small - 1
            if observed[small + 1].sum() < observed[small - 1].sum():
                into = small + 1
        count = _merge(observed, expected, count, small, into)
    return count


@compiled
def _fit_form(chances: Floats, weights: Floats, observed: Floats, out: Floats) -> None:
    """Statistic and rows of each item of a form: out (m, 2).

    Args:
        chances: P(correct) of the form's items on the grid, (m, S).
        weights: of the grid, (S,).
        observed: students by item, score and grade, (m, m + 1, 2).
        out: written.
    """
    m = len(chances)
    every = np.empty((m + 1, len(weights)))
    rest = np.empty((m + 1, len(weights)))
    _score_distribution(chances, -1, every)
    seen = np.empty((m, 2))
    expected = np.empty((m, 2))
    for j in range(m):
        _score_distribution(chances, j, rest)
        count = 0
        for score in range(1, m):
            total = observed[j, score].sum()
            if total == 0.0:
                continue
            both = 0.0
            alone = 0.0
            for q in range(len(weights)):
                both += weights[q] * chances[j, q] * rest[score - 1, q]
                alone += weights[q] * every[score, q]
            seen[count] = observed[j, score]
            expected[count, 1] = total * both / alone
            expected[count, 0] = total - expected[count, 1]
            count += 1
        count = _collapse(seen, expected, count)
        statistic = 0.0
        for row in range(count):
            for u in range(2):
                statistic += (seen[row, u] - expected[row, u]) ** 2 / expected[row, u]
        out[j, 0] = statistic
        out[j, 1] = count


def s_x2(
    responses: ResponseMatrix,
    a: Floats,
    b: Floats,
    c: Floats,
    prior_mean: float = 0.0,
    prior_sd: float = 1.0,
    *,
    n_estimated: npt.ArrayLike = 2,
    fewest_students: int = FEWEST_STUDENTS,
    threads: int = 1,
) -> ChiSquareFit:
    """S-X2 of every item that stands on a complete form.

    Items without one have the reason 'incomplete_forms'. Where the parameters rest on more
    students than the forms hold, subtracting all of them from df is slightly strict.

    Args:
        responses: students x items.
        a: discrimination, (J,).
        b: difficulty, (J,).
        c: guessing, (J,).
        prior_mean: of theta in the population.
        prior_sd: likewise.
        n_estimated: parameters estimated, per item or for all: 2PL 2, 3PL 3; Rasch 2, the
            latent variance being counted as in R mirt; 0 for fixed items.
        fewest_students: smaller forms are left out.
        threads: 0 for all cores; the result does not depend on it.
    """
    n_items = responses.n_items
    grid = normal_grid()
    theta = prior_mean + prior_sd * grid.nodes[: grid.count]
    grid_weights = np.exp(grid.log_weights[: grid.count])
    bank = item_bank(a, b, c)
    rows = Rows(responses.indptr, responses.items, responses.correct)
    weights = np.ones(1) if responses.weights is None else responses.weights
    forms = complete_forms(responses, fewest_students)
    found: list[Floats] = [np.empty(0)] * len(forms)
    sizes = [float(weights[form.students % len(weights)].sum()) for form in forms]

    def fit(number: int, _start: int, _stop: int) -> None:
        form = forms[number]
        m = len(form.items)
        table = np.empty((2 * m, len(theta)))
        fill_table(bank[form.items], theta, table)
        observed = np.zeros((m, m + 1, 2))
        _count_scores(rows, form.students, weights, observed)
        found[number] = np.empty((m, 2))
        _fit_form(np.exp(table[1::2]), grid_weights, observed, found[number])

    with block_runner(threads) as run:
        run(fit, [(n, n + 1) for n in range(len(forms))])
    sums = np.zeros((n_items, 3))
    for form, size, values in zip(forms, sizes, found, strict=True):
        sums[form.items, :2] += values
        sums[form.items, 2] += size
    reason = np.full(n_items, "", dtype=object)
    reason[sums[:, 2] == 0] = INCOMPLETE_FORMS
    df = sums[:, 1] - np.asarray(n_estimated, dtype=np.float64)
    return chi_square_fit(sums[:, 0], df, sums[:, 2], reason)
