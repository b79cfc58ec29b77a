"""EAP scoring: worked value, closed forms, both kernels, bad input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from irt_service.errors import InvalidInputError
from irt_service.scoring import BLOCK, eap

EMPTY: list[int] = []


def by_brute_force(
    items: list[tuple[float, float, float]], grades: list[int], mean: float, sd: float
) -> tuple[float, float]:
    """EAP from probabilities in extended precision on the same grid."""
    nodes = mean + sd * np.linspace(-6, 6, 61).astype(np.longdouble)
    posterior = np.exp(-(((nodes - mean) / sd) ** 2) / 2)
    for (a, b, c), grade in zip(items, grades, strict=True):
        p = c + (1 - c) / (1 + np.exp(-np.longdouble(a) * (nodes - b)))
        posterior = posterior * (p if grade else 1 - p)
    posterior /= posterior.sum()
    theta = (posterior * nodes).sum()
    return float(theta), float(np.sqrt((posterior * (nodes - theta) ** 2).sum()))


def test_the_worked_value_of_the_specification() -> None:
    theta, standard_error = eap(
        [1, 1.5, 0.8], [0, 0.5, -1], [0, 0, 0.2], [0, 3], [0, 1, 2], [1, 0, 1]
    )
    assert theta[0] == pytest.approx(0.086935, abs=5e-7)
    assert standard_error[0] == pytest.approx(0.763518, abs=5e-7)


def test_no_responses_give_the_prior_back_exactly() -> None:
    theta, standard_error = eap([1.0], [0.0], [0.0], [0, 0, 1], [0], [1], 0.3, 0.9)
    assert (theta[0], standard_error[0]) == (0.3, 0.9)
    assert theta[1] > 0.3


def test_no_students_give_no_abilities() -> None:
    theta, standard_error = eap([1.0], [0.0], [0.0], [0], EMPTY, EMPTY)
    assert theta.shape == standard_error.shape == (0,)


item_values = st.tuples(
    st.floats(0.2, 3.0), st.floats(-3.0, 3.0), st.one_of(st.just(0.0), st.floats(0.01, 0.4))
)


@settings(max_examples=60, deadline=None)
@given(
    answers=st.lists(st.tuples(item_values, st.integers(0, 1)), min_size=1, max_size=30),
    mean=st.floats(-2, 2),
    sd=st.floats(0.3, 2.0),
)
def test_any_response_vector_agrees_with_brute_force(
    answers: list[tuple[tuple[float, float, float], int]], mean: float, sd: float
) -> None:
    items, grades = [item for item, _ in answers], [grade for _, grade in answers]
    a, b, c = np.array(items).T
    rows = [0, len(items)], range(len(items)), grades
    theta, standard_error = eap(a, b, c, *rows, mean, sd)
    expected = by_brute_force(items, grades, mean, sd)
    assert (theta[0], standard_error[0]) == pytest.approx(expected, abs=1e-9)


def test_one_student_and_many_students_agree() -> None:
    rng = np.random.default_rng(1)
    n_persons, n_items, answers = BLOCK + 500, 30, 12
    a, b = rng.lognormal(0, 0.3, n_items), rng.normal(size=n_items)
    c = rng.choice([0.0, 0.2], n_items)
    items = np.argsort(rng.random((n_persons, n_items)), axis=1)[:, :answers].astype(np.int32)
    correct = rng.integers(0, 2, (n_persons, answers)).astype(np.int8)
    indptr = np.arange(n_persons + 1) * answers
    many = np.array(eap(a, b, c, indptr, items.ravel(), correct.ravel(), 0.2, 1.1, threads=2))
    for i in (0, 17, n_persons - 1):
        j = items[i]
        one = np.array(eap(a[j], b[j], c[j], [0, answers], range(answers), correct[i], 0.2, 1.1))
        np.testing.assert_allclose(one[:, 0], many[:, i], rtol=0, atol=1e-12)
    again = np.array(eap(a, b, c, indptr, items.ravel(), correct.ravel(), 0.2, 1.1, threads=1))
    np.testing.assert_array_equal(many, again)


def test_every_student_may_have_a_prior_of_their_own() -> None:
    rows = [0, 2, 4, 4], [0, 1, 0, 1], [1, 0, 1, 0]
    means = np.array([-1.0, 1.0, 0.5])
    theta, standard_error = eap([1.2, 0.7], [0.0, 1.0], [0.0, 0.0], *rows, means, 0.5)
    for i in range(2):
        expected = by_brute_force([(1.2, 0.0, 0.0), (0.7, 1.0, 0.0)], [1, 0], means[i], 0.5)
        assert (theta[i], standard_error[i]) == pytest.approx(expected, abs=1e-12)
    assert (theta[2], standard_error[2]) == (0.5, 0.5)


def test_curves_too_steep_for_plain_products_stay_finite() -> None:
    # exp(a (theta - b)) overflows at the ends of the grid.
    theta, standard_error = eap([300.0, 200.0], [0.5, -0.5], [0.0, 0.0], [0, 2], [0, 1], [0, 1])
    assert -0.5 <= theta[0] <= 0.5
    assert 0.2 < standard_error[0] < 0.5


def test_thousands_of_answers_do_not_underflow() -> None:
    count = 5000
    grades = np.arange(count) % 2
    theta, standard_error = eap([1.0], [0.0], [0.0], [0, count], np.zeros(count), grades)
    assert theta[0] == pytest.approx(0.0, abs=1e-9)
    assert standard_error[0] < 0.2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"discrimination": [np.nan]}, "item parameters must be finite"),
        ({"guessing": [1.0]}, "item parameters must be finite"),
        ({"difficulty": [0.0, 1.0]}, "unequal lengths"),
        ({"items": [1]}, "without parameters"),
        ({"items": [-1]}, "without parameters"),
        ({"correct": [2]}, "not 0 or 1"),
        ({"correct": [1, 0]}, "unequal lengths"),
        ({"indptr": [0, 2]}, "do not fit together"),
        ({"indptr": [1, 1]}, "do not fit together"),
        ({"prior_sd": 0.0}, "finite SD above 0"),
        ({"prior_mean": np.inf}, "finite mean"),
        ({"prior_mean": [0.0, 0.0]}, "a prior is given once or for each of 1 students"),
    ],
)
def test_bad_input_is_refused_with_the_reason(change: dict[str, Any], words: str) -> None:
    good: dict[str, Any] = {
        "discrimination": [1.0],
        "difficulty": [0.0],
        "guessing": [0.0],
        "indptr": [0, 1],
        "items": [0],
        "correct": [1],
    }
    assert eap(**good)[0][0] > 0
    with pytest.raises(InvalidInputError, match=words):
        eap(**good | change)
