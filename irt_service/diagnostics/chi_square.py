"""What chi-square statistics have in common."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import chdtrc

Floats = npt.NDArray[np.float64]
Strings = npt.NDArray[np.object_]

NO_DEGREES_OF_FREEDOM = "no_degrees_of_freedom"


def upper_tail(statistic: Floats, df: Floats | int) -> Floats:
    """Return the probability of a chi-square statistic this large; NaN where either is NaN."""
    # Not scipy.stats, whose import takes a second of every command's start.
    tail: Floats = chdtrc(df, np.maximum(statistic, 0.0))
    return tail


@dataclass(frozen=True)
class ChiSquareFit:
    """An item fit statistic per item, shape (J,) each; NaN where `reason` is not ''.

    Attributes:
        statistic: chi-square.
        df: degrees of freedom; not always whole numbers for pooled statistics.
        p: probability of a statistic this large under the model.
        rmsea: size of the misfit, independent of n: sqrt(max(0, chi2 - df) / (df (n - 1))).
        n: responses behind the statistic.
        reason: why there is none, else ''.
    """

    statistic: Floats
    df: Floats
    p: Floats
    rmsea: Floats
    n: Floats
    reason: Strings


def chi_square_fit(statistic: Floats, df: Floats, n: Floats, reason: Strings) -> ChiSquareFit:
    """Complete the record; an item without degrees of freedom gets that as its reason."""
    reason = reason.copy()
    reason[(reason == "") & ~(df > 0)] = NO_DEGREES_OF_FREEDOM
    unknown = reason != ""
    statistic = np.where(unknown, np.nan, statistic)
    df = np.where(unknown, np.nan, df)
    with np.errstate(divide="ignore", invalid="ignore"):
        rmsea = np.sqrt(np.maximum(statistic - df, 0.0) / (df * (n - 1.0)))
    return ChiSquareFit(statistic, df, upper_tail(statistic, df), rmsea, n, reason)
