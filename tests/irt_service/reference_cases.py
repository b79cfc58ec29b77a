"""Reads the reference calibrations; what they are stands in reference/README.md."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from irt_service.responses import ResponseMatrix

Floats = npt.NDArray[np.float64]

FOLDER = Path(__file__).parent / "reference"


@dataclass(frozen=True)
class Reference:
    """One calibration by R mirt: parameter -> item -> (estimate, standard error)."""

    fit: dict[str, Any]
    values: dict[str, dict[str, tuple[float, float]]]

    def estimates(self, parameter: str, items: tuple[str, ...]) -> Floats:
        """Estimates in the order of `items`."""
        return np.array([self.values[parameter][item][0] for item in items])

    def errors(self, parameter: str, items: tuple[str, ...]) -> Floats:
        """Standard errors in the order of `items`."""
        return np.array([self.values[parameter][item][1] for item in items])


def rows_of(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _number(text: str) -> float:
    return float(text) if text else np.nan


def responses_of(case: str, file: str = "responses.csv") -> ResponseMatrix:
    """The responses of a simulated case; an empty cell is missing."""
    rows = rows_of(FOLDER / case / file)
    values = [[_number(cell) for cell in row.values()] for row in rows]
    return ResponseMatrix.from_dense(values, list(rows[0]))


def patterns_of_lsat7() -> tuple[Floats, npt.NDArray[np.int64], list[str]]:
    """Patterns (32, 5), students per pattern, item ids."""
    rows = rows_of(FOLDER / "LSAT7" / "patterns.csv")
    counts = np.array([int(row.pop("students")) for row in rows])
    values = np.array([[float(cell) for cell in row.values()] for row in rows])
    return values, counts, list(rows[0])


def lsat7() -> ResponseMatrix:
    """All students of LSAT7, one row each."""
    values, counts, items = patterns_of_lsat7()
    return ResponseMatrix.from_dense(np.repeat(values, counts, axis=0), items)


def reference_of(case: str, model: str) -> Reference:
    """Estimates of one calibration, both parametrisations."""
    values: dict[str, dict[str, tuple[float, float]]] = {}
    for kind in ("items_slopeint", "items_irt"):
        for row in rows_of(FOLDER / case / f"{model}.{kind}.csv"):
            entry = (float(row["est"]), _number(row["se"]))
            values.setdefault(row["par"], {})[row["item"]] = entry
    fit = json.loads((FOLDER / case / f"{model}.json").read_text(encoding="utf-8"))
    return Reference(fit, values)


def abilities_of(case: str, model: str) -> Floats:
    """EAP and posterior SD per student (or pattern), shape (N, 2)."""
    for kind in ("persons", "patterns"):
        path = FOLDER / case / f"{model}.{kind}.csv"
        if path.exists():
            rows = rows_of(path)
            return np.array([[float(row["theta_eap"]), float(row["se_eap"])] for row in rows])
    raise FileNotFoundError(model)
