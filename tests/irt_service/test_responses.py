"""Responses are validated once, at the boundary, with what, where and what to do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from irt_service.errors import InvalidInputError
from irt_service.responses import ResponseMatrix


def test_a_long_table_becomes_rows_of_a_student() -> None:
    found = ResponseMatrix.from_long(["b", "a", "b"], ["q2", "q1", "q1"], [1, 0, 1])
    assert list(found.person_ids) == ["a", "b"]
    assert list(found.item_ids) == ["q1", "q2"]
    assert found.indptr.tolist() == [0, 1, 3]
    assert found.items.tolist() == [0, 0, 1]
    assert found.correct.tolist() == [0, 1, 1]
    assert found.item_counts().tolist() == [2, 1]


def test_ids_sort_by_their_bytes() -> None:
    found = ResponseMatrix.from_long(["z", "Z", "가", "10", "9"], ["q"] * 5, [1] * 5)
    assert list(found.person_ids) == ["10", "9", "Z", "z", "가"]


@pytest.mark.parametrize(
    "values",
    [
        [1, 0],
        [1.0, 0.0],
        [True, False],
        np.array([1, 0], dtype=np.uint8),
        pa.array([1, 0]),
        pa.chunked_array([[True], [False]]),
        pa.array(["1", "0"]),
        ["true", "false"],
    ],
    ids=str,
)
def test_grades_may_be_numbers_truth_values_or_their_text(values: Any) -> None:
    assert ResponseMatrix.from_long(["a", "b"], ["q", "q"], values).correct.tolist() == [1, 0]


@pytest.mark.parametrize(
    "ids", [[17, 4], pa.array(["17", "4"]).dictionary_encode(), np.array(["17", "4"])], ids=str
)
def test_ids_may_be_numbers_or_encoded_text(ids: Any) -> None:
    assert list(ResponseMatrix.from_long(ids, ["q", "q"], [1, 0]).person_ids) == ["17", "4"]


@pytest.mark.parametrize(
    ("students", "items", "grades", "words"),
    [
        (["a", "b"], ["q", "q"], [1, 2], r"not in 1 rows \(first in row 2: 2\)"),
        (["a", "b"], ["q", "q"], [1, float("nan")], r"first in row 2: nan"),
        (["a", "b"], ["q", "q"], [1, 0.5], r"first in row 2: 0.5"),
        (["a", "b"], ["q", "q"], ["1", "yes"], r"first in row 2: 'yes'"),
        (["a", "b"], ["q", "q"], [1, None], r"is_correct is missing in 1 rows"),
        (["a", None], ["q", "q"], [1, 0], r"student_id is missing in 1 rows \(first in row 2"),
        (["a", "b"], ["", "q"], [1, 0], r"item_id is missing \(first in row 1"),
        (["a"], ["q", "q"], [1, 0], r"unequal lengths \(student_id 1, item_id 2, is_correct 2"),
        ([], [], [], r"there are no responses"),
        (["a", "a"], ["q", "q"], [1, 0], r"first student 'a', item 'q'"),
        (["a", 1], ["q", "q"], [1, 0], r"a column cannot be read \(student_id"),
        ([0.5, 1.5], ["q", "q"], [1, 0], r"ids must be text"),
        (["a", "b"], ["q", "q"], [[1], [0]], r"is_correct must be 0 or 1 \(found list"),
    ],
)
def test_what_cannot_be_a_response_is_named(
    students: Any, items: Any, grades: Any, words: str
) -> None:
    with pytest.raises(InvalidInputError, match=words):
        ResponseMatrix.from_long(students, items, grades)


def test_weights_belong_to_students() -> None:
    found = ResponseMatrix.from_long(["b", "a"], ["q", "q"], [1, 0], {"a": 2.0, "b": 0.5})
    assert found.weights is not None
    assert found.weights.tolist() == [2.0, 0.5]
    with pytest.raises(InvalidInputError, match="without a weight"):
        ResponseMatrix.from_long(["b", "a"], ["q", "q"], [1, 0], {"a": 2.0})
    with pytest.raises(InvalidInputError, match="finite and not negative"):
        ResponseMatrix.from_long(["a"], ["q"], [1], {"a": -1.0})


def test_keeping_items_drops_students_who_are_left_with_too_little() -> None:
    table = [[1, 0, np.nan], [np.nan, 1, 0], [1, 1, 1]]
    found = ResponseMatrix.from_dense(table, ["x", "y", "z"], weights=[1.0, 2.0, 3.0])
    kept = found.select(np.array([True, True, False]), fewest_per_person=2)
    assert list(kept.person_ids) == ["1", "3"]
    assert kept.items.tolist() == [0, 1, 0, 1]
    assert kept.correct.tolist() == [1, 0, 1, 1]
    assert kept.weights is not None
    assert kept.weights.tolist() == [1.0, 3.0]


def test_the_tally_counts_weights_and_shared_students() -> None:
    table = [[1, np.nan], [0, 1], [1, 1]]
    found = ResponseMatrix.from_dense(table, ["x", "y"], weights=[1.0, 2.0, 4.0])
    assert found.tally().tolist() == [[3, 7, 5, 2], [2, 6, 6, 2]]
    assert found.tally(np.array([True, False]))[:, 3].tolist() == [0, 2]
