"""The KPI handbook answers the same questions of every KPI, with examples that are right."""

from __future__ import annotations

import re
from math import erf, sqrt

import pytest

from tests.conftest import ROOT

HANDBOOK = (ROOT / "docs/kpi-handbook.md").read_text()
SECTIONS = {part.partition("\n")[0]: " ".join(part.split()) for part in HANDBOOK.split("\n## ")[1:]}
SHARE_ERROR = sqrt(2 / 3 * 1 / 3 / 30)
# By the formulas of the handbook, from the figures of its examples.
WORKED = {
    "Improvement index, I_t": [
        (20 / 30 - 15 / 30) * (1 - 1.96 * SHARE_ERROR),
        (0.9 - 0.5) * 24 / 30 * (1 - 1.96 * 0.15),
    ],
    "Time efficiency, E_t": [(60 - 45) / 60],
    "Recovery rate, R_t": [3 / 4],
    "Engagement, A_t": [0.35 * 7 / 28 + 0.25 / 3 + 0.20 * (1 - 0.3 / 3) + 0.20 * 450 / 900],
    "Goal probability, P": [(1 + erf((0.5 - 0) / 0.4 / sqrt(2))) / 2],
    "Churn risk, S": [0.60 * 3 / 14 + 0.25 * 2 / 7 + 0.15 * (1 - 5 / 10)],
    "How well predictions hold": [1 - 0.12 / (0.2 * 0.8)],
}


@pytest.mark.parametrize("title", WORKED)
def test_a_worked_example_gives_what_its_formula_gives(title: str) -> None:
    printed = re.findall(r"\*\*([0-9.]+)\*\*", SECTIONS[title])
    rounded = [
        f"{value:.{len(text.partition('.')[2])}f}"
        for text, value in zip(printed, WORKED[title], strict=True)
    ]
    assert printed == rounded


@pytest.mark.parametrize("title", [title for title in WORKED if ", " in title])
def test_a_kpi_has_a_question_an_example_a_reading_and_a_warning(title: str) -> None:
    question, *_ = re.findall(r"\*([^*]+)\*", SECTIONS[title])
    assert question.endswith("?")
    for part in ("*Worked:*", "*Read*", "*Do not trust*"):
        assert part in SECTIONS[title]


def test_every_reason_and_basis_of_a_missing_kpi_is_named() -> None:
    contract = (ROOT / "dbt/models/marts/learning/_learning__daily_kpis__models.yml").read_text()
    reasons = set(re.findall(r"'((?:no|zero|nothing)_\w+)'", contract))
    assert len(reasons) == 9
    assert {reason for reason in reasons if f"`{reason}`" not in HANDBOOK} == set()
