"""Where the data say nothing, the engine says so: no made-up numbers, no false convergence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from irt_service.engines import engine_named
from irt_service.engines.base import (
    BetaPrior,
    CalibrationSettings,
    ItemParameters,
    LogNormalPrior,
    Model,
    NormalPrior,
)
from irt_service.engines.maximisation import Rule, maximise_item
from irt_service.engines.priors import priors_of
from irt_service.errors import InsufficientDataError, InvalidSettingsError
from irt_service.responses import ResponseMatrix
from tests.irt_service.reference_cases import lsat7
from tests.irt_service.simulation import simulate

ENGINE = engine_named("native")
DEFAULT = CalibrationSettings()


def with_item(responses: ResponseMatrix, name: str, grades: np.ndarray) -> ResponseMatrix:
    """Add an item that every student answered."""
    students = np.repeat(responses.person_ids, responses.person_counts())
    return ResponseMatrix.from_long(
        np.concatenate([students, responses.person_ids]),
        np.concatenate([responses.item_ids[responses.items], [name] * responses.n_persons]),
        np.concatenate([responses.correct, grades]),
    )


def test_an_item_without_variance_is_set_aside_with_the_reason() -> None:
    base = simulate(np.random.default_rng(1), 600, 10, 8).responses
    for grade, words in ((1, "every response is correct"), (0, "every response is wrong")):
        found = ENGINE.calibrate(with_item(base, "flat", np.full(600, grade)), DEFAULT)
        assert "flat" not in found.item_ids
        assert [(one.item_id, one.n_responses) for one in found.excluded] == [("flat", 600)]
        assert words in found.excluded[0].reason
        plain = ENGINE.calibrate(base, DEFAULT)
        np.testing.assert_allclose(found.discrimination, plain.discrimination, atol=1e-6)


def test_a_miskeyed_item_is_estimated_and_flagged() -> None:
    truth = simulate(np.random.default_rng(2), 2000, 12, 10)
    responses = truth.responses
    wrong_key = np.where(responses.items == 3, 1 - responses.correct, responses.correct)
    found = ENGINE.calibrate(replace(responses, correct=wrong_key.astype(np.int8)), DEFAULT)
    assert found.flags[3] == ("negative_discrimination",)
    assert found.discrimination[3] == pytest.approx(-truth.discrimination[3], abs=0.25)
    assert found.is_converged


def test_an_item_of_difficulty_12_is_flagged_and_not_moved_to_a_limit() -> None:
    rng = np.random.default_rng(3)
    truth = simulate(rng, 3000, 15, 12)
    p = 1 / (1 + np.exp(-0.5 * (truth.theta - 12.0)))
    found = ENGINE.calibrate(with_item(truth.responses, "hard", rng.random(3000) < p), DEFAULT)
    place = found.item_ids.index("hard") if "hard" in found.item_ids else -1
    assert place >= 0
    assert "extreme_difficulty" in found.flags[place]
    assert abs(found.difficulty[place]) > 6.0
    assert found.se_difficulty[place] > 1.0


def test_an_item_without_any_curvature_ends_its_climb_where_it_is() -> None:
    point, theta = np.array([1.0, 0.5, -np.inf]), np.linspace(-6.0, 6.0, 64)
    nobody, no_guessing = np.zeros(64), np.empty(0)
    rule = Rule(is_slope_free=True, tolerance=1e-7)
    maximise_item(point, (0.0, 0.0), no_guessing, nobody, theta, priors_of(DEFAULT), rule)
    np.testing.assert_array_equal(point, [1.0, 0.5, -np.inf])


@pytest.mark.parametrize("model", list(Model))
def test_an_item_with_few_responses_is_flagged_or_set_aside(model: Model) -> None:
    base = simulate(np.random.default_rng(14), 900, 12, 8).responses
    students = np.repeat(base.person_ids, base.person_counts())
    responses = ResponseMatrix.from_long(
        np.concatenate([students, base.person_ids[:3]]),
        np.concatenate([base.item_ids[base.items], ["rare"] * 3]),
        np.concatenate([base.correct, [0, 1, 1]]),
    )
    found = ENGINE.calibrate(responses, CalibrationSettings(model=model))
    aside = {one.item_id: one.reason for one in found.excluded}
    if "rare" in found.item_ids:
        assert "few_responses" in found.flags[found.item_ids.index("rare")]
    else:
        assert aside["rare"].startswith("no_finite_maximum")
    others = [
        flags for item, flags in zip(found.item_ids, found.flags, strict=True) if item != "rare"
    ]
    assert not any("few_responses" in flags for flags in others)


def test_a_wrong_key_shows_as_a_low_discrimination_under_a_prior_that_keeps_it_positive() -> None:
    responses = simulate(np.random.default_rng(2), 2000, 12, 10).responses
    wrong_key = np.where(responses.items == 3, 1 - responses.correct, responses.correct)
    plan = CalibrationSettings(discrimination_prior=LogNormalPrior())
    found = ENGINE.calibrate(replace(responses, correct=wrong_key.astype(np.int8)), plan)
    assert 0.0 < found.discrimination[3] < 0.1
    assert found.flags[3] == ("low_discrimination",)


@pytest.mark.parametrize("prior", [BetaPrior(), NormalPrior()], ids=["Beta", "normal"])
def test_a_3pl_flags_or_sets_aside_what_it_cannot_estimate(
    prior: BetaPrior | NormalPrior,
) -> None:
    rng = np.random.default_rng(15)
    truth = simulate(rng, 3000, 20, 12, 0.2)
    responses = truth.responses
    wrong_key = np.where(responses.items == 3, 1 - responses.correct, responses.correct)
    responses = replace(responses, correct=wrong_key.astype(np.int8))
    responses = with_item(responses, "flat", np.ones(3000))
    responses = with_item(responses, "hard", rng.random(3000) < 0.003)
    plan = CalibrationSettings(model=Model.THREE_PL, guessing_prior=prior)
    found = ENGINE.calibrate(responses, plan)
    aside = {one.item_id: one.reason for one in found.excluded}
    assert aside["flat"] == "zero_variance: every response is correct"
    key = found.item_ids.index("i0003")
    assert found.flags[key] == ("negative_discrimination",)
    assert np.isfinite(found.se_discrimination[key])
    assert found.is_converged
    if "hard" in found.item_ids:
        assert set(found.flags[found.item_ids.index("hard")]) & {
            "extreme_difficulty",
            "extreme_discrimination",
        }
    else:
        assert aside["hard"].startswith("no_finite_maximum")


def test_a_guttman_item_has_no_finite_maximum() -> None:
    rng = np.random.default_rng(4)
    theta = rng.normal(size=300)
    thresholds = np.linspace(-1, 1, 5)
    steps = (theta[:, None] > thresholds).astype(float)
    with pytest.raises(InsufficientDataError, match="no_finite_maximum"):
        ENGINE.calibrate(ResponseMatrix.from_dense(steps, list("abcde")), DEFAULT)


def test_one_response_per_student_identifies_no_discrimination() -> None:
    rng = np.random.default_rng(5)
    students = [f"s{i}" for i in range(2000)]
    items = [f"q{i % 10}" for i in range(2000)]
    responses = ResponseMatrix.from_long(students, items, rng.integers(0, 2, 2000))
    with pytest.raises(InsufficientDataError, match="no student answered another item"):
        ENGINE.calibrate(responses, DEFAULT)


def test_one_response_per_student_does_not_identify_the_spread_of_rasch() -> None:
    rng = np.random.default_rng(6)
    students = [f"s{i}" for i in range(2000)]
    items = [f"q{i % 10}" for i in range(2000)]
    responses = ResponseMatrix.from_long(students, items, rng.integers(0, 2, 2000))
    with pytest.raises(InsufficientDataError, match="no student answered two items"):
        ENGINE.calibrate(responses, CalibrationSettings(model=Model.RASCH))


def test_three_students_give_no_numbers() -> None:
    table = [[1, 0, 1, 1], [0, 1, 0, 1], [1, 1, 0, 0]]
    responses = ResponseMatrix.from_dense(table, list("abcd"))
    try:
        found = ENGINE.calibrate(responses, DEFAULT)
    except InsufficientDataError:
        return
    assert not found.is_converged
    assert found.warnings


def test_two_items_do_not_identify_a_2pl() -> None:
    two = lsat7().select(np.array([True, True, False, False, False]))
    with pytest.raises(InsufficientDataError, match="too few items for the 2PL"):
        ENGINE.calibrate(two, DEFAULT)


def test_running_out_of_cycles_is_a_result_that_says_so() -> None:
    found = ENGINE.calibrate(lsat7(), CalibrationSettings(max_iterations=2))
    assert not found.is_converged
    assert found.iterations == 2
    assert "not converged" in found.warnings[0]


def test_a_looser_tolerance_is_as_good_as_it_claims() -> None:
    responses = simulate(np.random.default_rng(7), 8000, 60, 30).responses
    tight = ENGINE.calibrate(responses, CalibrationSettings(tolerance=1e-10))
    found = ENGINE.calibrate(responses, DEFAULT)
    assert found.is_converged
    np.testing.assert_allclose(found.discrimination, tight.discrimination, rtol=0, atol=1e-4)
    np.testing.assert_allclose(found.intercept, tight.intercept, rtol=0, atol=1e-4)


@pytest.mark.parametrize("model", list(Model))
def test_anchors_identify_a_free_latent_distribution(model: Model) -> None:
    truth = simulate(np.random.default_rng(8), 4000, 20, 15)
    shifted = replace(truth, difficulty=truth.difficulty - 0.7)
    is_rasch = model is Model.RASCH
    anchors = {
        str(truth.responses.item_ids[j]): ItemParameters(
            float(truth.discrimination[j]), float(shifted.difficulty[j])
        )
        for j in range(8)
    }
    plan = CalibrationSettings(model=model, fixed_items=anchors, free_latent=True)
    found = ENGINE.calibrate(truth.responses, plan)
    assert found.is_converged
    assert found.is_fixed.sum() == 8
    assert found.prior_mean == pytest.approx(-0.7, abs=0.1)
    # Rasch items beside 2PL anchors do not fit these data; the spread takes up the misfit.
    assert found.prior_sd == pytest.approx(1.0, abs=0.2 if is_rasch else 0.1)
    assert found.se_prior_mean == pytest.approx(0.02, abs=0.015)
    if not is_rasch:
        assert np.isfinite(found.se_discrimination[~found.is_fixed]).all()


def test_anchors_without_responses_are_refused_when_they_must_hold_the_scale() -> None:
    plan = CalibrationSettings(fixed_items={"other": ItemParameters(1, 0)}, free_latent=True)
    with pytest.raises(InsufficientDataError, match="none of the fixed items"):
        ENGINE.calibrate(lsat7(), plan)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": "4PL"}, "unknown model"),
        ({"tolerance": 0.0}, "tolerance"),
        ({"max_iterations": 0}, "max_iterations"),
        ({"quadrature_nodes": 3}, "quadrature_nodes"),
        ({"quadrature_range": 0.5}, "quadrature_range"),
        ({"threads": -1}, "threads"),
        ({"free_latent": True}, "not identified without fixed items"),
        ({"guessing_prior": BetaPrior(1.0, 17.0)}, "alpha and beta above 1"),
        ({"guessing_prior": NormalPrior(0.0, 0.0)}, "SD of a prior"),
        ({"discrimination_prior": LogNormalPrior(0.0, -1.0)}, "SD of a prior"),
        ({"fixed_items": {"q": ItemParameters(-1.0, 0.0)}}, "q: a=-1.0"),
        ({"fixed_items": {"q": ItemParameters(1.0, np.nan)}}, "impossible parameters"),
        ({"fixed_items": {"q": ItemParameters(1.0, 0.0, 1.0)}}, "impossible parameters"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidSettingsError, match=words):
        CalibrationSettings(**change)


def test_there_is_no_engine_of_another_name() -> None:
    with pytest.raises(InvalidSettingsError, match="unknown engine"):
        engine_named("bilog")
