"""The native engine: marginal maximum likelihood by accelerated EM on sparse responses.

Bock & Aitkin (1981, Psychometrika 46) EM; where N(0, 1) only identifies the scale, the M-step
also estimates the latent mean and SD and maps them back into the items (parameter expansion,
Liu, Rubin & Wu, 1998, Biometrika 85(4)); Anderson acceleration on top, undone whenever the
likelihood falls.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import numpy.typing as npt

from irt_service.engines.base import Calibration, CalibrationSettings, Model, Progress
from irt_service.engines.estimation import Estimate, bank_of, estimate, timed_report
from irt_service.engines.information import StandardErrors, standard_errors
from irt_service.engines.preparation import Problem, drop_items, prepare, require_enough
from irt_service.errors import InsufficientDataError
from irt_service.parallel import block_runner
from irt_service.responses import ResponseMatrix

Floats = npt.NDArray[np.float64]

NO_MAXIMUM = "no_finite_maximum: the curve grew steeper than the grid resolves"
NEGATIVE_DISCRIMINATION = "negative_discrimination"
EXTREME_DISCRIMINATION = "extreme_discrimination"
EXTREME_DIFFICULTY = "extreme_difficulty"
NOT_IDENTIFIED = "not_identified"

LARGEST_DISCRIMINATION = 4.0
LARGEST_DIFFICULTY = 6.0


def _version() -> str:
    try:
        return version("seedtest-analytics")
    except PackageNotFoundError:
        return "unknown"


class NativeEngine:
    """Rasch, 1PL, 2PL and 3PL without R."""

    name = "native"

    def calibrate(
        self,
        responses: ResponseMatrix,
        settings: CalibrationSettings,
        progress: Callable[[Progress], None] | None = None,
    ) -> Calibration:
        """Estimate the item parameters; see Engine.calibrate."""
        started = time.perf_counter()
        problem = prepare(responses, settings)
        report = timed_report(progress)
        path: list[float] = []
        spent = 0
        with block_runner(settings.threads) as run:
            while True:
                found = estimate(problem, settings, run, report, settings.max_iterations - spent)
                path.extend(found.path)
                spent += found.iterations
                if not found.diverging.any():
                    break
                problem = drop_items(problem, found.diverging, NO_MAXIMUM, found.points)
                require_enough(problem, settings)
                if spent >= settings.max_iterations:
                    raise InsufficientDataError(
                        "items kept diverging until the cycles were used up",
                        f"{len(problem.excluded)} items set aside",
                        "the responses do not identify the model; collect more, or use Rasch",
                    )
            if found.has_collapsed:
                raise InsufficientDataError(
                    "the latent SD went to 0",
                    f"{problem.responses.n_persons} students",
                    "students do not differ beyond chance; there is no scale to estimate",
                )
            errors = (
                standard_errors(problem, found, settings, run) if settings.standard_errors else None
            )
        seconds = time.perf_counter() - started
        found = replace(found, path=tuple(path), iterations=spent)
        return _assemble(problem, found, settings, errors, seconds)


def _difficulty(points: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        difficulty: Floats = -points[:, 1] / points[:, 0]
    return difficulty


def _flags(
    problem: Problem, points: Floats, difficulty: Floats, covariance: Floats
) -> tuple[tuple[str, ...], ...]:
    rules = (
        (NEGATIVE_DISCRIMINATION, points[:, 0] < 0),
        (EXTREME_DISCRIMINATION, np.abs(points[:, 0]) > LARGEST_DISCRIMINATION),
        (EXTREME_DIFFICULTY, ~(np.abs(difficulty) <= LARGEST_DIFFICULTY)),
        (NOT_IDENTIFIED, problem.is_free & np.isnan(covariance[:, 1, 1])),
    )
    return tuple(tuple(name for name, holds in rules if holds[j]) for j in range(len(points)))


def _assemble(
    problem: Problem,
    found: Estimate,
    settings: CalibrationSettings,
    errors: StandardErrors | None,
    seconds: float,
) -> Calibration:
    """Put estimates, standard errors, flags and warnings into one record."""
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
        se_discrimination, se_intercept, se_logit = np.sqrt(
            np.diagonal(covariance, axis1=1, axis2=2).T
        )
    if settings.model is Model.RASCH:
        se_discrimination = np.full(len(points), np.nan)
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
        engine=NativeEngine.name,
        engine_version=_version(),
    )
