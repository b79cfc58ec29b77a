"""Infit, outfit, S-X2 and PV-Q1."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from irt_service.diagnostics.item_fit import pv_q1, residual_fit, s_x2
from irt_service.responses import ResponseMatrix
from irt_service.scoring import eap
from tests.irt_service.reference_cases import FOLDER, lsat7, reference_of, rows_of
from tests.irt_service.simulation import Simulated, simulate

Floats = npt.NDArray[np.float64]
Bank = tuple[Floats, Floats, Floats]


def abilities(responses: ResponseMatrix, bank: Bank, sd: float = 1.0) -> Floats:
    rows = responses.indptr, responses.items, responses.correct
    return eap(*bank, *rows, 0.0, sd)[0]


def bank_of(truth: Simulated) -> Bank:
    return truth.discrimination, truth.difficulty, truth.guessing


def miskeyed(truth: Simulated, item: int) -> ResponseMatrix:
    correct = truth.responses.correct.copy()
    correct[truth.responses.items == item] ^= 1
    return replace(truth.responses, correct=correct)


def reference(model: str) -> tuple[ResponseMatrix, Bank, float, dict[str, Floats]]:
    """LSAT7 with mirt's parameters, and what its itemfit says: tolerance 1e-3."""
    responses = lsat7()
    assert responses.n_persons == 1000
    items = tuple(responses.item_ids)
    found = reference_of("LSAT7", model)
    bank = found.estimates("a", items), found.estimates("b", items), np.zeros(len(items))
    rows = rows_of(FOLDER / "LSAT7" / f"{model}.itemfit.csv")
    assert [row["item"] for row in rows] == list(items)
    fit = {key: np.array([float(row[key]) for row in rows]) for key in rows[0] if key != "item"}
    return responses, bank, float(np.sqrt(found.fit["group_pars"]["est"][1])), fit


@pytest.mark.parametrize("model", ["2PL", "Rasch"])
def test_mean_squares_are_those_of_mirt(model: str) -> None:
    responses, bank, sd, expected = reference(model)
    found = residual_fit(responses, *bank, abilities(responses, bank, sd))
    assert found.infit == pytest.approx(expected["infit"], abs=1e-6)
    assert found.outfit == pytest.approx(expected["outfit"], abs=1e-6)
    assert found.z_infit == pytest.approx(expected["z.infit"], abs=1e-5)
    assert found.z_outfit == pytest.approx(expected["z.outfit"], abs=1e-5)
    assert (found.n == 1000).all()


@pytest.mark.parametrize("model", ["2PL", "Rasch"])
def test_summed_score_statistics_are_those_of_mirt(model: str) -> None:
    responses, bank, sd, expected = reference(model)
    found = s_x2(responses, *bank, 0.0, sd, n_estimated=2)
    assert found.statistic == pytest.approx(expected["S_X2"], abs=1e-5)
    assert found.df.tolist() == expected["df.S_X2"].tolist()
    assert found.p == pytest.approx(expected["p.S_X2"], abs=1e-6)
    assert found.rmsea == pytest.approx(expected["RMSEA.S_X2"], abs=1e-6)


def test_mean_squares_of_two_students_by_hand() -> None:
    """P = 3/4 answered wrongly and P = 1/2 answered correctly."""
    responses = ResponseMatrix.from_dense([[0.0], [1.0]], ["q"])
    one = np.ones(1)
    found = residual_fit(responses, one, 0 * one, 0 * one, np.array([np.log(3.0), 0.0]))
    assert found.outfit == pytest.approx([(3.0 + 1.0) / 2.0], abs=1e-12)
    assert found.infit == pytest.approx([(9 / 16 + 1 / 4) / (3 / 16 + 1 / 4)], abs=1e-12)


def test_a_weight_counts_as_that_many_students() -> None:
    table = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, np.nan], [1.0, 1.0, 0.0]])
    names = ["x", "y", "z"]
    bank = np.array([1.0, 0.8, 1.4]), np.array([0.0, 0.5, -0.5]), np.zeros(3)
    once = ResponseMatrix.from_dense(table, names, weights=[3.0, 1.0, 2.0])
    often = ResponseMatrix.from_dense(np.repeat(table, [3, 1, 2], axis=0), names)
    first = residual_fit(once, *bank, np.array([0.3, -0.2, 0.9]))
    second = residual_fit(often, *bank, np.repeat([0.3, -0.2, 0.9], [3, 1, 2]))
    for name in ("infit", "outfit", "z_infit", "z_outfit", "n"):
        assert getattr(first, name) == pytest.approx(getattr(second, name), abs=1e-12)


def test_a_miskeyed_item_is_flagged_and_others_are_not() -> None:
    truth = simulate(np.random.default_rng(5), 3000, 30, 30)
    bank = bank_of(truth)
    plain, wrong = truth.responses, miskeyed(truth, 7)
    assert residual_fit(plain, *bank, abilities(plain, bank)).infit.max() < 1.1
    fit = residual_fit(wrong, *bank, abilities(wrong, bank))
    assert int(np.argmax(fit.infit)) == 7
    assert fit.infit[7] > 1.5
    assert s_x2(wrong, *bank, n_estimated=0).p[7] < 1e-12
    assert (s_x2(plain, *bank, n_estimated=0).p < 1e-3).sum() == 0
    assert pv_q1(wrong, *bank, seed=1, draws=5).p[7] < 1e-12
    assert (pv_q1(plain, *bank, seed=1, draws=5).p < 1e-3).sum() == 0


def test_complete_forms_are_found_among_incomplete_responses() -> None:
    """Students with other sets of items neither change S-X2 of a form nor get one."""
    truth = simulate(np.random.default_rng(6), 600, 10, 10)
    dense = truth.responses.correct.reshape(600, 10).astype(float)
    table = np.full((900, 13), np.nan)
    table[:600, :10] = dense
    table[600:, 5:13] = np.random.default_rng(7).integers(0, 2, (300, 8))
    table[600:, 5:7][np.arange(300) % 2 == 0] = np.nan
    names = [f"i{j:02d}" for j in range(13)]
    a = np.append(truth.discrimination, np.ones(3))
    b = np.append(truth.difficulty, np.zeros(3))
    alone = s_x2(truth.responses, *bank_of(truth))
    order = np.random.default_rng(8).permutation(900)
    among = s_x2(ResponseMatrix.from_dense(table[order], names), a, b, np.zeros(13))
    assert among.statistic[:10] == pytest.approx(alone.statistic, abs=1e-9)
    assert among.n[:10].tolist() == [600.0] * 10
    assert among.reason.tolist() == [""] * 10 + ["incomplete_forms"] * 3
    assert np.isnan(among.p[10:]).all()


def test_statistics_of_two_forms_are_added_up() -> None:
    first = simulate(np.random.default_rng(9), 500, 8, 8)
    table = np.full((1000, 9), np.nan)
    dense = first.responses.correct.reshape(500, 8).astype(float)
    table[:500, :8], table[500:, 1:] = dense, dense
    a = np.append(first.discrimination, 1.0)
    b = np.append(first.difficulty, 0.0)
    bank = a, b, np.zeros(9)
    names = [f"i{j}" for j in range(9)]
    both = s_x2(ResponseMatrix.from_dense(table, names), *bank)
    parts = [
        s_x2(ResponseMatrix.from_dense(half, names), *bank) for half in (table[:500], table[500:])
    ]
    assert both.statistic[1:8] == pytest.approx(
        parts[0].statistic[1:8] + parts[1].statistic[1:8], abs=1e-9
    )
    # Two parameters are subtracted once, not per form.
    assert both.df[1:8] == pytest.approx(parts[0].df[1:8] + parts[1].df[1:8] + 2.0, abs=1e-12)


def test_plausible_values_depend_on_the_seed_alone() -> None:
    truth = simulate(np.random.default_rng(10), 20_000, 30, 10)
    first = pv_q1(truth.responses, *bank_of(truth), seed=3, draws=4, threads=1)
    again = pv_q1(truth.responses, *bank_of(truth), seed=3, draws=4, threads=2)
    other = pv_q1(truth.responses, *bank_of(truth), seed=4, draws=4)
    assert first.statistic.tolist() == again.statistic.tolist()
    assert (first.statistic != other.statistic).all()


def test_too_few_responses_and_no_degrees_of_freedom_are_reasons() -> None:
    truth = simulate(np.random.default_rng(11), 199, 3, 3)
    bank = bank_of(truth)
    assert pv_q1(truth.responses, *bank, seed=1).reason.tolist() == ["too_few_responses"] * 3
    assert s_x2(truth.responses, *bank).reason.tolist() == ["incomplete_forms"] * 3
    more = simulate(np.random.default_rng(11), 400, 3, 3).responses
    assert s_x2(more, *bank).reason.tolist() == ["no_degrees_of_freedom"] * 3
