"""What must hold whatever the data: weights, order, threads, signs, recovery."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from irt_service.engines import engine_named
from irt_service.engines.base import Calibration, CalibrationSettings, Model, Progress
from irt_service.engines.estimation import MANY_RESPONSES
from irt_service.errors import InsufficientDataError, InvalidInputError
from irt_service.responses import ResponseMatrix
from tests.irt_service.reference_cases import lsat7, patterns_of_lsat7
from tests.irt_service.simulation import simulate

TIGHT = CalibrationSettings(tolerance=1e-9, max_iterations=1000)
TIGHT_3PL = replace(TIGHT, model=Model.THREE_PL)
ENGINE = engine_named("native")


def assert_same(one: Calibration, other: Calibration, tolerance: float) -> None:
    assert one.item_ids == other.item_ids
    for name in ("discrimination", "difficulty", "guessing", "se_discrimination", "se_difficulty"):
        np.testing.assert_allclose(
            getattr(one, name), getattr(other, name), rtol=0, atol=tolerance, err_msg=name
        )
    assert one.log_likelihood == pytest.approx(other.log_likelihood, rel=1e-12)


@pytest.mark.parametrize("plan", [TIGHT, TIGHT_3PL], ids=["2PL", "3PL"])
def test_weighted_patterns_equal_one_row_per_student(plan: CalibrationSettings) -> None:
    patterns, counts, items = patterns_of_lsat7()
    merged = ResponseMatrix.from_dense(patterns, items, weights=counts)
    assert_same(ENGINE.calibrate(lsat7(), plan), ENGINE.calibrate(merged, plan), 1e-8)


@pytest.mark.parametrize("full_information_items", [1, 200])
@pytest.mark.parametrize("model", list(Model))
def test_a_weight_of_two_is_a_duplicated_student(model: Model, full_information_items: int) -> None:
    responses = simulate(np.random.default_rng(16), 700, 8, 6, 0.1).responses
    table = np.full((700, 8), np.nan)
    table[np.repeat(np.arange(700), 6), responses.items] = responses.correct
    weights = np.where(np.arange(700) % 3 == 0, 2.0, 1.0)
    items = list(responses.item_ids)
    weighted = ResponseMatrix.from_dense(table, items, weights=weights)
    doubled = ResponseMatrix.from_dense(np.repeat(table, weights.astype(int), axis=0), items)
    plan = replace(TIGHT, model=model, full_information_items=full_information_items)
    assert_same(ENGINE.calibrate(weighted, plan), ENGINE.calibrate(doubled, plan), 1e-8)


@pytest.mark.parametrize("weights", [[1.0, -1.0], [1.0, np.nan], [1.0]], ids=str)
def test_weights_that_cannot_be_meant_are_refused(weights: list[float]) -> None:
    with pytest.raises(InvalidInputError, match="weight"):
        ResponseMatrix.from_dense([[1, 0], [0, 1]], ["a", "b"], weights=weights)


def test_splitting_a_weight_changes_nothing() -> None:
    patterns, counts, items = patterns_of_lsat7()
    shares = np.concatenate([0.3 * counts, 0.7 * counts])
    split = ResponseMatrix.from_dense(np.concatenate([patterns] * 2), items, weights=shares)
    assert_same(ENGINE.calibrate(lsat7(), TIGHT), ENGINE.calibrate(split, TIGHT), 1e-8)


@pytest.mark.parametrize("model", ["Rasch", "1PL", "2PL", "3PL"])
def test_any_number_of_threads_gives_the_same_bits(model: Model) -> None:
    responses = simulate(np.random.default_rng(3), 4000, 40, 20, 0.1).responses
    plan = CalibrationSettings(model=model)
    results = [ENGINE.calibrate(responses, replace(plan, threads=n)) for n in (1, 2, 5)]
    for other in results[1:]:
        for name in ("discrimination", "difficulty", "guessing", "se_difficulty"):
            np.testing.assert_array_equal(getattr(results[0], name), getattr(other, name))
        assert other.log_likelihood_path == results[0].log_likelihood_path


@pytest.mark.parametrize("model", ["2PL", "3PL"])
def test_single_precision_gives_the_same_bits_and_is_as_near_as_asked(model: Model) -> None:
    responses = simulate(np.random.default_rng(13), 11_000, 40, 20, 0.1).responses
    assert responses.n_responses >= MANY_RESPONSES
    plan = CalibrationSettings(model=model, full_information_items=1)
    results = [ENGINE.calibrate(responses, replace(plan, threads=n)) for n in (1, 3)]
    exact = ENGINE.calibrate(responses, replace(plan, tolerance=1e-9, threads=2))
    for name in ("discrimination", "intercept", "se_discrimination", "se_difficulty", "cov_ab"):
        first, second = (getattr(found, name) for found in results)
        np.testing.assert_array_equal(first, second)
        near = 1e-4 if model == "2PL" else 1e-3
        np.testing.assert_allclose(first, getattr(exact, name), rtol=near, atol=near)
    assert results[0].log_likelihood == pytest.approx(exact.log_likelihood, rel=1e-7)


def test_the_order_of_students_changes_nothing() -> None:
    responses = simulate(np.random.default_rng(4), 1000, 15, 10).responses
    rng = np.random.default_rng(5)
    order = rng.permutation(responses.n_persons)
    shuffled = ResponseMatrix(
        responses.person_ids[order],
        responses.item_ids,
        responses.indptr,
        responses.items.reshape(-1, 10)[order].ravel(),
        responses.correct.reshape(-1, 10)[order].ravel(),
    )
    assert_same(ENGINE.calibrate(responses, TIGHT), ENGINE.calibrate(shuffled, TIGHT), 1e-9)


def test_the_order_of_rows_changes_no_bit() -> None:
    responses = simulate(np.random.default_rng(6), 500, 12, 8).responses
    students = np.repeat(responses.person_ids, 8)
    items = responses.item_ids[responses.items]
    order = np.random.default_rng(7).permutation(len(items))
    first = ResponseMatrix.from_long(students, items, responses.correct)
    second = ResponseMatrix.from_long(students[order], items[order], responses.correct[order])
    for name in ("person_ids", "item_ids", "indptr", "items", "correct"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n_items=st.integers(4, 12), model=st.sampled_from(Model))
def test_the_result_is_a_stationary_point_that_em_climbed_to(
    seed: int, n_items: int, model: Model
) -> None:
    responses = simulate(np.random.default_rng(seed), 400, n_items, n_items - 1, 0.05).responses
    seen: list[Progress] = []
    try:
        found = ENGINE.calibrate(responses, CalibrationSettings(model=model), seen.append)
    except InsufficientDataError as refusal:
        # Few items and students may leave no finite maximum; then there are no numbers at all.
        assert refusal.where.count("no_finite_maximum") > 0
        return
    # Accepted cycles never lower the penalised likelihood.
    path = np.array(found.log_likelihood_path)
    assert (np.diff(path) >= -1e-9 * abs(path[0])).all() or found.excluded
    assert len(seen) == len(path)
    if found.is_converged:
        assert found.largest_change < 1e-4
        estimated = ~np.isnan(found.se_difficulty)
        assert estimated.all()
    np.testing.assert_allclose(
        found.intercept, -found.discrimination * found.difficulty, rtol=1e-12, atol=1e-12
    )


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_exchanging_right_and_wrong_turns_the_scale_round(seed: int) -> None:
    responses = simulate(np.random.default_rng(seed), 500, 8, 6).responses
    mirrored = replace(responses, correct=(1 - responses.correct).astype(np.int8))
    plan = replace(TIGHT, standard_errors=False)
    found, mirror = ENGINE.calibrate(responses, plan), ENGINE.calibrate(mirrored, plan)
    if not (found.excluded or mirror.excluded):
        np.testing.assert_allclose(found.discrimination, mirror.discrimination, rtol=1e-5)
        np.testing.assert_allclose(found.intercept, -mirror.intercept, rtol=1e-5, atol=1e-6)


def test_one_pl_is_rasch_with_the_spread_in_the_slope() -> None:
    responses = simulate(np.random.default_rng(8), 1500, 12, 9).responses
    rasch = ENGINE.calibrate(responses, replace(TIGHT, model=Model.RASCH))
    one_pl = ENGINE.calibrate(responses, replace(TIGHT, model=Model.ONE_PL))
    assert np.ptp(one_pl.discrimination) == 0.0
    assert one_pl.discrimination[0] == pytest.approx(rasch.prior_sd, abs=1e-7)
    np.testing.assert_allclose(
        one_pl.difficulty * rasch.prior_sd, rasch.difficulty, rtol=0, atol=1e-7
    )
    assert one_pl.log_likelihood == pytest.approx(rasch.log_likelihood, abs=1e-7)
    # SE of an SD from that of the variance: delta method.
    assert one_pl.se_discrimination[0] == pytest.approx(
        rasch.se_prior_variance / (2 * rasch.prior_sd), rel=1e-5
    )


@pytest.mark.parametrize("model", ["1PL", "2PL", "3PL", "Rasch"])
def test_item_blocks_come_close_to_the_whole_information(model: Model) -> None:
    responses = simulate(np.random.default_rng(9), 4000, 60, 30, 0.1).responses
    plan = CalibrationSettings(model=model)
    whole = ENGINE.calibrate(responses, plan)
    blocks = ENGINE.calibrate(responses, replace(plan, full_information_items=1))
    assert (whole.information, blocks.information) == ("full", "per-item blocks")
    for name in ("se_discrimination", "se_difficulty", "se_intercept"):
        ratio = getattr(blocks, name) / getattr(whole, name)
        if model != "Rasch" or name != "se_discrimination":
            assert np.median(ratio) == pytest.approx(1.0, abs=0.05 if model == "1PL" else 0.02)
            assert (ratio.min(), ratio.max()) == pytest.approx((1.0, 1.0), abs=0.05)


def test_the_2pl_recovers_its_parameters() -> None:
    truth = simulate(np.random.default_rng(10), 8000, 80, 25)
    found = ENGINE.calibrate(truth.responses, CalibrationSettings())
    a_error = found.discrimination - truth.discrimination
    b_error = found.difficulty - truth.difficulty
    assert abs(a_error.mean()) < 0.02
    assert abs(b_error.mean()) < 0.03
    assert np.sqrt((a_error**2).mean()) / np.sqrt((found.se_discrimination**2).mean()) < 1.25
    assert np.sqrt((b_error**2).mean()) / np.sqrt((found.se_difficulty**2).mean()) < 1.25
    covered = abs(a_error) < 1.96 * found.se_discrimination
    assert 0.85 < covered.mean() <= 1.0


def test_the_3pl_recovers_its_parameters() -> None:
    truth = simulate(np.random.default_rng(11), 10000, 40, 30, 0.2)
    found = ENGINE.calibrate(truth.responses, CalibrationSettings(model=Model.THREE_PL))
    assert found.is_converged
    assert abs((found.difficulty - truth.difficulty).mean()) < 0.08
    assert np.sqrt(((found.difficulty - truth.difficulty) ** 2).mean()) < 0.20
    assert abs((found.guessing - truth.guessing).mean()) < 0.03
