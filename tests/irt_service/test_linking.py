"""Linking constants against the reference, identities, drifted anchors."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from irt_service.errors import InsufficientDataError, InvalidInputError
from irt_service.linking import (
    NODES,
    NORMAL_WEIGHTS,
    Curves,
    Floats,
    Method,
    link,
    link_constants,
)
from tests.irt_service.reference_cases import FOLDER

UNIFORM_WEIGHTS = np.ones(len(NODES))
REFERENCE = json.loads((FOLDER / "anchored" / "linking.json").read_text(encoding="utf-8"))


def curves_of(name: str) -> Curves:
    a, b = (np.array([item[key] for item in REFERENCE[name]]) for key in "ab")
    return Curves(a, b, np.zeros(len(a)))


def simulated(seed: int, n_items: int = 20) -> Curves:
    rng = np.random.default_rng(seed)
    return Curves(
        rng.lognormal(0.0, 0.3, n_items), rng.normal(size=n_items), rng.uniform(0, 0.2, n_items)
    )


@pytest.mark.parametrize(
    ("name", "method", "is_symmetric", "weights"),
    [
        ("mean_sigma", Method.MEAN_SIGMA, True, NORMAL_WEIGHTS),
        ("mean_mean", Method.MEAN_MEAN, True, NORMAL_WEIGHTS),
        ("stocking_lord_uniform", Method.STOCKING_LORD, False, UNIFORM_WEIGHTS),
        ("stocking_lord_normal", Method.STOCKING_LORD, False, NORMAL_WEIGHTS),
        ("stocking_lord_symmetric_normal", Method.STOCKING_LORD, True, NORMAL_WEIGHTS),
        ("haebara_uniform", Method.HAEBARA, False, UNIFORM_WEIGHTS),
        ("haebara_normal", Method.HAEBARA, False, NORMAL_WEIGHTS),
        ("haebara_symmetric_normal", Method.HAEBARA, True, NORMAL_WEIGHTS),
    ],
)
def test_constants_agree_with_the_reference(
    name: str, method: Method, is_symmetric: bool, weights: Floats
) -> None:
    base, new = curves_of("A_items"), curves_of("B_items")
    assert len(base.difficulty) == len(new.difficulty) == 10
    found = link_constants(new, base, method, is_symmetric=is_symmetric, weights=weights)
    expected = REFERENCE["links"][name]
    assert found == pytest.approx((expected["S"], expected["I"]), abs=1e-4)


def test_the_default_is_the_symmetric_stocking_lord() -> None:
    found = link(curves_of("B_items"), curves_of("A_items"))
    expected = REFERENCE["links"]["stocking_lord_symmetric_normal"]
    assert (found.slope, found.shift) == pytest.approx((expected["S"], expected["I"]), abs=1e-4)
    assert found.kept.all()
    assert found.test_rmsd < 0.01


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    slope=st.floats(0.5, 2.0),
    shift=st.floats(-1.5, 1.5),
    method=st.sampled_from(Method),
)
def test_a_scale_that_was_moved_is_moved_back(
    seed: int, slope: float, shift: float, method: Method
) -> None:
    base = simulated(seed)
    new = base.moved(1 / slope, -shift / slope)
    found = link(new, base, method)
    assert (found.slope, found.shift) == pytest.approx((slope, shift), abs=1e-6)
    assert found.test_rmsd == pytest.approx(0.0, abs=1e-7)


@pytest.mark.parametrize("method", list(Method))
def test_a_scale_is_linked_to_itself_by_one_and_zero(method: Method) -> None:
    base = simulated(1)
    assert link_constants(base, base, method) == pytest.approx((1.0, 0.0), abs=1e-10)


@pytest.mark.parametrize("method", [Method.STOCKING_LORD, Method.HAEBARA])
def test_the_symmetric_link_back_is_the_inverse(method: Method) -> None:
    base, new = curves_of("A_items"), curves_of("B_items")
    slope, shift = link_constants(new, base, method)
    back_slope, back_shift = link_constants(base, new, method)
    assert (back_slope, back_shift) == pytest.approx((1 / slope, -shift / slope), abs=1e-6)


def test_a_unit_slope_moves_only_the_shift() -> None:
    rasch = Curves(np.ones(6), np.linspace(-2, 2, 6), np.zeros(6))
    new = rasch.moved(1.0, -0.4)
    for method in Method:
        found = link_constants(new, rasch, method, has_unit_slope=True)
        assert found == pytest.approx((1.0, 0.4), abs=1e-9)


def test_drifted_anchors_are_dropped_and_the_rest_decides() -> None:
    rng = np.random.default_rng(2)
    base = simulated(3)
    moved = base.moved(1 / 1.2, -0.5 / 1.2)
    difficulty = moved.difficulty + rng.normal(0, 0.03, 20)
    difficulty[[4, 11]] += 0.9
    discrimination = moved.discrimination * np.exp(rng.normal(0, 0.03, 20))
    discrimination[7] *= 2.5
    found = link(Curves(discrimination, difficulty, moved.guessing), base)
    assert np.flatnonzero(~found.kept).tolist() == [4, 7, 11]
    assert (found.slope, found.shift) == pytest.approx((1.2, 0.5), abs=0.03)
    unscreened = link(Curves(discrimination, difficulty, moved.guessing), base, is_screened=False)
    assert unscreened.kept.all()
    assert abs(unscreened.shift - 0.5) > 2 * abs(found.shift - 0.5)
    assert found.residuals[4] == pytest.approx(-0.9 * 1.2, abs=0.15)
    assert found.curve_rmsd[7] > 3 * np.median(found.curve_rmsd)


def test_small_differences_drop_no_anchor() -> None:
    base = simulated(4)
    difficulty = base.difficulty.copy()
    difficulty[2] += 0.2
    found = link(Curves(base.discrimination, difficulty, base.guessing), base)
    assert found.kept.all()


def test_too_few_stable_anchors_are_no_link() -> None:
    base = simulated(5, 6)
    difficulty = base.difficulty.copy()
    difficulty[:2] += [3.0, -3.0]
    with pytest.raises(InsufficientDataError, match="4 of 6 kept, 5 needed"):
        link(Curves(base.discrimination, difficulty, base.guessing), base, fewest_kept=5)


def test_items_that_do_not_correspond_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="the same items"):
        link_constants(simulated(6, 5), simulated(6, 6))
    with pytest.raises(InsufficientDataError, match="too few common items"):
        link_constants(simulated(6, 1), simulated(6, 1))
    with pytest.raises(InvalidInputError, match="must be finite"):
        Curves(np.array([np.nan]), np.zeros(1), np.zeros(1))
    same = Curves(np.ones(4), np.zeros(4), np.zeros(4))
    with pytest.raises(InsufficientDataError, match="determine no slope"):
        link_constants(same, simulated(6, 4), Method.MEAN_SIGMA)
