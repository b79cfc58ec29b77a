"""The scale of a new run: where it is linked, and where it breaks."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from irt_service.linking import Curves
from irt_service.scale import link_to_run
from irt_service.sessions import ScoringRun
from irt_service.settings import GateSettings

GATES = GateSettings()
FORM_A = [
    (0.598823258416916, 1.00765890630345),
    (1.17227748920262, -0.612414879387346),
    (0.813350136821809, -1.30408670075379),
    (1.68644458371191, 0.693292605378697),
    (1.69595938730889, -0.994750516292315),
    (1.30789910763287, 0.738525871288367),
    (0.63522758979749, -0.396404587925511),
    (0.952265271521008, 0.291714691156739),
    (0.630500361660357, -0.890705071312642),
    (0.97211053125559, 0.630879849994775),
]
FORM_B = [(a * 1.2, (b - 0.4) / 1.2) for a, b in FORM_A]


def curves(parameters: list[tuple[float, float]]) -> Curves:
    """Items without guessing."""
    a, b = np.array(parameters).T
    return Curves(a, b, np.zeros(len(a)))


def standing(parameters: list[tuple[float, float]]) -> ScoringRun:
    """The run in force, with items q_0, q_1, ..."""
    given = curves(parameters)
    positions = {f"q_{j}": j for j in range(len(parameters))}
    return ScoringRun(
        "run_1", "2PL", "run_1", positions, given.discrimination, given.difficulty,
        given.guessing, 0.0, 1.0,
    )  # fmt: skip


def calibration(parameters: list[tuple[float, float]]) -> Any:
    """The part of a calibration that a link looks at."""
    given = curves(parameters)
    return SimpleNamespace(
        item_ids=tuple(f"q_{j}" for j in range(len(parameters))),
        discrimination=given.discrimination,
        difficulty=given.difficulty,
        guessing=given.guessing,
    )


def test_a_run_linked_to_itself_stays_where_it_is() -> None:
    scale = link_to_run(calibration(FORM_A), standing(FORM_A), GATES)
    assert (scale.slope, scale.shift) == pytest.approx((1.0, 0.0), abs=1e-8)
    assert scale.details["rmsd_expected_score"] == pytest.approx(0.0, abs=1e-8)


def test_a_known_move_of_the_scale_is_found() -> None:
    moved = [(a * 1.3, (b - 0.4) / 1.3) for a, b in FORM_A]
    scale = link_to_run(calibration(moved), standing(FORM_A), GATES)
    assert (scale.slope, scale.shift) == pytest.approx((1.3, 0.4), abs=1e-6)


def test_a_drifted_item_is_dropped_and_does_not_move_the_scale() -> None:
    moved = [(a * 1.3, (b - 0.4) / 1.3) for a, b in FORM_A]
    moved[3] = (moved[3][0], moved[3][1] + 1.0)
    scale = link_to_run(calibration(moved), standing(FORM_A), GATES)
    assert scale.details["dropped"] == ["q_3"]
    assert (scale.slope, scale.shift) == pytest.approx((1.3, 0.4), abs=1e-6)


def test_four_items_in_common_break_the_scale() -> None:
    scale = link_to_run(calibration(FORM_B[:4]), standing(FORM_A), GATES)
    assert scale.method == "break"
    assert "4 of 4 kept, 5 needed" in scale.details["reason"]


def test_five_items_in_common_do_not() -> None:
    assert link_to_run(calibration(FORM_B[:5]), standing(FORM_A), GATES).method == "stocking-lord"


def test_a_rasch_run_is_shifted_and_never_stretched() -> None:
    rasch = [(1.0, b) for _, b in FORM_A]
    moved = [(1.0, b - 0.4) for _, b in FORM_A]
    scale = link_to_run(calibration(moved), standing(rasch), GATES)
    assert (scale.slope, scale.shift) == pytest.approx((1.0, 0.4), abs=1e-8)
