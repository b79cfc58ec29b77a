"""Drift of items between two runs."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from irt_service.diagnostics.drift import Parameters, drift, scale_covariance
from irt_service.diagnostics.severity import severity
from irt_service.errors import InvalidInputError

Floats = npt.NDArray[np.float64]
CORRELATION = -0.3


def run(a: Floats, b: Floats, n: float = 1000.0) -> Parameters:
    """Standard errors of 0.1 in a and in b at 1000 responses."""
    one = np.ones(len(b))
    variance = 10.0 / n * one
    return Parameters(a, b, variance, variance, CORRELATION * variance, n * one)


def bank(n_items: int) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(60)
    return rng.lognormal(0.0, 0.3, n_items), rng.normal(size=n_items)


def test_statistic_of_a_few_items_by_hand() -> None:
    """Fewer than ten items cannot tell a common movement, so nothing is taken out."""
    a, b = bank(3)
    found = drift(run(a, b + np.array([0.3, 0.0, 0.0])), run(a, b), np.zeros(3))
    # Variance 0.02 each, correlation -0.3: z^2 / (1 - 0.09).
    assert found.statistic == pytest.approx([0.3**2 / 0.02 / 0.91, 0.0, 0.0], abs=1e-9)
    assert found.df.tolist() == [2.0] * 3
    assert found.p[0] == pytest.approx(np.exp(-found.statistic[0] / 2), abs=1e-12)
    assert found.delta_b == pytest.approx([0.3, 0.0, 0.0], abs=1e-12)
    assert found.se_delta_b == pytest.approx(0.02**0.5, abs=1e-12)


def test_shared_responses_take_their_part_out_of_the_variance() -> None:
    """1 / 1000 + 1 / 2000 - 2 * 500 / (1000 * 2000) = 0.001 per unit of 10."""
    a, b = bank(3)
    found = drift(run(a, b, 1000.0), run(a, b, 2000.0), np.array([0.0, 500.0, 1000.0]))
    assert found.se_delta_b**2 == pytest.approx([0.015, 0.01, 0.005], abs=1e-12)


def test_the_same_responses_twice_are_no_test() -> None:
    a, b = bank(3)
    found = drift(run(a, b), run(a, b), np.array([1000.0, 1000.0, 0.0]))
    assert found.reason.tolist() == ["same_responses", "same_responses", ""]
    assert np.isnan(found.p).tolist() == [True, True, False]


def test_an_item_that_moved_is_flagged_and_the_scale_is_not() -> None:
    a, b = bank(60)
    moved = b.copy()
    moved[4] += 0.8
    # The whole scale is off by 0.15 and stretched by 5 %.
    new = run(a / 1.05, 1.05 * moved + 0.15, 5000.0)
    found = drift(new, run(a, b, 5000.0), np.zeros(60))
    assert found.severity.tolist() == ["none"] * 4 + ["severe"] + ["none"] * 55
    assert found.delta_b[4] == pytest.approx(0.8 * 1.05, abs=0.01)
    assert found.common_shift == pytest.approx(0.15, abs=0.01)
    assert found.common_log_slope == pytest.approx(0.05, abs=0.01)
    assert np.delete(found.statistic, 4).max() < 0.1


def test_rates_are_nominal_when_errors_are_as_stated() -> None:
    a, b = bank(200)
    rng = np.random.default_rng(61)
    p = []
    for _ in range(20):
        errors = rng.multivariate_normal([0, 0], [[0.005, -0.0015], [-0.0015, 0.005]], (2, 200))
        shared = scale_covariance(rng.normal(0, 0.9, 1000), np.full(1000, 0.43), 0.0, 1.0)
        shift, stretch = rng.multivariate_normal([0.0, 0.0], shared)
        new = run(a + errors[0, :, 0], b + errors[0, :, 1], 2000.0)
        new = replace(
            new,
            a=new.a - stretch * a,
            b=new.b + shift + stretch * b,
            var_a=new.var_a + shared[1, 1] * a**2,
            var_b=new.var_b + shared[0, 0] + shared[1, 1] * b**2 + 2 * shared[0, 1] * b,
            cov_ab=new.cov_ab - shared[0, 1] * a - shared[1, 1] * a * b,
            scale_covariance=shared,
        )
        old = run(a + errors[1, :, 0], b + errors[1, :, 1], 2000.0)
        p.append(drift(new, old, np.zeros(200)).p)
    assert (np.concatenate(p) < 0.05).mean() == pytest.approx(0.05, abs=0.01)


def test_items_in_another_order_get_the_same_verdicts() -> None:
    a, b = bank(30)
    rng = np.random.default_rng(62)
    new_a, new_b = a + rng.normal(0, 0.14, 30), b + rng.normal(0, 0.14, 30)
    order = rng.permutation(30)
    first = drift(run(new_a, new_b), run(a, b), np.zeros(30))
    second = drift(run(new_a[order], new_b[order]), run(a[order], b[order]), np.zeros(30))
    assert second.statistic == pytest.approx(first.statistic[order], abs=1e-9)


def test_rasch_runs_are_compared_in_difficulty_alone() -> None:
    _, b = bank(20)
    none = np.full(20, np.nan)
    new = replace(run(np.ones(20), b), var_a=none, cov_ab=none)
    moved = replace(new, b=b + np.where(np.arange(20) == 3, 1.0, 0.0))
    found = drift(moved, new, np.zeros(20))
    assert set(found.df) == {1.0}
    assert found.severity[3] == "severe"
    assert (np.delete(found.severity, 3) == "none").all()
    assert found.common_log_slope == 0.0


def test_taking_the_common_movement_out_of_ten_items_takes_a_tenth_of_the_variance() -> None:
    none = np.full(10, np.nan)
    plain = replace(run(np.ones(10), np.linspace(-1, 1, 10)), var_a=none, cov_ab=none)
    found = drift(plain, plain, np.zeros(10))
    assert found.se_delta_b**2 == pytest.approx(0.02 * 0.9, abs=1e-12)


def test_items_without_a_standard_error_have_a_reason() -> None:
    a, b = bank(12)
    new = run(a, b)
    new.var_b[2] = np.nan
    found = drift(new, run(a, b), np.zeros(12))
    assert found.reason.tolist() == ["", "", "no_standard_error"] + [""] * 9
    assert found.severity[2] == ""


def test_severity_follows_the_bounds_and_needs_significance() -> None:
    b = np.array([0.25, 0.26, 0.35, 0.36, 0.5, 0.51, 0.0, 0.0, 0.0, 0.9, np.nan])
    a = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.20, -0.21, 0.41, 0.9, np.nan])
    q = np.array([0.01] * 9 + [0.05, np.nan])
    assert severity(a, b, q).tolist() == [
        "none", "minor", "minor", "moderate", "moderate", "severe",
        "none", "moderate", "severe", "none", "",
    ]  # fmt: skip


def test_runs_of_different_items_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="same items"):
        drift(run(*bank(3)), run(*bank(4)), np.zeros(3))
