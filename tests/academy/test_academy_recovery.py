"""The default calibration finds the truth of the sample academy again.

The estimates are on the scale on which the calibrated students have mean 0 and SD 1. They are
linked to the truth's scale through the students: theta* = s theta + m and b* = s b + m, where m
and s are the mean and SD of the true theta of the same students over the responses used. This
link uses none of the numbers under judgement, so that an error of location or spread counts as
error; mean-sigma over the items would absorb it, and needs the truth of what is being judged.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from irt_service.engines import engine_named
from irt_service.engines.base import Calibration, CalibrationSettings
from irt_service.responses import ResponseMatrix
from irt_service.scoring import eap
from tests.academy.reading import Response, Sample, read_truth

Floats = NDArray[np.float64]

MANY_RESPONSES = 1_000
FEWEST_OF_STUDENT = 5
ENOUGH_OF_STUDENT = 40


@dataclass(frozen=True)
class Recovered:
    """Estimates on the truth's scale beside the truth; items with many responses only."""

    calibration: Calibration
    difficulty: Floats
    se_difficulty: Floats
    true_difficulty: Floats
    discrimination: Floats
    true_discrimination: Floats
    theta: Floats
    true_theta: Floats
    response_count: NDArray[np.int64]


@pytest.fixture(scope="module")
def recovered(default_sample: Sample, responses: list[Response]) -> Recovered:
    truth = default_sample.out / "truth"
    theta_of_session = {
        row["session_id"]: float(row["theta"]) for row in read_truth(truth / "abilities.csv")
    }
    by_student: dict[str, list[Response]] = {}
    for response in responses:
        by_student.setdefault(response.student_id, []).append(response)
    used = {key: own for key, own in by_student.items() if len(own) >= FEWEST_OF_STUDENT}
    flat = [response for own in used.values() for response in own]
    matrix = ResponseMatrix.from_long(
        [response.student_id for response in flat],
        [response.item_id for response in flat],
        [response.is_correct for response in flat],
    )
    found = engine_named("native").calibrate(matrix, CalibrationSettings())
    assert list(found.item_ids) == list(matrix.item_ids)
    theta, _ = eap(
        found.discrimination,
        found.difficulty,
        found.guessing,
        matrix.indptr,
        matrix.items,
        matrix.correct,
        found.prior_mean,
        found.prior_sd,
    )
    true_theta = np.array(
        [
            np.mean([theta_of_session[response.session_id] for response in used[person]])
            for person in matrix.person_ids
        ]
    )
    mean, spread = float(true_theta.mean()), float(true_theta.std())
    items = {row["item_id"]: row for row in read_truth(truth / "items.csv")}
    many = np.asarray(found.n_responses) >= MANY_RESPONSES
    return Recovered(
        calibration=found,
        difficulty=(spread * found.difficulty + mean)[many],
        se_difficulty=(spread * found.se_difficulty)[many],
        true_difficulty=np.array([float(items[i]["difficulty"]) for i in found.item_ids])[many],
        discrimination=(found.discrimination / spread)[many],
        true_discrimination=np.array([float(items[i]["discrimination"]) for i in found.item_ids])[
            many
        ],
        theta=spread * theta + mean,
        true_theta=true_theta,
        response_count=np.diff(matrix.indptr),
    )


def test_the_calibration_converges_and_sets_no_item_aside(recovered: Recovered) -> None:
    assert recovered.calibration.is_converged
    assert recovered.calibration.excluded == ()
    assert len(recovered.calibration.item_ids) == 300
    assert len(recovered.difficulty) >= 100


def test_difficulty_is_recovered_as_closely_as_its_standard_error_says(
    recovered: Recovered,
) -> None:
    error = recovered.difficulty - recovered.true_difficulty
    rmse = float(np.sqrt(np.mean(error**2)))
    assert rmse <= 0.15
    assert abs(float(error.mean())) < 0.05
    assert 0.8 <= rmse / float(recovered.se_difficulty.mean()) <= 1.25


def test_discrimination_is_recovered_but_for_what_topics_and_growth_blur(
    recovered: Recovered,
) -> None:
    ratio = recovered.discrimination / recovered.true_discrimination
    assert float(np.mean(ratio)) == pytest.approx(0.98, abs=0.03)
    assert float(np.corrcoef(recovered.discrimination, recovered.true_discrimination)[0, 1]) > 0.85


def test_theta_agrees_with_its_true_mean_over_the_responses_used(recovered: Recovered) -> None:
    enough = recovered.response_count >= ENOUGH_OF_STUDENT
    theta, true_theta = recovered.theta[enough], recovered.true_theta[enough]
    assert int(enough.sum()) > 1_500
    assert float(np.corrcoef(theta, true_theta)[0, 1]) >= 0.9
    assert abs(float((theta - true_theta).mean())) < 0.03
