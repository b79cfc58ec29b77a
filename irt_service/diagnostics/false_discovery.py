"""Control of the false-discovery rate over the items of one question."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def benjamini_hochberg(p: Floats, n_tests: int | None = None) -> Floats:
    """Adjusted p-values: flagging q <= alpha keeps the false-discovery rate at alpha.

    Benjamini & Hochberg (1995, JRSS B 57(1), section 3), as q_(i) = min over k >= i of
    p_(k) m / k. NaN stays NaN and does not count as a test.

    Args:
        p: p-values, any shape of one dimension.
        n_tests: m, if `p` holds only the smallest of more p-values; the adjusted values are
            then upper bounds.
    """
    adjusted = np.full(len(p), np.nan)
    known = np.flatnonzero(~np.isnan(p))
    if not len(known):
        return adjusted
    order = known[np.argsort(p[known], kind="stable")]
    total = len(known) if n_tests is None else n_tests
    scaled = p[order] * total / np.arange(1, len(order) + 1)
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return adjusted
