"""Gates before a calibration: what is set aside, and what is refused."""

import numpy as np
import pytest

from irt_service.gates import (
    ALL_CORRECT,
    ALL_INCORRECT,
    NOT_CONNECTED,
    TOO_FEW_RESPONSES,
    Admission,
    admit,
    unmet,
)
from irt_service.responses import ResponseMatrix
from irt_service.settings import GateSettings

GATES = GateSettings(min_responses_per_item=10, min_responses_per_student=2)


def matrix(rows: list[tuple[str, str, int]]) -> ResponseMatrix:
    """Responses from (student, item, grade)."""
    students, items, grades = zip(*rows, strict=True)
    return ResponseMatrix.from_long(list(students), list(items), np.array(grades))


def block(items: list[str], n_students: int, prefix: str = "s") -> list[tuple[str, str, int]]:
    """Every student answers every item, right and wrong in turn."""
    return [
        (f"{prefix}{number}", item, (number + place) % 2)
        for number in range(n_students)
        for place, item in enumerate(items)
    ]


def reasons(admission: Admission) -> dict[str, str]:
    """Why each item was set aside."""
    return {one.item_id: one.reason for one in admission.excluded}


def test_sufficient_items_and_students_are_all_kept() -> None:
    admission = admit(matrix(block(["a", "b"], 10)), GATES)
    assert admission.is_met
    assert (admission.responses.n_items, admission.responses.n_persons) == (2, 10)
    assert reasons(admission) == {}


def test_an_item_with_one_response_too_few_is_set_aside() -> None:
    admission = admit(matrix(block(["a", "b"], 10) + block(["c"], 9)), GATES)
    assert reasons(admission) == {"c": TOO_FEW_RESPONSES}
    assert admission.excluded[0].n_responses == 9


@pytest.mark.parametrize(("grade", "reason"), [(1, ALL_CORRECT), (0, ALL_INCORRECT)])
def test_an_item_that_everybody_answers_alike_is_set_aside(grade: int, reason: str) -> None:
    alike = [(f"s{number}", "c", grade) for number in range(10)]
    assert reasons(admit(matrix(block(["a", "b"], 10) + alike), GATES)) == {"c": reason}


def test_leaving_students_out_goes_on_until_nothing_changes() -> None:
    # Without c, ten students answer only b; without them b has too few.
    rows = block(["a", "d"], 10, "x") + block(["b"], 10, "y") + block(["c"], 9, "y")
    admission = admit(matrix(rows), GATES)
    assert set(reasons(admission)) == {"b", "c"}
    assert admission.responses.n_persons == 10
    assert admission.students_left_out == 10


def test_the_part_with_most_responses_is_kept_of_a_disconnected_graph() -> None:
    rows = block([f"i{j}" for j in range(9)], 20, "x") + block(["p", "q"], 12, "y")
    admission = admit(matrix(rows), GATES)
    assert reasons(admission) == {"p": NOT_CONNECTED, "q": NOT_CONNECTED}
    assert admission.is_met


def test_two_parts_of_equal_size_are_refused() -> None:
    rows = block(["a", "b"], 12, "x") + block(["p", "q"], 12, "y")
    admission = admit(matrix(rows), GATES)
    assert not admission.is_met
    assert "connectedness" in unmet(admission.verdicts)[0]


def test_one_student_in_common_connects_two_parts() -> None:
    rows = block(["a", "b"], 12, "x") + block(["p", "q"], 12, "y") + [("x0", "p", 1)]
    assert reasons(admit(matrix(rows), GATES)) == {}


def test_three_students_are_refused() -> None:
    admission = admit(matrix(block(["a", "b"], 3)), GATES)
    assert not admission.is_met
    assert admission.responses.n_items == 0
