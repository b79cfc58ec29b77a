"""The likelihood of one item at a time, the others taken as known.

For student i and item j let h(theta) be the posterior given all answers but that to j. The item's
own likelihood is the product over students of E_h[P_j(u_ij | theta)], a function of its a and d
alone. Scores and observed information follow Louis (1982, JRSS B 44(2), eq. 3.1). One pass over
the students serves all items: h is the whole posterior divided by the item's probability.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from irt_service.compiled import compiled
from irt_service.parallel import RunBlocks, even_blocks
from irt_service.quadrature import NODES, normal_grid
from irt_service.scoring import Rows, fill_table

Floats = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

BLOCKS = 16
SUMS = 11
LATENT_SUMS = 6
MANY_RESPONSES = 200_000  # from here on every second node is enough
COARSE_NODES = 31
NEGLIGIBLE = 1e-10  # share of the largest posterior weight
FURTHEST = 600.0  # exponent of a probability ratio that floating point still holds


class Tables(NamedTuple):
    """Per item and grade on the grid, (2 J, S) each.

    common: log P of the anchors at the common parameters; 0 for other items.
    ratio: P at the group's own parameters, divided by P at the common ones for anchors.
    score: derivative of log P by eta = a theta + d at the group's own parameters.
    bent: second derivative plus the square of the first.
    """

    common: Floats
    ratio: Floats
    score: Floats
    bent: Floats


@dataclass(frozen=True)
class GroupSums:
    """What one group says about every item and about its own distribution.

    Attributes:
        score: by (a, d), (J, 2).
        information: observed, of (a, d), (J, 2, 2).
        crossed: of (a, d) with the standardised latent mean and log SD, (J, 2, 2).
        n: responses per item, (J,).
        n_correct: correct ones, (J,).
        latent_mean: posterior mean of the group's theta.
        latent_sd: its SD.
        latent_information: of the standardised mean and log SD, (2, 2).
    """

    score: Floats
    information: Floats
    crossed: Floats
    n: Floats
    n_correct: Floats
    latent_mean: float
    latent_sd: float
    latent_information: Floats


@compiled
def _posterior(
    tables: Tables, rows: Rows, i: int, grid: Floats, posterior: Floats
) -> tuple[int, int]:
    """Posterior of student i given all answers to anchors; returns the nodes that matter."""
    posterior[:] = grid[1]
    for k in range(rows.indptr[i], rows.indptr[i + 1]):
        row = tables.common[2 * rows.items[k] + rows.correct[k]]
        for q in range(len(posterior)):
            posterior[q] += row[q]
    largest = posterior[0]
    for q in range(len(posterior)):
        largest = max(largest, posterior[q])
    low = len(posterior)
    high = 0
    total = 0.0
    for q in range(len(posterior)):
        posterior[q] = math.exp(posterior[q] - largest)
        total += posterior[q]
        if posterior[q] > NEGLIGIBLE:
            low = min(low, q)
            high = q + 1
    for q in range(low, high):
        posterior[q] /= total
    return low, high


@compiled
def _add_latent(posterior: Floats, z: Floats, weight: float, latent: Floats) -> None:
    """Moments of z and products of the scores of its mean and log SD: (LATENT_SUMS,)."""
    mean = 0.0
    square = 0.0
    for q in range(len(z)):
        mean += posterior[q] * z[q]
        square += posterior[q] * z[q] * z[q]
    latent[0] += weight
    latent[1] += weight * mean
    latent[2] += weight * square
    latent[3] += weight * mean * mean
    latent[4] += weight * mean * (square - 1.0)
    latent[5] += weight * (square - 1.0) ** 2


@compiled
def _add_item(
    weights: Floats, z: Floats, score: Floats, bent: Floats, weight: float, into: Floats
) -> None:
    """Add one answer to the score and information of its item, in terms of z: into (SUMS,).

    Args:
        weights: posterior without the answer times P of the answer, to a factor.
        z: nodes.
        score: derivative of log P by eta.
        bent: second derivative plus the square of the first.
        weight: of the student.
        into: score (2), information (3), covariance with the scores of mean and log SD (4).
    """
    t0 = t1 = t2 = 0.0
    m0 = m1 = m2 = m3 = 0.0
    g0 = g1 = g2 = 0.0
    for q in range(len(z)):
        w = weights[q]
        x = w * score[q]
        g = w * bent[q]
        t0 += w
        t1 += w * z[q]
        t2 += w * z[q] * z[q]
        m0 += x
        m1 += x * z[q]
        m2 += x * z[q] * z[q]
        m3 += x * z[q] * z[q] * z[q]
        g0 += g
        g1 += g * z[q]
        g2 += g * z[q] * z[q]
    inverse = 1.0 / t0
    t1 *= inverse
    t2 *= inverse
    m0 *= inverse
    m1 *= inverse
    into[0] += weight * m1
    into[1] += weight * m0
    into[2] += weight * (m1 * m1 - g2 * inverse)
    into[3] += weight * (m1 * m0 - g1 * inverse)
    into[4] += weight * (m0 * m0 - g0 * inverse)
    into[5] += weight * (m1 * t1 - m2 * inverse)
    into[6] += weight * (m1 * t2 - m3 * inverse)
    into[7] += weight * (m0 * t1 - m1)
    into[8] += weight * (m0 * t2 - m2 * inverse)


@compiled
def _add_students(
    tables: Tables,
    rows: Rows,
    students: Index,
    weights: Floats,
    grid: Floats,
    sums: Floats,
    latent: Floats,
) -> None:
    """Add students to sums (J, SUMS) and latent (LATENT_SUMS,).

    Everything is in terms of the group's standardised ability z (the nodes of `grid`).
    """
    posterior = np.empty(grid.shape[1])
    without = np.empty(grid.shape[1])
    for i in students:
        weight = weights[i % len(weights)]
        low, high = _posterior(tables, rows, i, grid, posterior)
        z = grid[0, low:high]
        _add_latent(posterior[low:high], z, weight, latent)
        for k in range(rows.indptr[i], rows.indptr[i + 1]):
            code = 2 * rows.items[k] + rows.correct[k]
            for q in range(low, high):
                without[q] = posterior[q] * tables.ratio[code, q]
            into = sums[rows.items[k]]
            _add_item(
                without[low:high],
                z,
                tables.score[code, low:high],
                tables.bent[code, low:high],
                weight,
                into,
            )
            into[9] += weight
            into[10] += weight * rows.correct[k]


def _bank(points: Floats, guessing: Floats) -> Floats:
    return np.column_stack([points, guessing])


def _tables(common: Floats, own: Floats, guessing: Floats, anchors: Mask, theta: Floats) -> Tables:
    """Tables of one group; `common` and `own` are (a, d), (J, 2)."""
    size = (2 * len(own), len(theta))
    of_all, of_own = np.empty(size), np.empty(size)
    fill_table(_bank(common, guessing), theta, of_all)
    fill_table(_bank(own, guessing), theta, of_own)
    of_all[np.repeat(~anchors, 2)] = 0.0
    eta = own[:, :1] * theta + own[:, 1:]
    right, wrong = expit(eta), expit(-eta)
    c = guessing[:, None]
    chance = c + (1.0 - c) * right
    score, bent = np.empty(size), np.empty(size)
    score[0::2] = -right
    bent[0::2] = right**2 - right * wrong
    slope = (1.0 - c) * right * wrong
    with np.errstate(divide="ignore", invalid="ignore"):
        score[1::2] = np.where(chance > 0, slope / chance, 1.0)
        # d2 log P = P'' / P - (P' / P)^2, so that the sum with the square is P'' / P.
        bent[1::2] = np.where(chance > 0, slope * (wrong - right) / chance, 1.0)
    ratio = np.exp(np.clip(of_own - of_all, -FURTHEST, FURTHEST))
    return Tables(of_all, ratio, score, bent)


def group_sums(
    rows: Rows,
    students: Index,
    weights: Floats,
    points: tuple[Floats, Floats, Floats],
    anchors: Mask,
    latent: tuple[float, float],
    run: RunBlocks,
) -> GroupSums:
    """One pass over the students of a group.

    Args:
        rows: responses of all students.
        students: rows of the group's students.
        weights: person weights, (N,) or (1,).
        points: common (a, d), the group's own (a, d), (J, 2) each, and guessing, (J,).
        anchors: items that say where a student stands, (J,).
        latent: mean and SD of the group.
        run: block runner.
    """
    common, own, guessing = points
    mean, sd = latent
    grid = normal_grid(COARSE_NODES if len(rows.items) >= MANY_RESPONSES else NODES)
    theta = mean + sd * grid.nodes
    tables = _tables(common, own, guessing, anchors, theta)
    blocks = even_blocks(len(students), BLOCKS)
    sums = np.zeros((BLOCKS, len(own), SUMS))
    latents = np.zeros((BLOCKS, LATENT_SUMS))

    def add(number: int, start: int, stop: int) -> None:
        part = students[start:stop]
        _add_students(tables, rows, part, weights, grid.table, sums[number], latents[number])

    run(add, blocks)
    item = sums.sum(axis=0)
    size, first, second, by_mean, mixed, by_spread = latents.sum(axis=0)
    # (slope, intercept) by z are (sd a, mean a + d).
    turn = np.array([[sd, 0.0], [mean, 1.0]])
    information = item[:, [2, 3, 3, 4]].reshape(-1, 2, 2)
    z_mean = first / size
    return GroupSums(
        score=item[:, :2] @ turn,
        information=turn.T @ information @ turn,
        crossed=turn.T @ item[:, 5:9].reshape(-1, 2, 2),
        n=item[:, 9],
        n_correct=item[:, 10],
        latent_mean=mean + sd * z_mean,
        latent_sd=sd * math.sqrt(max(second / size - z_mean**2, 0.0)),
        latent_information=np.array([[by_mean, mixed], [mixed, by_spread]]),
    )
