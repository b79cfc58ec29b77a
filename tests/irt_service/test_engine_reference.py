"""The native engine against R mirt, within the tolerances of reference/README.md."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pytest

from irt_service.engines import engine_named
from irt_service.engines.base import (
    Calibration,
    CalibrationSettings,
    ItemParameters,
    LogNormalPrior,
    NormalPrior,
)
from irt_service.quadrature import Grid, normal_grid
from irt_service.responses import ResponseMatrix
from irt_service.scoring import eap
from tests.irt_service.reference_cases import (
    abilities_of,
    lsat7,
    patterns_of_lsat7,
    reference_of,
    responses_of,
)

STANDARD_ERROR_TOLERANCE = 1e-4  # relative
ANCHORS = [f"I{number}" for number in range(21, 31)]


@dataclass(frozen=True)
class Case:
    """One calibration to reproduce."""

    folder: str
    model: str
    tolerance: float
    settings: dict[str, Any] = field(default_factory=dict)
    file: str = "responses.csv"
    ability_tolerance: float = 1e-6
    likelihood_tolerance: float = 1e-6
    error_tolerance: float = STANDARD_ERROR_TOLERANCE

    def __str__(self) -> str:
        return f"{self.folder}-{self.model}"

    def __hash__(self) -> int:
        return hash(str(self))


RASCH = {"model": "Rasch"}
LOOSE_RASCH = {"ability_tolerance": 1e-4, "likelihood_tolerance": 1e-4}
# The file stops 3.5e-4 short of the maximum (test_engine_reference_faults), so its abilities and
# standard errors are off as well, its log-likelihood by 5e-4.
LOOSE_PRIOR = {
    "ability_tolerance": 5e-4,
    "likelihood_tolerance": 5e-4,
    "error_tolerance": 5e-4,
}

CASES = [
    Case("LSAT7", "2PL", 1e-6),
    Case("LSAT7", "Rasch", 1e-4, RASCH, **LOOSE_RASCH),
    Case("LSAT7", "3PL_beta_5_17", 5e-6, {"model": "3PL"}),
    Case(
        "LSAT7",
        "3PL_normlogit_m1.1_0.5",
        5e-6,
        {"model": "3PL", "guessing_prior": NormalPrior(-1.1, 0.5)},
    ),
    Case("sparse2PL", "2PL", 1e-6),
    Case("sparse2PL", "Rasch", 1e-4, RASCH, **LOOSE_RASCH),
    Case(
        "sparse2PL",
        "2PL_prior_lnorm_0_0.5",
        5e-4,
        {"discrimination_prior": LogNormalPrior(0.0, 0.5)},
        **LOOSE_PRIOR,
    ),
    Case("anchored", "formA_2PL", 1e-6, file="formA_responses.csv"),
    Case("anchored", "formB_separate_2PL", 1e-6, file="formB_responses.csv"),
]


def responses_for(case: Case) -> ResponseMatrix:
    return lsat7() if case.folder == "LSAT7" else responses_of(case.folder, case.file)


@cache
def calibrated(case: Case) -> Calibration:
    settings = CalibrationSettings(tolerance=1e-9, max_iterations=2000, **case.settings)
    return engine_named("native").calibrate(responses_for(case), settings)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_estimates_agree_with_mirt(case: Case) -> None:
    found, reference = calibrated(case), reference_of(case.folder, case.model)
    assert found.is_converged
    assert found.excluded == ()
    for parameter, values in (
        ("a", found.discrimination),
        ("b", found.difficulty),
        ("d", found.intercept),
        ("g", found.guessing),
    ):
        expected = reference.estimates(parameter, found.item_ids)
        np.testing.assert_allclose(values, expected, rtol=0, atol=case.tolerance)
    assert found.prior_sd**2 == pytest.approx(
        reference.fit["group_pars"]["est"][1], abs=case.tolerance
    )


@pytest.mark.parametrize("case", CASES, ids=str)
def test_standard_errors_agree_with_mirt(case: Case) -> None:
    found, reference = calibrated(case), reference_of(case.folder, case.model)
    assert found.information == "full"
    for parameter, values in (
        ("a", found.se_discrimination),
        ("b", found.se_difficulty),
        ("d", found.se_intercept),
        ("g", found.se_guessing),
    ):
        expected = reference.errors(parameter, found.item_ids)
        np.testing.assert_allclose(values, expected, rtol=case.error_tolerance)
    if case.model == "Rasch":
        expected_variance = reference.fit["group_pars"]["se"][1]
        assert found.se_prior_variance == pytest.approx(expected_variance, rel=1e-4)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_log_likelihood_and_prior_agree_with_mirt(case: Case) -> None:
    found, reference = calibrated(case), reference_of(case.folder, case.model)
    assert found.log_likelihood == pytest.approx(
        reference.fit["logLik"], abs=case.likelihood_tolerance
    )
    assert found.log_prior == pytest.approx(
        reference.fit["logPrior"], abs=1e-5 if case.tolerance < 1e-5 else 1e-2
    )


@pytest.mark.parametrize("case", CASES, ids=str)
def test_abilities_agree_with_mirt(case: Case) -> None:
    found = calibrated(case)
    responses = responses_for(case)
    if case.folder == "LSAT7":
        patterns, _, items = patterns_of_lsat7()
        responses = ResponseMatrix.from_dense(patterns, items)
    place = {item: j for j, item in enumerate(found.item_ids)}
    order = [place[item] for item in responses.item_ids]
    theta, standard_error = eap(
        found.discrimination[order],
        found.difficulty[order],
        found.guessing[order],
        responses.indptr,
        responses.items,
        responses.correct,
        found.prior_mean,
        found.prior_sd,
    )
    expected = abilities_of(case.folder, case.model)
    assert len(expected) == {"LSAT7": 32, "sparse2PL": 2000, "anchored": 1500}[case.folder]
    np.testing.assert_allclose(theta, expected[:, 0], rtol=0, atol=case.ability_tolerance)
    np.testing.assert_allclose(standard_error, expected[:, 1], rtol=0, atol=case.ability_tolerance)


def test_lsat7_is_the_table_of_1000_students() -> None:
    _, counts, items = patterns_of_lsat7()
    assert (len(counts), int(counts.sum()), len(items)) == (32, 1000, 5)


@cache
def calibrated_with_anchors() -> Calibration:
    form_a = reference_of("anchored", "formA_2PL")
    anchors = {
        item: ItemParameters(form_a.values["a"][item][0], form_a.values["b"][item][0])
        for item in ANCHORS
    }
    settings = CalibrationSettings(
        tolerance=1e-9, max_iterations=2000, fixed_items=anchors, free_latent=True
    )
    return engine_named("native").calibrate(
        responses_of("anchored", "formB_responses.csv"), settings
    )


def test_fixed_anchors_with_a_free_latent_distribution_agree_with_mirt() -> None:
    found, reference = calibrated_with_anchors(), reference_of("anchored", "formB_FIPC_2PL")
    assert found.is_converged
    for parameter, values, errors in (
        ("a", found.discrimination, found.se_discrimination),
        ("b", found.difficulty, found.se_difficulty),
    ):
        expected = reference.estimates(parameter, found.item_ids)
        np.testing.assert_allclose(values, expected, rtol=0, atol=5e-5)
        np.testing.assert_allclose(
            errors, reference.errors(parameter, found.item_ids), rtol=STANDARD_ERROR_TOLERANCE
        )
    mean, variance = reference.fit["group_pars"]["est"]
    assert found.prior_mean == pytest.approx(mean, abs=5e-5)
    # The file's variance is 6e-5 short of the maximum: test_engine_reference_faults.
    assert found.prior_sd**2 == pytest.approx(variance, abs=6.5e-5)
    assert [found.se_prior_mean, found.se_prior_variance] == pytest.approx(
        reference.fit["group_pars"]["se"], rel=STANDARD_ERROR_TOLERANCE
    )
    assert found.log_likelihood == pytest.approx(reference.fit["logLik"], abs=1e-4)


def test_anchors_keep_their_parameters_and_have_no_standard_error() -> None:
    found, reference = calibrated_with_anchors(), reference_of("anchored", "formA_2PL")
    fixed = np.flatnonzero(found.is_fixed)
    names = tuple(found.item_ids[j] for j in fixed)
    assert sorted(names) == ANCHORS
    np.testing.assert_array_equal(found.discrimination[fixed], reference.estimates("a", names))
    assert np.isnan(found.se_discrimination[fixed]).all()


def test_anchored_abilities_agree_on_the_grid_of_the_file() -> None:
    reference = reference_of("anchored", "formB_FIPC_2PL")
    responses = responses_of("anchored", "formB_responses.csv")
    items = tuple(responses.item_ids)
    mean, variance = reference.fit["group_pars"]["est"]
    sd = variance**0.5
    # The file holds [-6, 6] and lets the weights follow N(mean, variance).
    fixed = normal_grid()
    nodes = (fixed.nodes - mean) / sd
    log_weights = np.where(np.isfinite(fixed.log_weights), -0.5 * nodes**2, -np.inf)
    log_weights -= np.log(np.exp(log_weights).sum())
    grid = Grid(nodes, log_weights, fixed.count, np.stack([nodes, log_weights]))
    theta, standard_error = eap(
        reference.estimates("a", items),
        reference.estimates("b", items),
        reference.estimates("g", items),
        responses.indptr,
        responses.items,
        responses.correct,
        mean,
        sd,
        grid=grid,
    )
    expected = abilities_of("anchored", "formB_FIPC_2PL")
    np.testing.assert_allclose(theta, expected[:, 0], rtol=0, atol=1e-6)
    np.testing.assert_allclose(standard_error, expected[:, 1], rtol=0, atol=1e-6)
