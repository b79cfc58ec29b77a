"""Q3 of pairs of items."""

from dataclasses import replace

import numpy as np
import pytest

from irt_service.diagnostics.local_dependence import q3
from irt_service.responses import ResponseMatrix
from irt_service.scoring import eap
from tests.irt_service.simulation import simulate


def test_q3_is_the_correlation_of_residuals_among_those_who_answered_both() -> None:
    truth = simulate(np.random.default_rng(31), 400, 6, 4)
    a, b, c = truth.discrimination, truth.difficulty, truth.guessing
    responses = truth.responses
    dense = np.full((400, 6), np.nan)
    dense[np.repeat(np.arange(400), 4), responses.items] = responses.correct
    theta, _ = eap(a, b, c, responses.indptr, responses.items, responses.correct)
    residual = dense - 1 / (1 + np.exp(-a * (theta[:, None] - b)))
    found = q3(responses, a, b, c, theta, min_pairs=20)
    assert found.n_tested == 15
    for first, second, value, n in zip(
        found.item_1, found.item_2, found.q3, found.n_pairs, strict=True
    ):
        both = ~np.isnan(residual[:, first] + residual[:, second])
        expected = np.corrcoef(residual[both, first], residual[both, second])[0, 1]
        assert value == pytest.approx(expected, abs=1e-5)
        assert n == both.sum()
    assert found.mean_q3 == pytest.approx(found.q3.mean(), abs=1e-9)


def test_a_repeated_item_is_the_only_flagged_pair_and_the_list_is_bounded() -> None:
    truth = simulate(np.random.default_rng(32), 2000, 40, 40)
    correct = truth.responses.correct.reshape(2000, 40).copy()
    correct[:, 30] = correct[:, 4]
    b = truth.difficulty.copy()
    a = truth.discrimination.copy()
    a[30], b[30] = a[4], b[4]
    responses = replace(truth.responses, correct=correct.ravel())
    theta, _ = eap(a, b, truth.guessing, responses.indptr, responses.items, responses.correct)
    found = q3(responses, a, b, truth.guessing, theta, most_reported=10, threads=2)
    assert len(found.q3) == 10
    assert (found.item_1[0], found.item_2[0]) == (4, 30)
    assert found.q3[0] > 0.6
    assert found.is_flagged.tolist() == [True] + [False] * 9
    assert found.n_tested == 40 * 39 // 2
    assert (np.diff(found.p) >= 0).all()


def test_the_order_of_students_does_not_matter() -> None:
    truth = simulate(np.random.default_rng(33), 500, 12, 8)
    a, b, c = truth.discrimination, truth.difficulty, truth.guessing
    dense = np.full((500, 12), np.nan)
    dense[np.repeat(np.arange(500), 8), truth.responses.items] = truth.responses.correct
    order = np.random.default_rng(34).permutation(500)
    names = [f"i{j:02d}" for j in range(12)]
    first = q3(ResponseMatrix.from_dense(dense, names), a, b, c, truth.theta)
    second = q3(ResponseMatrix.from_dense(dense[order], names), a, b, c, truth.theta[order])
    assert second.item_1.tolist() == first.item_1.tolist()
    assert second.q3 == pytest.approx(first.q3, abs=1e-9)


def test_pairs_with_too_few_students_are_counted_and_not_judged() -> None:
    table = np.full((150, 3), np.nan)
    rng = np.random.default_rng(35)
    table[:, :2] = rng.integers(0, 2, (150, 2))
    table[:99, 2] = rng.integers(0, 2, 99)
    one = np.ones(3)
    found = q3(
        ResponseMatrix.from_dense(table, ["x", "y", "z"]), one, 0 * one, 0 * one, np.zeros(150)
    )
    assert (found.n_tested, found.n_untested) == (1, 2)
    assert found.n_pairs.tolist() == [150]
