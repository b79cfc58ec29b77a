"""What can be estimated at all: items set aside beforehand, starting values, latent scale."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from irt_service.engines.base import CalibrationSettings, Exclusion, Model
from irt_service.errors import InsufficientDataError
from irt_service.responses import ResponseMatrix

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

NO_RESPONSES = "no_responses"
ALL_CORRECT = "zero_variance: every response is correct"
ALL_WRONG = "zero_variance: every response is wrong"
NOT_SHARED = "not_identified: no student answered another item as well"

FEWEST_ITEMS = {Model.RASCH: 2, Model.ONE_PL: 2, Model.TWO_PL: 3, Model.THREE_PL: 3}
START_GUESSING = 0.2
LARGEST_START_SHARE = 1 - 1e-9  # the logit of 1 has no value to start from
# Log odds over theta ~ N(0, 1) are those at theta = 0 divided by this: the logistic-normal integral
# with the logistic taken as a normal of scale 15 pi / (16 sqrt 3).
MARGINAL = np.sqrt(1.0 + (16.0 * np.sqrt(3.0) / (15.0 * np.pi)) ** 2)
ROUNDING = 1e-12  # relative; sums of weights that differ by less are equal
NO_GUESSING = -np.inf  # logit of c = 0


class Scale(Enum):
    """How the latent distribution is settled."""

    IDENTIFIED = "N(0, 1) by definition; the M-step is expanded by mean and SD"
    RASCH = "mean 0 by definition, SD free"
    FREE = "mean and SD free, fixed items hold the scale"
    FREE_SD = "mean 0, SD free, fixed items hold the scale"
    HELD = "N(0, 1) as given"


@dataclass(frozen=True)
class Problem:
    """A well-posed estimation.

    Attributes:
        responses: kept students and items only.
        start: a, d, logit c of each kept item, (J, 3).
        is_free: which items are estimated, (J,).
        scale: how the latent distribution is settled.
        excluded: items without an estimate.
    """

    responses: ResponseMatrix
    start: Floats
    is_free: Mask
    scale: Scale
    excluded: tuple[Exclusion, ...]


def prepare(responses: ResponseMatrix, settings: CalibrationSettings) -> Problem:
    """Set aside what has no finite maximum, choose starting values.

    Raises:
        InsufficientDataError: too few items or answers remain to identify the model.
    """
    tally = responses.tally()
    counts = tally[:, 0]
    is_fixed = np.array([item in settings.fixed_items for item in responses.item_ids], np.bool_)
    reasons = _zero_variance(tally)
    reasons = {j: reason for j, reason in reasons.items() if not is_fixed[j] or counts[j] == 0}
    keep = np.ones(responses.n_items, np.bool_)
    keep[list(reasons)] = False
    shared = responses.tally(keep)[:, 3]
    if settings.model is Model.RASCH:
        if keep.any() and not shared.any():
            raise InsufficientDataError(
                "no student answered two items, so nothing speaks about the spread of abilities",
                f"{responses.n_persons} students",
                "collect several responses per student",
            )
    else:
        # Without another answer of the same student, nothing speaks about a.
        alone = keep & ~is_fixed & (shared == 0)
        reasons |= dict.fromkeys(np.flatnonzero(alone).tolist(), NOT_SHARED)
        keep &= ~alone
    excluded = tuple(
        Exclusion(str(responses.item_ids[j]), reasons[j], int(counts[j])) for j in sorted(reasons)
    )
    kept = responses.select(keep)
    has_fixed = bool((keep & is_fixed).any())
    if settings.free_latent and not has_fixed:
        raise InsufficientDataError(
            "none of the fixed items has responses",
            ", ".join(list(settings.fixed_items)[:3]),
            "check the anchors' ids, or calibrate without a free latent distribution",
        )
    problem = Problem(
        kept,
        _starting_values(kept, settings),
        (keep & ~is_fixed)[keep],
        _scale(settings, has_fixed),
        excluded,
    )
    require_enough(problem, settings)
    return problem


def drop_items(problem: Problem, drop: Mask, reason: str, points: Floats) -> Problem:
    """The same estimation without some items, going on from `points`."""
    responses = problem.responses
    counts = responses.item_counts()
    more = tuple(
        Exclusion(str(responses.item_ids[j]), reason, int(counts[j])) for j in np.flatnonzero(drop)
    )
    return Problem(
        responses.select(~drop),
        points[~drop],
        problem.is_free[~drop],
        problem.scale,
        problem.excluded + more,
    )


def _scale(settings: CalibrationSettings, has_fixed: bool) -> Scale:
    if settings.model is Model.RASCH:
        if not has_fixed:
            return Scale.RASCH
        return Scale.FREE if settings.free_latent else Scale.FREE_SD
    if has_fixed:
        return Scale.FREE if settings.free_latent else Scale.HELD
    # A prior on a is a statement about the scale, which an expansion would contradict.
    return Scale.HELD if settings.discrimination_prior else Scale.IDENTIFIED


def _zero_variance(tally: Floats) -> dict[int, str]:
    """Items without both right and wrong answers of positive weight."""
    answered, right = tally[:, 1], tally[:, 2]
    reasons = {}
    for j in np.flatnonzero((right <= 0) | (right >= answered * (1 - ROUNDING))):
        if answered[j] == 0:
            reasons[int(j)] = NO_RESPONSES
        else:
            reasons[int(j)] = ALL_WRONG if right[j] == 0 else ALL_CORRECT
    return reasons


def require_enough(problem: Problem, settings: CalibrationSettings) -> None:
    """Refuse an estimation that is not identified.

    Raises:
        InsufficientDataError: too few items remain.
    """
    excluded = problem.excluded
    if len(problem.is_free) >= FEWEST_ITEMS[settings.model] and problem.is_free.any():
        return
    aside = "; ".join(f"{item.item_id}: {item.reason}" for item in excluded[:3])
    where = f"{int(problem.is_free.sum())} items can be estimated, {len(excluded)} set aside"
    raise InsufficientDataError(
        f"too few items for the {settings.model.value} model",
        where + (f", e.g. {aside}" if aside else ""),
        "students must answer several items each, and items need right and wrong answers",
    )


def require_cycles(problem: Problem, left: int) -> None:
    """Refuse to go on when the items set aside have cost all cycles."""
    if left <= 0:
        raise InsufficientDataError(
            "items kept diverging until the cycles were used up",
            f"{len(problem.excluded)} items set aside",
            "the responses do not identify the model; collect more, or use Rasch",
        )


def require_spread(problem: Problem, *, has_collapsed: bool) -> None:
    """Refuse a population without spread."""
    if has_collapsed:
        raise InsufficientDataError(
            "the latent SD went to 0",
            f"{problem.responses.n_persons} students",
            "students do not differ beyond chance; there is no scale to estimate",
        )


def _starting_values(responses: ResponseMatrix, settings: CalibrationSettings) -> Floats:
    """a = 1, d from the share correct (shrunk a little), c = 0.2 in the 3PL."""
    tally = responses.tally()
    share = (tally[:, 2] + 0.5) / (tally[:, 1] + 1.0)
    has_guessing = settings.model is Model.THREE_PL
    if has_guessing:
        share = np.clip((share - START_GUESSING) / (1 - START_GUESSING), 0.05, 1.0)
    start = np.empty((responses.n_items, 3))
    start[:, 0] = 1.0
    start[:, 1] = MARGINAL * (np.log(share) - np.log1p(-np.minimum(share, LARGEST_START_SHARE)))
    start[:, 2] = np.log(START_GUESSING / (1 - START_GUESSING)) if has_guessing else NO_GUESSING
    for j, item in enumerate(responses.item_ids):
        fixed = settings.fixed_items.get(item)
        if fixed is not None:
            c = fixed.guessing
            start[j, 0] = fixed.discrimination
            start[j, 1] = -fixed.discrimination * fixed.difficulty
            start[j, 2] = np.log(c / (1 - c)) if c > 0 else NO_GUESSING
    return start
