"""Findings as Arrow tables, in which NaN and empty texts are missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa


@dataclass(frozen=True)
class Findings:
    """Rows as they are stored, and what sums them up per grouping or comparison."""

    table: pa.Table
    summary: list[dict[str, Any]]


def numbers(values: npt.NDArray[np.float64]) -> pa.Array:
    """Floats; what is not finite is missing."""
    return pa.array(values, pa.float64(), mask=~np.isfinite(values))


def whole_numbers(values: npt.NDArray[np.float64]) -> pa.Array:
    """Floats that are whole, as integers; what is not finite is missing."""
    is_missing = ~np.isfinite(values)
    plain = np.where(is_missing, 0.0, values).round().astype(np.int64)
    return pa.array(plain, pa.int64(), mask=is_missing)


def texts_or_null(values: npt.NDArray[Any]) -> pa.Array:
    """Texts; an empty one is missing."""
    return pa.array([str(value) or None for value in values.tolist()], pa.string())


def tally_severity(severity: npt.NDArray[np.object_]) -> dict[str, int]:
    """How many items are how far from where they were; `untested` those without a test."""
    names = {"severe": "severe", "moderate": "moderate", "minor": "minor", "": "untested"}
    return {name: int((severity == key).sum()) for key, name in names.items()}
