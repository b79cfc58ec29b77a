"""The one grid for estimation and scoring: equally spaced nodes, normal weights.

61 nodes on [-6, 6] by default. For a normal with another mean and SD the grid is moved and
scaled with it, so that its weights never change. The trapezoidal rule on such a grid converges
faster than any power of the spacing for smooth integrands (Trefethen & Weideman, 2014,
SIAM Review 56(3), section 4).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

NODES = 61
RANGE = 6.0
# Rows of node tables are padded to a multiple of this many numbers; part of compiled kernels.
LANE = 8


@dataclass(frozen=True)
class Grid:
    """Standardised nodes and the logarithms of their weights.

    Attributes:
        nodes: shape (S,), S the number of nodes rounded up to a multiple of LANE; the padding
            continues the spacing.
        log_weights: shape (S,), normalised; minus infinity on the padding.
        count: number of real nodes.
        table: nodes and log weights as the kernels read them, shape (2, S).
    """

    nodes: Floats
    log_weights: Floats
    count: int
    table: Floats

    @property
    def stride(self) -> int:
        """Length of a padded row."""
        return len(self.nodes)

    @property
    def variance(self) -> float:
        """Variance of the discrete standard normal (1 up to truncation of the tails)."""
        return float(np.exp(self.log_weights) @ self.nodes**2)


def normal_grid(count: int = NODES, spread: float = RANGE) -> Grid:
    """Equally spaced nodes on [-spread, spread] with normalised normal weights."""
    spacing = 2.0 * spread / (count - 1)
    stride = -(-count // LANE) * LANE
    nodes = -spread + spacing * np.arange(stride, dtype=np.float64)
    centre = (count - 1) / 2
    nodes[:count] = spacing * (np.arange(count) - centre)
    log_weights = np.full(stride, -np.inf)
    log_density = -0.5 * nodes[:count] ** 2
    log_weights[:count] = log_density - np.log(np.exp(log_density).sum())
    return Grid(nodes, log_weights, count, np.stack([nodes, log_weights]))
