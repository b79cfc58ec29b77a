"""Answers follow the model: observed against expected under the true abilities and parameters."""

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from tests.academy.reading import Response, Row, Sample, latest_by_session, read_rows, read_truth

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Checked:
    """First graded attempts with the probability that the truth gives them."""

    chance: Floats
    is_correct: NDArray[np.bool_]
    item: NDArray[np.str_]


@pytest.fixture(scope="module")
def checked(default_sample: Sample, responses: list[Response]) -> Checked:
    truth = default_sample.out / "truth"
    items = {row["item_id"]: row for row in read_truth(truth / "items.csv")}
    theta = {row["session_id"]: float(row["theta"]) for row in read_truth(truth / "abilities.csv")}
    deviation = {
        (row["student_id"], row["topic_id"]): float(row["deviation"])
        for row in read_truth(truth / "topic_abilities.csv")
    }
    of_response = [items[response.item_id] for response in responses]
    ability = np.array(
        [
            theta[response.session_id] + deviation[response.student_id, item["topic_id"]]
            for response, item in zip(responses, of_response, strict=True)
        ]
    )
    a, b, c = (
        np.array([float(item[name]) for item in of_response])
        for name in ("discrimination", "difficulty", "guessing")
    )
    return Checked(
        chance=c + (1 - c) / (1 + np.exp(-a * (ability - b))),
        is_correct=np.array([response.is_correct for response in responses]),
        item=np.array([response.item_id for response in responses]),
    )


def chi_square(checked: Checked, group: NDArray[np.int64]) -> float:
    """Return the sum over groups of (observed - expected)^2 / variance."""
    residual = np.bincount(group, weights=checked.is_correct - checked.chance)
    variance = np.bincount(group, weights=checked.chance * (1 - checked.chance))
    return float((residual**2 / variance).sum())


def test_a_reader_of_the_files_finds_the_first_attempts_that_the_simulator_meant(
    default_sample: Sample, responses: list[Response]
) -> None:
    assert len(responses) == default_sample.summary["first_graded"]


def test_first_attempts_agree_with_the_model_in_every_range_of_probability(
    checked: Checked,
) -> None:
    cuts = np.quantile(checked.chance, np.linspace(0, 1, 41)[1:-1])
    value = chi_square(checked, np.searchsorted(cuts, checked.chance))
    assert stats.chi2.ppf(0.001, 40) < value < stats.chi2.ppf(0.999, 40)


def test_first_attempts_agree_with_the_model_on_every_item(checked: Checked) -> None:
    names, group = np.unique(checked.item, return_inverse=True)
    value = chi_square(checked, group)
    assert len(names) == 300
    assert stats.chi2.ppf(0.001, 300) < value < stats.chi2.ppf(0.999, 300)


def test_the_check_would_notice_a_difficulty_off_by_a_tenth(checked: Checked) -> None:
    logit = np.log(checked.chance / (1 - checked.chance)) - 0.1
    wrong = Checked(1 / (1 + np.exp(-logit)), checked.is_correct, checked.item)
    _, group = np.unique(wrong.item, return_inverse=True)
    assert chi_square(wrong, group) > 2 * stats.chi2.ppf(0.999, 300)


@pytest.fixture(scope="module")
def elements(default_sample: Sample) -> list[Row]:
    some = itertools.islice(read_rows(default_sample.out / "exam_results.jsonl.gz"), 15_000)
    rows = latest_by_session(some).values()
    theta = {
        row["session_id"]: float(row["theta"])
        for row in read_truth(default_sample.out / "truth/abilities.csv")
    }
    difficulty = {
        row["item_id"]: float(row["difficulty"])
        for row in read_truth(default_sample.out / "truth/items.csv")
    }
    return [
        element | {"gap": theta[row["session_id"]] - difficulty[str(element["question_id"])]}
        for row in rows
        if row["result_json"] and isinstance(row["result_json"]["questions"], list)
        for element in row["result_json"]["questions"]
        if isinstance(element, dict) and element.get("question_id")
    ]


def test_hard_questions_take_longer_and_more_hints(elements: list[Row]) -> None:
    sound = [e for e in elements if e["time_spent_sec"] > 0]
    hard = [e["time_spent_sec"] for e in sound if e["gap"] < -1]
    easy = [e["time_spent_sec"] for e in sound if e["gap"] > 1]
    # Gaps average about -1.6 and 1.7 here; 0.15 of log time per unit, medians of a lognormal.
    assert np.log(np.median(hard) / np.median(easy)) == pytest.approx(0.5, abs=0.06)
    hints = [(e["gap"], e["used_hints"]) for e in elements if e.get("used_hints", 9) <= 3]
    many = np.mean([count for gap, count in hints if gap < -1])
    few = np.mean([count for gap, count in hints if gap > 1])
    assert many / few > 4
    assert all(e.get("used_hints", 9) > 3 for e in elements if "correct_answer" in e)


def test_an_answer_is_right_exactly_when_it_is_the_correct_one(elements: list[Row]) -> None:
    answered = [e for e in elements if e.get("user_answer") and "correct_answer" in e]
    graded = [e for e in answered if isinstance(e.get("is_correct"), bool)]
    assert len(graded) > 20_000
    assert all((e["user_answer"] == e["correct_answer"]) == e["is_correct"] for e in graded)
