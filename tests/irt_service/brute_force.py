"""The marginal likelihood of a small 2PL bank written out, its gradient and its Hessian.

Nothing here is shared with the engines: dense tables, any nodes, no EM. Gradients are posterior
expectations of the complete-data score (Fisher's identity: Louis, 1982, JRSS B 44(2), eq. 3.1),
Hessians central differences of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from irt_service.responses import ResponseMatrix

Floats = npt.NDArray[np.float64]

STEP = 1e-4


class Likelihood(NamedTuple):
    """At one point: its logarithm, the gradient by a (J,) and d (J,), students per node (S,)."""

    value: float
    by_slope: Floats
    by_intercept: Floats
    pooled: Floats


def dense(responses: ResponseMatrix, item_ids: tuple[str, ...]) -> Floats:
    """Students x items in the order of `item_ids`; NaN is missing."""
    table = np.full((responses.n_persons, responses.n_items), np.nan)
    rows = np.repeat(np.arange(responses.n_persons), responses.person_counts())
    table[rows, responses.items] = responses.correct
    place = {item: j for j, item in enumerate(responses.item_ids)}
    return table[:, [place[item] for item in item_ids]]


def normal_log_weights(nodes: Floats, mean: float = 0.0, variance: float = 1.0) -> Floats:
    """Normal density on nodes that stay where they are, normalised."""
    log_density = -0.5 * (nodes - mean) ** 2 / variance
    weights: Floats = log_density - np.log(np.exp(log_density).sum())
    return weights


def marginal_likelihood(
    table: Floats, a: Floats, d: Floats, nodes: Floats, log_weights: Floats
) -> Likelihood:
    """Sum over students of log sum_q weight_q prod_j P(u_j | theta_q)."""
    eta = a[:, None] * nodes + d[:, None]
    answered = (~np.isnan(table)).astype(float)
    right = np.where(answered > 0, table, 0.0)
    log_posterior = right @ eta - answered @ np.logaddexp(0.0, eta) + log_weights
    largest = log_posterior.max(axis=1, keepdims=True)
    weights = np.exp(log_posterior - largest)
    sums = weights.sum(axis=1, keepdims=True)
    posterior = weights / sums
    residual = right.T @ posterior - (answered.T @ posterior) / (1.0 + np.exp(-eta))
    return Likelihood(
        float((np.log(sums) + largest).sum()),
        residual @ nodes,
        residual.sum(axis=1),
        posterior.sum(axis=0),
    )


def hessian(gradient: Callable[[Floats], Floats], point: Floats) -> Floats:
    """Second derivatives, shape (p, p)."""
    rows = []
    for k in range(len(point)):
        step = np.zeros(len(point))
        step[k] = STEP
        rows.append((gradient(point + step) - gradient(point - step)) / (2 * STEP))
    matrix = np.array(rows)
    symmetric: Floats = (matrix + matrix.T) / 2
    return symmetric


def errors_of(second: Floats) -> Floats:
    """Standard errors from the Hessian of a log likelihood."""
    errors: Floats = np.sqrt(np.diag(np.linalg.inv(-second)))
    return errors
