"""Information, conditional standard errors, reliability, and the false-discovery rate."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from irt_service.diagnostics.false_discovery import benjamini_hochberg
from irt_service.diagnostics.information import (
    conditional_standard_error,
    expected_reliability,
    item_information,
    marginal_reliability,
    test_information,
)

information_of_test = test_information
information_of_test.__test__ = False  # type: ignore[attr-defined]


def test_information_at_the_difficulty_by_hand() -> None:
    """2PL a^2 / 4; with c = 0.2 and P = 0.6 it is a^2 (0.4 / 0.6) (1 / 2)^2."""
    found = item_information(
        np.array([1.5, 1.5]), np.array([0.3, 0.3]), np.array([0.0, 0.2]), np.array([0.3])
    )
    assert found[:, 0] == pytest.approx([0.5625, 0.375], abs=1e-12)


def test_information_of_a_test_is_the_sum_and_gives_the_standard_error() -> None:
    a, b, c = np.array([1.0, 2.0]), np.array([0.0, 0.0]), np.zeros(2)
    found = information_of_test(a, b, c, np.array([0.0, 800.0]))
    assert found == pytest.approx([1.25, 0.0], abs=1e-12)
    assert conditional_standard_error(found) == pytest.approx([0.8**0.5, np.inf])
    assert conditional_standard_error(found, 2.0) == pytest.approx([1.5**-0.5, 2.0], abs=1e-12)


def test_reliability_of_scores_by_hand() -> None:
    found = marginal_reliability(np.array([-1.0, 1.0]), np.array([0.5, 0.5]))
    assert found == pytest.approx(2.0 / 2.25, abs=1e-12)
    assert np.isnan(marginal_reliability(np.zeros(1), np.ones(1)))


def test_expected_reliability_rises_from_none_with_the_length_of_the_test() -> None:
    assert expected_reliability(np.zeros(3), np.zeros(3), np.zeros(3)) == pytest.approx(0.0)
    ten, forty = (
        expected_reliability(np.ones(n), np.zeros(n), np.zeros(n), 0.5, 1.2) for n in (10, 40)
    )

    def error_variance(theta: float) -> float:
        chance = 1 / (1 + np.exp(-theta))
        return float(norm.pdf(theta, 0.5, 1.2) / (10 * chance * (1 - chance) + 1.2**-2))

    assert ten == pytest.approx(1 - quad(error_variance, -9, 10)[0] / 1.2**2, abs=1e-6)
    assert forty > ten


def test_adjusted_p_values_by_hand() -> None:
    p = np.array([0.01, 0.04, np.nan, 0.03, 0.005])
    assert benjamini_hochberg(p) == pytest.approx(
        np.array([0.02, 0.04, np.nan, 0.04, 0.02]), nan_ok=True
    )
    # The two smallest of four, the others being known to exist.
    assert benjamini_hochberg(p[[0, 4]], 4) == pytest.approx([0.02, 0.02])
    # A smaller p-value never has the larger adjusted one: 0.03 * 3 would be 0.09.
    assert benjamini_hochberg(np.array([0.5, 0.03, 0.031])) == pytest.approx([0.5, 0.0465, 0.0465])
