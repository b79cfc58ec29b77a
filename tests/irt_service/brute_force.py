"""The marginal log posterior of a small bank written out, and its Hessian by differences.

Nothing here is shared with the engines: dense tables, no EM, no analytic derivatives. Gradients
are taken by complex steps (Squire & Trapp, 1998, SIAM Review 40(1)), exact to rounding, and
Hessians by central differences of them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from irt_service.responses import ResponseMatrix

Floats = npt.NDArray[np.float64]
# Takes real or complex vectors, as complex steps need.
Function = Callable[[npt.NDArray[np.complex128]], np.complex128]

COMPLEX_STEP = 1e-30
STEP = 1e-5


def dense(responses: ResponseMatrix) -> Floats:
    """Students x items; NaN is missing."""
    table = np.full((responses.n_persons, responses.n_items), np.nan)
    rows = np.repeat(np.arange(responses.n_persons), responses.person_counts())
    table[rows, responses.items] = responses.correct
    return table


def marginal_log_likelihood(
    table: Floats,
    a: npt.NDArray[np.complex128],
    d: npt.NDArray[np.complex128],
    nodes: Floats,
    log_weights: npt.NDArray[np.complex128],
) -> np.complex128:
    """Sum over students of log sum_q weight_q prod_j P(u_j | theta_q), 2PL."""
    eta = a[:, None] * nodes + d[:, None]
    log_wrong = -np.log(1.0 + np.exp(eta))
    answered = ~np.isnan(table)
    right = np.where(answered, table, 0.0)
    log_posterior = right @ eta + answered.astype(float) @ log_wrong + log_weights
    largest = log_posterior.real.max(axis=1, keepdims=True)
    sums = np.exp(log_posterior - largest).sum(axis=1)
    return np.complex128((np.log(sums) + largest[:, 0]).sum())


def gradient(function: Function, point: Floats) -> Floats:
    """First derivatives, shape (p,)."""
    result = np.empty(len(point))
    for k in range(len(point)):
        moved = point.astype(np.complex128)
        moved[k] += 1j * COMPLEX_STEP
        result[k] = function(moved).imag / COMPLEX_STEP
    return result


def hessian(function: Function, point: Floats) -> Floats:
    """Second derivatives, shape (p, p)."""
    rows = []
    for k in range(len(point)):
        step = np.zeros(len(point))
        step[k] = STEP
        rows.append((gradient(function, point + step) - gradient(function, point - step)) / 2)
    matrix = np.array(rows) / STEP
    symmetric: Floats = (matrix + matrix.T) / 2
    return symmetric
