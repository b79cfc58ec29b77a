"""From an engine's estimates to the record that every engine returns."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from irt_service.engines.base import Calibration, CalibrationSettings, Model
from irt_service.engines.estimation import Estimate, bank_of
from irt_service.engines.information import StandardErrors
from irt_service.engines.preparation import Problem

Floats = npt.NDArray[np.float64]

NO_MAXIMUM = "no_finite_maximum: the curve grew steeper than the grid resolves"
NEGATIVE_DISCRIMINATION = "negative_discrimination"
LOW_DISCRIMINATION = "low_discrimination"
EXTREME_DISCRIMINATION = "extreme_discrimination"
EXTREME_DIFFICULTY = "extreme_difficulty"
NOT_IDENTIFIED = "not_identified"
FEW_RESPONSES = "few_responses"

SMALLEST_DISCRIMINATION = 0.1  # where a prior forbids a below 0, a wrong key ends up here
LARGEST_DISCRIMINATION = 4.0
LARGEST_DIFFICULTY = 6.0
FEWEST_RESPONSES = 100


def _difficulty(points: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        difficulty: Floats = -points[:, 1] / points[:, 0]
    return difficulty


def _flags(
    problem: Problem, points: Floats, difficulty: Floats, covariance: Floats
) -> tuple[tuple[str, ...], ...]:
    a = points[:, 0]
    has_few = problem.responses.item_counts() < FEWEST_RESPONSES
    rules = (
        (NEGATIVE_DISCRIMINATION, a < 0),
        (LOW_DISCRIMINATION, (a >= 0) & (a < SMALLEST_DISCRIMINATION)),
        (EXTREME_DISCRIMINATION, np.abs(a) > LARGEST_DISCRIMINATION),
        (EXTREME_DIFFICULTY, ~(np.abs(difficulty) <= LARGEST_DIFFICULTY)),
        (NOT_IDENTIFIED, problem.is_free & np.isnan(covariance[:, 1, 1])),
        (FEW_RESPONSES, problem.is_free & has_few),
    )
    return tuple(tuple(name for name, holds in rules if holds[j]) for j in range(len(points)))


def assemble(
    problem: Problem,
    found: Estimate,
    settings: CalibrationSettings,
    errors: StandardErrors | None,
    seconds: float,
    engine: tuple[str, str],
) -> Calibration:
    """Put estimates, standard errors, flags and warnings into one record.

    Args:
        problem: what was estimated.
        found: where the engine stopped.
        settings: what was asked for.
        errors: None if they were not asked for.
        seconds: of wall time.
        engine: name and version.
    """
    points = found.points
    bank = bank_of(points)
    difficulty = _difficulty(points)
    covariance = (
        np.full((len(points), 3, 3), np.nan) if errors is None else errors.item_covariance.copy()
    )
    covariance[~problem.is_free] = np.nan
    a, d, c = bank.T
    with np.errstate(divide="ignore", invalid="ignore"):
        se_difficulty = np.sqrt(
            covariance[:, 0, 0] * d**2 / a**4
            + covariance[:, 1, 1] / a**2
            - 2.0 * covariance[:, 0, 1] * d / a**3
        )
        # b = -d / a: db/da = d / a^2, db/dd = -1 / a.
        cov_ab = covariance[:, 0, 0] * d / a**2 - covariance[:, 0, 1] / a
        se_discrimination, se_intercept, se_logit = np.sqrt(
            np.diagonal(covariance, axis1=1, axis2=2).T
        )
    if settings.model is Model.RASCH:
        se_discrimination = np.full(len(points), np.nan)
        cov_ab = np.full(len(points), np.nan)
    if settings.model is not Model.THREE_PL:
        se_logit = np.full(len(points), np.nan)
    warnings = []
    if not found.is_converged:
        warnings.append(
            f"not converged: the last of {found.iterations} cycles still changed a parameter "
            f"by {found.change:.2g}"
        )
    if errors is not None and not errors.is_positive_definite:
        warnings.append(
            "the observed information has no inverse: the responses do not identify every "
            "parameter, so the estimates are not to be used"
        )
    elif errors is not None:
        at_fault = problem.is_free & np.isnan(covariance[:, 1, 1])
        if at_fault.any():
            names = ", ".join(str(item) for item in problem.responses.item_ids[at_fault])
            warnings.append(f"the responses do not identify these items: {names}")
    latent = np.full((2, 2), np.nan) if errors is None else errors.latent_covariance
    is_maximum = errors is None or errors.is_positive_definite
    responses = problem.responses
    return Calibration(
        item_ids=tuple(str(item) for item in responses.item_ids),
        discrimination=a.copy(),
        difficulty=difficulty,
        guessing=c.copy(),
        intercept=d.copy(),
        se_discrimination=se_discrimination,
        se_difficulty=se_difficulty,
        se_guessing=se_logit * c * (1.0 - c),
        se_intercept=se_intercept,
        cov_ab=cov_ab,
        n_responses=responses.item_counts(),
        is_fixed=~problem.is_free,
        flags=_flags(
            problem, points, difficulty, covariance if errors else np.zeros_like(covariance)
        ),
        prior_mean=found.mean,
        prior_sd=found.sd,
        se_prior_mean=float(np.sqrt(latent[0, 0])),
        se_prior_variance=float(np.sqrt(latent[1, 1])),
        log_likelihood=found.log_likelihood if errors is None else errors.log_likelihood,
        log_prior=found.log_prior,
        log_likelihood_path=found.path,
        largest_change=found.change,
        is_converged=found.is_converged and is_maximum,
        iterations=found.iterations,
        excluded=problem.excluded,
        warnings=tuple(warnings),
        information="none" if errors is None else errors.method,
        n_persons=responses.n_persons,
        n_observations=responses.n_responses,
        wall_seconds=seconds,
        engine=engine[0],
        engine_version=engine[1],
    )
