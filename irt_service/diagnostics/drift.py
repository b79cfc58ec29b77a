"""Have items changed since another run? Parameters of two runs on one (linked) scale.

Wald test on (a, b) of each item (Lord, 1980, Applications of Item Response Theory, ch. 14),
with three things that a plain Wald test gets wrong:

- Windows overlap. Responses that both runs used make their estimates alike: with n1 and n2
  responses to the item, n12 of them shared, Var(new - old) per unit of information is
  1 / n1 + 1 / n2 - 2 n12 / (n1 n2).
- Scales are estimated. The standard errors of a run include the sampling of its population's
  mean and SD, which moves all items together and which linking takes out again; and the
  linking constants are estimated from the very items that are tested. So the movement that
  items have in common is estimated here (generalised least squares over the items that do not
  drift) and removed, and the covariance of what is left is used.
- Many items are tested. p-values are adjusted for the false-discovery rate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from irt_service.diagnostics.chi_square import upper_tail
from irt_service.diagnostics.false_discovery import benjamini_hochberg
from irt_service.diagnostics.severity import SIGNIFICANT, severity
from irt_service.errors import InvalidInputError

Floats = npt.NDArray[np.float64]
Strings = npt.NDArray[np.object_]
Mask = npt.NDArray[np.bool_]

NO_STANDARD_ERROR = "no_standard_error"
SAME_RESPONSES = "same_responses"
FEWEST_FOR_COMMON = 10  # items below which a common movement cannot be told from drift
ROUNDS = 20
HUBER = 5.99  # squared distance from which an item pulls less on the common movement
SMALLEST_SHARE = 1e-6  # of the variances that must be left after what is shared


@dataclass(frozen=True)
class Parameters:
    """Estimates of one run for the items in common, on the linked scale, shape (J,) each.

    Attributes:
        a: discrimination.
        b: difficulty.
        var_a: variance of a; NaN or 0 in every item of a Rasch run.
        var_b: variance of b; NaN where there is no standard error, fixed items among them.
        cov_ab: covariance of a and b.
        n_responses: behind the estimates.
        prior_mean: mean of the run's population on the linked scale.
        prior_sd: its SD.
        scale_covariance: (2, 2), of the population's standardised mean and log SD, if N(0, 1)
            identified the run's scale and the variances above therefore hold it; see
            `scale_covariance`. None takes the variances as they are, which is strict.
    """

    a: Floats
    b: Floats
    var_a: Floats
    var_b: Floats
    cov_ab: Floats
    n_responses: Floats
    prior_mean: float = 0.0
    prior_sd: float = 1.0
    scale_covariance: Floats | None = None


@dataclass(frozen=True)
class Drift:
    """What changed, new minus old, shape (J,) each; NaN where `reason` is not ''.

    Attributes:
        delta_a: change of discrimination beyond what items have in common.
        delta_b: change of difficulty, likewise.
        se_delta_a: standard error of delta_a.
        se_delta_b: standard error of delta_b.
        statistic: Wald chi-square.
        df: 2, or 1 for Rasch runs.
        p: of the statistic.
        q: adjusted for the false-discovery rate.
        severity: 'none', 'minor', 'moderate', 'severe', '' without a test.
        reason: why there is no test, else ''.
        common_shift: movement of the scale's origin that was removed (logits).
        common_log_slope: logarithm of the stretching that was removed.
    """

    delta_a: Floats
    delta_b: Floats
    se_delta_a: Floats
    se_delta_b: Floats
    statistic: Floats
    df: Floats
    p: Floats
    q: Floats
    severity: Strings
    reason: Strings
    common_shift: float
    common_log_slope: float


def scale_covariance(theta: Floats, se: Floats, prior_mean: float, prior_sd: float) -> Floats:
    """Covariance of a population's estimated mean and log SD, standardised, (2, 2).

    The inverse of the sum of outer products of the students' mean scores, E[z] and
    E[z^2] - 1 with z = (theta - mean) / sd (Louis, 1982, JRSS B 44(2)).

    Args:
        theta: EAP of the students calibrated on, (N,).
        se: their posterior SDs, (N,).
        prior_mean: of the run.
        prior_sd: of the run.
    """
    z = (theta - prior_mean) / prior_sd
    scores = np.stack([z, z**2 + (se / prior_sd) ** 2 - 1.0])
    return np.asarray(np.linalg.inv(scores @ scores.T), dtype=np.float64)


def _matrices(run: Parameters, has_slope: bool) -> tuple[Floats, Floats]:
    """Covariances of (a, b), (J, 2, 2), and directions of a common movement, (J, 2, 2)."""
    n_items = len(run.b)
    covariance = np.zeros((n_items, 2, 2))
    covariance[:, 1, 1] = run.var_b
    directions = np.zeros((n_items, 2, 2))
    directions[:, 1, 0] = run.prior_sd
    if has_slope:
        covariance[:, 0, 0] = run.var_a
        covariance[:, 0, 1] = covariance[:, 1, 0] = run.cov_ab
        directions[:, 0, 1] = -run.a
        directions[:, 1, 1] = run.b - run.prior_mean
    return covariance, directions


def _own(covariance: Floats, directions: Floats, shared: Floats | None) -> Floats:
    """Covariance without what all items of the run share."""
    if shared is None:
        return covariance
    own: Floats = covariance - directions @ shared @ np.swapaxes(directions, -1, -2)
    is_left = _is_definite(own, covariance)
    return np.asarray(np.where(is_left[:, None, None], own, covariance), dtype=np.float64)


def _is_definite(matrices: Floats, whole: Floats) -> Mask:
    """Whether a 2 x 2 covariance is positive, beyond rounding of what it was made from."""
    b_left = matrices[:, 1, 1] > SMALLEST_SHARE * np.abs(whole[:, 1, 1])
    if not (whole[:, 0, 0] > 0).any():
        return np.asarray(b_left)
    determinant = matrices[:, 0, 0] * matrices[:, 1, 1] - matrices[:, 0, 1] ** 2
    floor = SMALLEST_SHARE * np.abs(whole[:, 0, 0] * whole[:, 1, 1])
    return np.asarray(b_left & (matrices[:, 0, 0] > 0) & (determinant > floor))


class _Comparison:
    """Differences, their covariances and the movement they have in common."""

    def __init__(self, difference: Floats, covariance: Floats, directions: Floats) -> None:
        self.difference, self.covariance = difference, covariance
        self.precision = np.linalg.inv(covariance)
        self.directions = directions

    def common(self, weights: Floats) -> tuple[Floats, Floats]:
        """The common movement and its covariance, by generalised least squares."""
        weighted = weights[:, None, None] * self.precision
        transposed = np.swapaxes(self.directions, -1, -2)
        covariance = np.linalg.inv((transposed @ weighted @ self.directions).sum(axis=0))
        score = (transposed @ weighted @ self.difference[:, :, None]).sum(axis=0)[:, 0]
        return covariance @ score, covariance

    def left(self, movement: Floats) -> Floats:
        """Differences without the common movement."""
        rest: Floats = self.difference - self.directions @ movement
        return rest

    def distance(self, rest: Floats, covariance: Floats | None = None) -> Floats:
        """Squared distance from 0."""
        precision = self.precision if covariance is None else np.linalg.inv(covariance)
        squared: Floats = np.einsum("jr,jrs,js->j", rest, precision, rest)
        return squared


def drift(new: Parameters, old: Parameters, n_common: Floats) -> Drift:
    """Test every item for a change between two runs.

    Args:
        new: the run in question.
        old: the previous run, or the pinned baseline, items in the same order.
        n_common: responses (same student, same item) that both runs used, (J,).

    Raises:
        InvalidInputError: arrays of unequal lengths.
    """
    n_items = len(new.b)
    lengths = {len(old.b), len(n_common), len(new.a), len(old.a), n_items}
    if len(lengths) > 1:
        raise InvalidInputError("both runs must give the same items", f"{sorted(lengths)}")
    has_slope = bool((np.nan_to_num(new.var_a) > 0).any() and (np.nan_to_num(old.var_a) > 0).any())
    used = slice(0 if has_slope else 1, 2)
    new_matrix, new_directions = _matrices(new, has_slope)
    old_matrix, old_directions = _matrices(old, has_slope)
    known = np.isfinite(new_matrix).all(axis=(1, 2)) & np.isfinite(old_matrix).all(axis=(1, 2))
    known &= (new_matrix[:, 1, 1] > 0) & (old_matrix[:, 1, 1] > 0)
    known &= np.isfinite(new.b - old.b) & np.isfinite(new.a - old.a)
    reason = np.where(known, "", NO_STANDARD_ERROR).astype(object)
    is_many = int(known.sum()) >= FEWEST_FOR_COMMON
    if is_many:
        new_matrix = _own(new_matrix, new_directions, new.scale_covariance)
        old_matrix = _own(old_matrix, old_directions, old.scale_covariance)
    # Shares: counted by time, shared responses may outnumber those that a run kept.
    not_in_old = np.clip(1.0 - n_common / old.n_responses, 0.0, 1.0)[:, None, None]
    not_in_new = np.clip(1.0 - n_common / new.n_responses, 0.0, 1.0)[:, None, None]
    covariance = new_matrix * not_in_old + old_matrix * not_in_new
    is_definite = _is_definite(covariance, new_matrix + old_matrix)
    reason[known & ~is_definite] = SAME_RESPONSES
    at = np.flatnonzero(known & is_definite)
    difference = np.stack([new.a - old.a, new.b - old.b], axis=1)[at][:, used]
    comparison = _Comparison(
        difference,
        covariance[at][:, used, used],
        old_directions[at] if has_slope else old_directions[at][:, 1:, :1],
    )
    rest, spread, movement = difference, comparison.covariance, np.zeros(2)
    if is_many and len(at) >= FEWEST_FOR_COMMON:
        rest, spread, movement = _without_common(comparison)
    columns = np.full((n_items, 7), np.nan)
    columns[at, 2 - rest.shape[1] : 2] = rest
    errors = np.sqrt(np.diagonal(spread, axis1=1, axis2=2))
    columns[at, 4 - rest.shape[1] : 4] = errors
    columns[at, 4] = comparison.distance(rest, spread)
    columns[at, 5] = rest.shape[1]
    columns[at, 6] = upper_tail(columns[at, 4], rest.shape[1])
    q = benjamini_hochberg(columns[:, 6])
    delta_a, delta_b, se_a, se_b, statistic, df, p = columns.T
    return Drift(
        delta_a,
        delta_b,
        se_a,
        se_b,
        statistic,
        df,
        p,
        q,
        severity(delta_a, delta_b, q),
        reason,
        float(movement[0] * old.prior_sd),
        float(movement[1]) if has_slope else 0.0,
    )


def _without_common(comparison: _Comparison) -> tuple[Floats, Floats, Floats]:
    """What is left of the differences, its covariance, and the movement taken out.

    First every item pulls, far ones less (Huber); then only those that do not drift. For an
    item among them the removal takes variance out, for the others it adds the uncertainty of
    the movement.
    """
    weights = np.ones(len(comparison.difference))
    for _ in range(ROUNDS):
        movement, _ = comparison.common(weights)
        distance = comparison.distance(comparison.left(movement))
        weights = np.minimum(1.0, np.sqrt(HUBER / np.maximum(distance, HUBER)))
    size = comparison.difference.shape[1]
    stable = benjamini_hochberg(upper_tail(distance, size)) >= SIGNIFICANT
    if stable.sum() < FEWEST_FOR_COMMON:
        stable[:] = True
    movement, uncertainty = comparison.common(stable.astype(np.float64))
    directions = comparison.directions
    carried = directions @ uncertainty @ np.swapaxes(directions, -1, -2)
    sign = np.where(stable, -1.0, 1.0)[:, None, None]
    return comparison.left(movement), comparison.covariance + sign * carried, movement
