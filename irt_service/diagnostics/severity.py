"""How much a difference between two sets of item parameters matters."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Strings = npt.NDArray[np.object_]

NONE = "none"
MINOR = "minor"
MODERATE = "moderate"
SEVERE = "severe"

MINOR_DIFFICULTY = 0.25
MODERATE_DIFFICULTY = 0.35
SEVERE_DIFFICULTY = 0.5
MODERATE_DISCRIMINATION = 0.20
SEVERE_DISCRIMINATION = 0.4

SIGNIFICANT = 0.05  # of the adjusted p-value


def severity(delta_a: Floats, delta_b: Floats, q: Floats) -> Strings:
    """'none', 'minor', 'moderate' or 'severe' per item; '' where there was no test.

    Only what is significant after control of the false-discovery rate (q < 0.05) is more than
    'none'; then the sizes decide, each having to exceed its bound.
    """
    a, b = np.abs(np.nan_to_num(delta_a)), np.abs(delta_b)
    grade = np.full(len(q), NONE, dtype=object)
    grade[b > MINOR_DIFFICULTY] = MINOR
    grade[(b > MODERATE_DIFFICULTY) | (a > MODERATE_DISCRIMINATION)] = MODERATE
    grade[(b > SEVERE_DIFFICULTY) | (a > SEVERE_DISCRIMINATION)] = SEVERE
    grade[~(q < SIGNIFICANT)] = NONE
    grade[np.isnan(q)] = ""
    return grade
