"""Standard errors and covariances against the Hessian of the marginal likelihood written out."""

from __future__ import annotations

import numpy as np
import pytest

from irt_service.engines import engine_named
from irt_service.engines.base import CalibrationSettings, ItemParameters, Model
from tests.irt_service.brute_force import (
    errors_of,
    hessian,
    marginal_likelihood,
    normal_log_weights,
)
from tests.irt_service.reference_cases import lsat7, patterns_of_lsat7
from tests.irt_service.simulation import simulate

ENGINE = engine_named("native")
TIGHT = CalibrationSettings(tolerance=1e-10, max_iterations=2000)
NODES = np.linspace(-6.0, 6.0, 61)


def lsat7_table() -> np.ndarray:
    patterns, counts, _ = patterns_of_lsat7()
    return np.repeat(patterns, counts, axis=0)


def test_the_gradient_written_out_is_that_of_the_likelihood_written_out() -> None:
    table, log_weights = lsat7_table(), normal_log_weights(NODES)
    a, d = np.linspace(0.5, 1.5, 5), np.linspace(-1.0, 1.0, 5)
    found = marginal_likelihood(table, a, d, NODES, log_weights)
    for k, step in enumerate(1e-5 * np.eye(5)):
        for parameter, derivative in ((0, found.by_slope[k]), (1, found.by_intercept[k])):
            values = [
                marginal_likelihood(
                    table,
                    a + sign * step * (parameter == 0),
                    d + sign * step * (parameter == 1),
                    NODES,
                    log_weights,
                ).value
                for sign in (1, -1)
            ]
            assert (values[0] - values[1]) / 2e-5 == pytest.approx(derivative, abs=1e-5)


def test_errors_and_covariance_of_a_and_b_are_those_of_the_brute_force_hessian() -> None:
    found = ENGINE.calibrate(lsat7(), TIGHT)
    table, log_weights = lsat7_table(), normal_log_weights(NODES)

    def gradient(point: np.ndarray) -> np.ndarray:
        a, b = point.reshape(2, -1)
        at = marginal_likelihood(table, a, -a * b, NODES, log_weights)
        return np.concatenate([at.by_slope - b * at.by_intercept, -a * at.by_intercept])

    second = hessian(gradient, np.concatenate([found.discrimination, found.difficulty]))
    errors = errors_of(second).reshape(2, -1)
    np.testing.assert_allclose(found.se_discrimination, errors[0], rtol=1e-6)
    np.testing.assert_allclose(found.se_difficulty, errors[1], rtol=1e-6)
    mixed = np.diag(np.linalg.inv(-second)[:5, 5:])
    np.testing.assert_allclose(found.cov_ab, mixed, rtol=1e-6)


@pytest.mark.parametrize("model", [Model.ONE_PL, Model.TWO_PL, Model.THREE_PL])
@pytest.mark.parametrize("full_information_items", [1, 200])
def test_the_covariance_of_a_and_b_gives_the_error_of_d_back(
    model: Model, full_information_items: int
) -> None:
    responses = simulate(np.random.default_rng(12), 1500, 12, 9, 0.1).responses
    plan = CalibrationSettings(model=model, full_information_items=full_information_items)
    found = ENGINE.calibrate(responses, plan)
    a, b = found.discrimination, found.difficulty
    # d = -a b
    variance = (
        b**2 * found.se_discrimination**2 + a**2 * found.se_difficulty**2 + 2 * a * b * found.cov_ab
    )
    np.testing.assert_allclose(np.sqrt(variance), found.se_intercept, rtol=1e-9)


def test_there_is_no_covariance_where_a_or_b_is_not_estimated() -> None:
    rasch = ENGINE.calibrate(lsat7(), CalibrationSettings(model=Model.RASCH))
    assert np.isnan(rasch.cov_ab).all()
    fixed = {str(lsat7().item_ids[0]): ItemParameters(0.8, -3.4)}
    plan = CalibrationSettings(fixed_items=fixed, free_latent=True)
    anchored = ENGINE.calibrate(lsat7(), plan)
    np.testing.assert_array_equal(np.isnan(anchored.cov_ab), anchored.is_fixed)
    without = ENGINE.calibrate(lsat7(), CalibrationSettings(standard_errors=False))
    assert np.isnan(without.cov_ab).all()
