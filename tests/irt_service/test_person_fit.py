"""lz* of students."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from irt_service.diagnostics.person_fit import lz_star
from irt_service.responses import ResponseMatrix
from irt_service.scoring import eap
from tests.irt_service.simulation import simulate


def test_lz_star_is_the_published_formula_at_the_posterior_mode() -> None:
    a = np.array([1.0, 1.5, 0.7, 1.2])
    b = np.array([-0.5, 0.3, 1.0, 0.0])
    c = np.array([0.0, 0.2, 0.1, 0.0])
    u = np.array([1.0, 0.0, 1.0, 1.0])
    mean, sd = 0.2, 1.3

    def chance(theta: float) -> np.ndarray:
        return np.asarray(c + (1 - c) / (1 + np.exp(-a * (theta - b))))

    def minus_log_posterior(theta: float) -> float:
        p = chance(theta)
        likelihood = u * np.log(p) + (1 - u) * np.log(1 - p)
        return float((theta - mean) ** 2 / (2 * sd**2) - likelihood.sum())

    mode = minimize_scalar(minus_log_posterior, bracket=(-1, 1), tol=1e-14).x
    p = chance(mode)
    slope = a * (p - c) * (1 - p) / (1 - c)
    w, r = np.log(p / (1 - p)), slope / (p * (1 - p))
    share = (slope * w).sum() / (slope * r).sum()
    corrected = w - share * r
    expected = ((u - p) @ w + share * (mean - mode) / sd**2) / np.sqrt(
        (corrected**2 * p * (1 - p)).sum()
    )
    responses = ResponseMatrix.from_dense([u], list("wxyz"))
    found = lz_star(responses, a, b, c, np.zeros(1), mean, sd, fewest_responses=4)
    assert found.statistic == pytest.approx([expected], abs=1e-6)
    assert found.n_responses.tolist() == [4]


def test_consistent_students_are_standard_normal_and_a_reversed_one_is_not() -> None:
    truth = simulate(np.random.default_rng(21), 5000, 200, 40)
    bank = truth.discrimination, truth.difficulty, truth.guessing
    responses = truth.responses
    correct = responses.correct.reshape(5000, 40)
    # The first student misses the easiest and solves the hardest.
    row = responses.items[:40]
    correct[0] = truth.difficulty[row] > np.median(truth.difficulty[row])
    theta, _ = eap(*bank, responses.indptr, responses.items, responses.correct)
    found = lz_star(responses, *bank, theta)
    assert found.statistic[0] < -5.0
    rest = found.statistic[1:]
    assert rest.mean() == pytest.approx(0.0, abs=0.08)
    assert rest.std() == pytest.approx(1.0, abs=0.05)
    assert (rest < -1.645).mean() == pytest.approx(0.05, abs=0.012)


def test_a_student_with_few_answers_has_a_reason_instead() -> None:
    table = np.full((2, 12), np.nan)
    table[0, :9] = 1.0
    table[1] = [0.0, 1.0] * 6
    one = np.ones(12)
    responses = ResponseMatrix.from_dense(table, [f"i{j:02d}" for j in range(12)])
    found = lz_star(responses, one, np.linspace(-1, 1, 12), 0 * one, np.zeros(2))
    assert found.reason.tolist() == ["too_few_responses", ""]
    assert np.isnan(found.statistic).tolist() == [True, False]
