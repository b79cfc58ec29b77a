"""Differential item functioning between groups of students."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from irt_service.diagnostics.dif import Dif, dif
from irt_service.errors import InvalidInputError
from irt_service.responses import ResponseMatrix
from tests.irt_service.simulation import Simulated, simulate

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
NAMES = ["north", "south", "east"]


def two_groups(
    seed: int,
    n_persons: int = 4000,
    impact: float = 1.0,
    delta_b: float = 0.0,
    delta_a: float = 0.0,
) -> tuple[Simulated, Codes]:
    """40 items, 20 answered; group 1 (40 %) is `impact` weaker; its items 0 to 2 differ."""
    rng = np.random.default_rng(seed)
    truth = simulate(rng, n_persons, 40, 20)
    codes = (rng.random(n_persons) < 0.4).astype(np.int64)
    theta = truth.theta - impact * codes
    items = truth.responses.items.reshape(n_persons, 20)
    is_studied = (items < 3) & (codes == 1)[:, None]
    a = truth.discrimination[items] + delta_a * is_studied
    b = truth.difficulty[items] + delta_b * is_studied
    p = 1 / (1 + np.exp(-a * (theta[:, None] - b)))
    correct = (rng.random(p.shape) < p).astype(np.int8).ravel()
    return replace(truth, responses=replace(truth.responses, correct=correct)), codes


def items_of(truth: Simulated, codes: Codes, **settings: bool | int) -> Dif:
    return dif(
        truth.responses,
        codes,
        NAMES,
        truth.discrimination,
        truth.difficulty,
        truth.guessing,
        (-0.4, 1.1),
        **settings,
    )


def test_a_difference_in_ability_alone_flags_nothing() -> None:
    found = items_of(*two_groups(41))
    assert (found.reason == "").sum() == 40
    assert (found.severity == "none").all()
    assert found.is_anchor.all()
    assert (found.p < 0.05).mean() < 0.15
    reference, focal = found.groups[:2]
    assert (reference.is_reference, focal.is_reference) == (True, False)
    assert reference.mean - focal.mean == pytest.approx(1.0, abs=0.1)
    assert focal.sd == pytest.approx(1.0, abs=0.1)


def test_items_harder_for_one_group_are_flagged_with_their_size() -> None:
    found = items_of(*two_groups(42, delta_b=1.0))
    assert found.severity[:3].tolist() == ["severe"] * 3
    # The false-discovery rate lets one clean item through now and then.
    assert (found.severity[3:] != "none").sum() <= 1
    assert found.delta_b[:3] == pytest.approx(1.0, abs=3 * found.se_delta_b[:3].max())
    assert found.kind[:3].tolist() == ["uniform"] * 3
    assert found.is_anchor[:3].tolist() == [False] * 3
    assert found.is_anchor.sum() >= 36


def test_items_less_telling_for_one_group_are_not_uniform() -> None:
    found = items_of(*two_groups(43, n_persons=12_000, impact=0.0, delta_a=-0.5))
    assert found.kind[:3].tolist() == ["non-uniform"] * 3
    assert found.delta_a[:3] == pytest.approx(-0.5, abs=0.2)
    assert set(found.severity[:3]) <= {"moderate", "severe"}


def test_effects_change_sign_with_the_reference() -> None:
    truth, codes = two_groups(44, delta_b=1.0)
    larger = np.where(np.arange(4000) % 3 == 0, -1, codes)
    first = items_of(truth, np.where((larger == 0) & (np.arange(4000) % 2 == 0), -1, larger))
    second = items_of(truth, np.where((larger == 1) & (np.arange(4000) % 2 == 0), -1, larger))
    assert first.groups[1].is_reference
    assert second.groups[0].is_reference
    assert (first.delta_b[:3] < -0.2).all()
    assert (second.delta_b[:3] > 0.2).all()


def test_the_order_of_students_and_the_threads_do_not_matter() -> None:
    truth, codes = two_groups(45, n_persons=2000, delta_b=0.7)
    dense = np.full((2000, 40), np.nan)
    dense[np.repeat(np.arange(2000), 20), truth.responses.items] = truth.responses.correct
    order = np.random.default_rng(46).permutation(2000)
    mixed = ResponseMatrix.from_dense(dense[order], list(truth.responses.item_ids))
    first = items_of(truth, codes, threads=1)
    again = items_of(truth, codes, threads=2)
    shuffled = items_of(replace(truth, responses=mixed), codes[order])
    assert again.statistic.tolist() == first.statistic.tolist()
    assert shuffled.statistic == pytest.approx(first.statistic, abs=1e-6)


def test_three_groups_give_a_row_per_item_and_focal_group() -> None:
    truth, codes = two_groups(47)
    codes[(codes == 0) & (np.arange(4000) % 3 == 0)] = 2
    found = items_of(truth, codes)
    assert found.item.tolist() == list(range(40)) * 2
    assert np.unique(found.focal).tolist() == [0, 2] if found.reference[0] == 1 else [1, 2]
    assert (found.severity == "none").all()


def test_without_discriminations_there_is_one_degree_of_freedom() -> None:
    truth, codes = two_groups(48, delta_b=0.7)
    found = items_of(replace(truth, discrimination=np.ones(40)), codes, has_slope=False)
    assert set(found.df) == {1.0}
    assert np.isnan(found.se_delta_a).all()
    assert (found.severity[:3] != "none").all()


def test_small_groups_and_rare_items_have_reasons() -> None:
    truth, codes = two_groups(49, n_persons=1000)
    few = items_of(truth, np.where((codes == 1) & (np.cumsum(codes) > 150), -1, codes))
    assert len(few.item) == 0
    assert [group.reason for group in few.groups] == [
        "no_group_to_compare_with",
        "too_few_students",
        "too_few_students",
    ]
    rows = truth.responses.items == 5
    rare = replace(truth.responses, items=truth.responses.items)
    kept = np.flatnonzero(rows)[:150]
    drop = rows.copy()
    drop[kept] = False
    counts = np.add.reduceat(~drop, truth.responses.indptr[:-1])
    rare = ResponseMatrix(
        rare.person_ids,
        rare.item_ids,
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        rare.items[~drop],
        rare.correct[~drop],
    )
    found = items_of(replace(truth, responses=rare), codes)
    assert found.reason[5] == "too_few_responses"
    assert np.isnan(found.p[5])
    assert found.severity[5] == ""


def test_a_group_that_answers_by_chance_gets_no_verdict() -> None:
    truth, codes = two_groups(49, impact=0.0)
    rng = np.random.default_rng(50)
    chance = rng.integers(0, 2, len(truth.responses.correct)).astype(np.int8)
    is_focal = np.repeat(codes == 1, 20)
    correct = np.where(is_focal, chance, truth.responses.correct)
    found = items_of(replace(truth, responses=replace(truth.responses, correct=correct)), codes)
    assert set(found.reason) == {"no_spread_of_ability"}
    assert set(found.severity) == {""}
    assert found.is_anchor.sum() >= 5


def test_codes_without_a_name_are_refused() -> None:
    truth, codes = two_groups(50, n_persons=300)
    with pytest.raises(InvalidInputError, match="no name"):
        items_of(truth, codes + 2)
    with pytest.raises(InvalidInputError, match="needs a group"):
        items_of(truth, codes[1:])
