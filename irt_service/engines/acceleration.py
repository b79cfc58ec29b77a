"""Anderson acceleration of a fixed-point map.

Walker & Ni (2011), SIAM Journal on Numerical Analysis 49(4), eq. 2.2.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

DEPTH = 6
SMALLEST_SINGULAR = 1e-10  # relative; directions below it are ignored


class Anderson:
    """Proposes the next point from the last few points and their images under the map."""

    def __init__(self, depth: int = DEPTH) -> None:
        """Start without history."""
        self._depth = depth
        self._points: list[Floats] = []
        self._residuals: list[Floats] = []

    def restart(self) -> None:
        """Forget the history."""
        self._points.clear()
        self._residuals.clear()

    def propose(self, point: Floats, image: Floats) -> Floats:
        """The next point, given the current one and its image; shapes (p,)."""
        residual = image - point
        self._points.append(point)
        self._residuals.append(residual)
        del self._points[: -self._depth - 1], self._residuals[: -self._depth - 1]
        if len(self._points) == 1:
            return image
        point_steps = np.diff(np.array(self._points), axis=0)
        residual_steps = np.diff(np.array(self._residuals), axis=0)
        weights = np.linalg.lstsq(residual_steps.T, residual, rcond=SMALLEST_SINGULAR)[0]
        proposal: Floats = image - weights @ (point_steps + residual_steps)
        return proposal
