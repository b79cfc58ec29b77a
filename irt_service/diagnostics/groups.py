"""Items common to groups of students who differ in ability, and each group's own version of them.

Marginal maximum likelihood by one Newton step per item and pass, the other items and the groups'
distributions as they were. The couplings between items that a step leaves out have one sign, so
the iteration climbs without overshooting. Then each item in turn gets parameters of its own in
every group, the other items and the distributions staying where they are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from irt_service.diagnostics.left_out import GroupSums, group_sums
from irt_service.parallel import RunBlocks
from irt_service.responses import ResponseMatrix
from irt_service.scoring import Rows

Floats = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

MOST_PASSES = 25
CLOSE = 0.05  # standard errors that a step may still move an item
LARGEST_STEP = 1.0  # of a and d in one pass; a longer way takes more passes
SETTLED = 1.0  # standard errors; a longer last step is no estimate
FEWEST_OF_EACH = 10  # correct and incorrect answers per item and group
SINGULAR = 1e-8
SMALLEST_SD = 0.05  # floor of a group's SD; a group that ends there cannot be compared


@dataclass(frozen=True)
class GroupModel:
    """State of the estimation for G groups and J items.

    Attributes:
        rows: responses of all students.
        weights: person weights, (N,) or (1,).
        students: rows of each group's students.
        start: (a, d) that fix the scale, (J, 2).
        guessing: c, (J,).
        common: (a, d), (J, 2).
        own: (a, d) by group, (G, J, 2).
        freed: `own`, had the item had no part in estimating the group's mean and SD, (G, J, 2).
        latent: mean and SD of each group, (G, 2).
        covariance: of `freed`, (G, J, 2, 2); NaN where it has none.
        n: responses, (G, J).
        is_estimated: whether a group's own parameters of the item are estimates, (G, J).
        has_settled: whether their last step was small, (G, J).
        has_spread: whether the SD is above its floor, (G,).
        passes: over the responses.
    """

    rows: Rows
    weights: Floats
    students: tuple[Index, ...]
    start: Floats
    guessing: Floats
    common: Floats
    own: Floats
    freed: Floats
    latent: Floats
    covariance: Floats
    n: Floats
    is_estimated: Mask
    has_settled: Mask
    has_spread: Mask
    passes: int = 0


def start_model(
    responses: ResponseMatrix,
    students: tuple[Index, ...],
    points: Floats,
    guessing: Floats,
    prior: tuple[float, float],
) -> GroupModel:
    """Every group begins with the calibration's parameters and population."""
    shape = (len(students), len(points))
    return GroupModel(
        rows=Rows(responses.indptr, responses.items, responses.correct),
        weights=np.ones(1) if responses.weights is None else responses.weights,
        students=students,
        start=points,
        guessing=guessing,
        common=points,
        own=np.repeat(points[None], len(students), axis=0),
        freed=np.repeat(points[None], len(students), axis=0),
        latent=np.repeat(np.array([prior]), len(students), axis=0),
        covariance=np.full((*shape, 2, 2), np.nan),
        n=np.zeros(shape),
        is_estimated=np.zeros(shape, np.bool_),
        has_settled=np.zeros(shape, np.bool_),
        has_spread=np.ones(len(students), np.bool_),
    )


def estimate_groups(
    model: GroupModel, anchors: Mask, has_slope: bool, fewest_responses: int, run: RunBlocks
) -> GroupModel:
    """Estimate the common parameters and the groups' distributions, then each group's own.

    Args:
        model: where to begin.
        anchors: items that place the students, (J,).
        has_slope: whether discriminations are estimated.
        fewest_responses: items with fewer in a group have no parameters of their own there.
        run: block runner.
    """
    for _ in range(MOST_PASSES):
        model, moved = _improve_common(model, anchors, has_slope, run)
        if moved < CLOSE:
            break
    own = np.where(model.is_estimated[..., None], model.own, model.common)
    model = replace(model, own=own)
    for _ in range(MOST_PASSES):
        model, moved = _improve_own(model, anchors, has_slope, fewest_responses, run)
        if moved < CLOSE:
            break
    return model


def _pass(model: GroupModel, own: Floats, anchors: Mask, run: RunBlocks) -> list[GroupSums]:
    """Sums of every group; `own` is (G, J, 2)."""
    return [
        group_sums(
            model.rows,
            students,
            model.weights,
            (model.common, points, model.guessing),
            anchors,
            (float(latent[0]), float(latent[1])),
            run,
        )
        for students, points, latent in zip(model.students, own, model.latent, strict=True)
    ]


def _step(score: Floats, information: Floats, is_usable: Mask) -> tuple[Floats, Floats, Floats]:
    """Newton step, its length in standard errors, and the inverse of the information."""
    safe = np.where(is_usable[..., None, None], information, np.eye(information.shape[-1]))
    inverse = np.linalg.inv(safe)
    step = np.where(is_usable[..., None], (inverse @ score[..., None])[..., 0], 0.0)
    step = np.clip(step, -LARGEST_STEP, LARGEST_STEP)
    length = np.sqrt((step[..., None, :] @ safe @ step[..., None])[..., 0, 0])
    return step, length, inverse


def _improve_common(
    model: GroupModel, anchors: Mask, has_slope: bool, run: RunBlocks
) -> tuple[GroupModel, float]:
    """One step of the common parameters and the groups' distributions."""
    used = slice(0 if has_slope else 1, 2)
    sums = _pass(model, np.repeat(model.common[None], len(model.students), axis=0), anchors, run)
    score = np.sum([found.score for found in sums], axis=0)[:, used]
    information = np.sum([found.information for found in sums], axis=0)[:, used, used]
    n = np.sum([found.n for found in sums], axis=0)
    n_correct = np.sum([found.n_correct for found in sums], axis=0)
    is_usable = _has_both(n, n_correct) & _is_definite(information)
    step, _, _ = _step(score, information, is_usable)
    common = model.common.copy()
    common[:, used] += step
    latent = np.array([[found.latent_mean, found.latent_sd] for found in sums])
    has_spread = latent[:, 1] > SMALLEST_SD
    latent[:, 1] = np.maximum(latent[:, 1], SMALLEST_SD)
    common, own, latent = _on_scale(model.start, common, model.own, latent, anchors, has_slope)
    shift = (common - model.common)[:, used]
    squares = np.where(is_usable, np.einsum("jr,jrs,js->j", shift, information, shift), 0.0)
    counts = np.array([[len(students)] for students in model.students])
    standardised = np.sqrt(counts) * (latent - model.latent) / model.latent[:, 1:]
    moved = max(float(np.sqrt(np.abs(squares)).max()), float(np.abs(standardised).max()))
    improved = replace(
        model,
        common=common,
        own=own,
        latent=latent,
        has_spread=has_spread,
        passes=model.passes + 1,
    )
    return improved, moved


def _improve_own(
    model: GroupModel, anchors: Mask, has_slope: bool, fewest_responses: int, run: RunBlocks
) -> tuple[GroupModel, float]:
    """One step of the groups' own parameters, with their covariances."""
    used = slice(0 if has_slope else 1, 2)
    sums = _pass(model, model.own, anchors, run)
    information = np.stack([found.information for found in sums])[..., used, used]
    score = np.stack([found.score for found in sums])[..., used]
    n = np.stack([found.n for found in sums])
    n_correct = np.stack([found.n_correct for found in sums])
    is_estimated = _has_both(n, n_correct) & _is_definite(information)
    is_estimated[n < fewest_responses] = False
    step, length, inverse = _step(score, information, is_estimated)
    own = model.own.copy()
    own[..., used] += step
    covariance = np.full(model.covariance.shape, np.nan)
    covariance[..., used, used], further = _with_latent(inverse, sums, anchors, used)
    covariance[~is_estimated] = np.nan
    freed = own.copy()
    freed[..., used] += (further @ (own - model.common)[..., used, None])[..., 0]
    improved = replace(
        model,
        own=own,
        freed=freed,
        covariance=covariance,
        n=n,
        is_estimated=is_estimated,
        has_settled=length < SETTLED,
        passes=model.passes + 1,
    )
    return improved, float(length.max())


def _has_both(n: Floats, n_correct: Floats) -> Mask:
    return np.asarray(np.minimum(n_correct, n - n_correct) >= FEWEST_OF_EACH, dtype=np.bool_)


def _is_definite(information: Floats) -> Mask:
    """Whether symmetric matrices (..., p, p), p being 1 or 2, are positive definite."""
    first, last = information[..., 0, 0], information[..., -1, -1]
    crossed = information[..., 0, -1] if information.shape[-1] > 1 else np.zeros_like(first)
    determinant = first * last - crossed**2
    definite = np.logical_and(first > 0, determinant > SINGULAR * np.abs(first * last))
    return np.asarray(definite, dtype=np.bool_)


def _with_latent(
    inverse: Floats, sums: list[GroupSums], anchors: Mask, used: slice
) -> tuple[Floats, Floats]:
    """What it means that a group's mean and SD are estimates too.

    With I the information of an item, L that of mean and SD and C the one that they share, the
    covariance of the item's parameters becomes I^-1 + I^-1 C M C' I^-1. M is the inverse of L for
    an item that does not place students; for one that does, its answers have already moved mean
    and SD towards its own parameters, and giving it parameters of its own makes M the inverse of
    L - C' I^-1 C and carries the item further from the common parameters.

    Returns:
        Covariance, (G, J, p, p), and the share (a matrix) of the distance from the common
        parameters that is still to be added to it, (G, J, p, p).
    """
    crossed = np.stack([found.crossed for found in sums])[..., used, :]
    transposed = np.swapaxes(crossed, -1, -2)
    latent = np.stack([found.latent_information for found in sums])[:, None]
    carried = inverse @ crossed
    taken = np.where(anchors[:, None, None], transposed @ carried, 0.0)
    left = latent - taken
    left = np.where(_is_definite(left)[..., None, None], left, latent)
    spread = carried @ np.linalg.inv(left)
    further = np.where(anchors[:, None, None], spread @ transposed, 0.0)
    return inverse + spread @ np.swapaxes(carried, -1, -2), further


def _on_scale(
    start: Floats, common: Floats, own: Floats, latent: Floats, anchors: Mask, has_slope: bool
) -> tuple[Floats, Floats, Floats]:
    """Keep the anchors' sums of a and of d where the calibration had them.

    With theta = theta* / s + t, a* = a / s and d* = d + a t.
    """
    stretch = 1.0
    if has_slope:
        stretch = float(common[anchors, 0].sum() / start[anchors, 0].sum())
    shift = float((start[anchors, 1] - common[anchors, 1]).sum() / common[anchors, 0].sum())

    def moved(points: Floats) -> Floats:
        a, d = points[..., 0], points[..., 1]
        return np.stack([a / stretch, d + a * shift], axis=-1)

    on_scale = np.column_stack([stretch * (latent[:, 0] - shift), stretch * latent[:, 1]])
    return moved(common), moved(own), on_scale
