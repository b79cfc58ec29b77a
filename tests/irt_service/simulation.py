"""Simulated responses with known parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from irt_service.responses import ResponseMatrix

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Simulated:
    """Truth and responses."""

    discrimination: Floats
    difficulty: Floats
    guessing: Floats
    theta: Floats
    responses: ResponseMatrix


def simulate(
    rng: np.random.Generator, n_persons: int, n_items: int, answers: int, guessing: float = 0.0
) -> Simulated:
    """Every student answers `answers` items at random (missing by design)."""
    a = rng.lognormal(0.0, 0.3, n_items)
    b = rng.normal(0.0, 1.0, n_items)
    c = np.full(n_items, guessing)
    theta = rng.normal(0.0, 1.0, n_persons)
    items = np.argsort(rng.random((n_persons, n_items)), axis=1)[:, :answers]
    items.sort(axis=1)
    p = c[items] + (1 - c[items]) / (1 + np.exp(-a[items] * (theta[:, None] - b[items])))
    correct = rng.random(items.shape) < p
    names = np.array([f"i{j:04d}" for j in range(n_items)], dtype=object)
    responses = ResponseMatrix(
        np.array([f"s{i}" for i in range(n_persons)], dtype=object),
        names,
        np.arange(n_persons + 1, dtype=np.int64) * answers,
        items.astype(np.int32).ravel(),
        correct.astype(np.int8).ravel(),
    )
    return Simulated(a, b, c, theta, responses)
