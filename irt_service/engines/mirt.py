"""The mirt engine: the R package mirt (Chalmers, 2012, JSS 48(6)), in a process of its own.

The reference that the native engine is held to, and optional: R, mirt and rpy2 are looked for
when it is used and not before. The same items are set aside as by the native engine, before and
after, and the same record comes back. What differs:

- R mirt's table of responses is dense: students x items decide time and memory.
- EM is not accelerated, so a cycle has to change much less at the end to be as near; and a cycle
  limit that suits the native engine is multiplied.
- Standard errors come from Oakes' identity (1999, JRSS B 61(2)) for the whole matrix, whatever
  the number of items.
- The wrong derivatives of mirt's Beta and log-normal priors are not used: see mirt_bank.R.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from irt_service.engines.assembly import NO_MAXIMUM, assemble
from irt_service.engines.base import (
    BetaPrior,
    Calibration,
    CalibrationSettings,
    Model,
    Progress,
)
from irt_service.engines.estimation import (
    LARGEST_INTERCEPT,
    RESOLVED_RISE,
    SMALLEST_SD,
    Estimate,
)
from irt_service.engines.information import StandardErrors
from irt_service.engines.mirt_call import call
from irt_service.engines.preparation import (
    Problem,
    Scale,
    drop_items,
    prepare,
    require_cycles,
    require_enough,
    require_spread,
)
from irt_service.engines.priors import guessing_prior, log_normaliser, priors_of, slope_prior
from irt_service.errors import CalibrationError, InvalidSettingsError
from irt_service.responses import ResponseMatrix

Floats = npt.NDArray[np.float64]

# Plain EM that closes a tenth of its distance in a cycle is ten times its last change away.
TIGHTER = 1e-2
TIGHTEST = 1e-10
MORE_CYCLES = 10
BYTES_PER_CELL = 110  # of students x items; 50,000 x 200 took 1.1 GB in R mirt 1.47
TIMEOUT_VARIABLE = "MIRT_TIMEOUT_SECONDS"
TIMEOUT_SECONDS = 3600.0


@dataclass(frozen=True)
class Scores:
    """Abilities by R's own fscores (EAP), of the students of `person_ids`."""

    person_ids: npt.NDArray[np.object_]
    theta: Floats
    standard_error: Floats


class MirtEngine:
    """Rasch, 1PL, 2PL and 3PL by the R package mirt."""

    name = "mirt"

    def calibrate(
        self,
        responses: ResponseMatrix,
        settings: CalibrationSettings,
        progress: Callable[[Progress], None] | None = None,
    ) -> Calibration:
        """Estimate the item parameters; see Engine.calibrate.

        Raises:
            EngineUnavailableError: R, mirt or rpy2 is missing.
            CalibrationError: R stopped, was killed or took too long, or its dense table would
                not fit into memory.
            InsufficientDataError: the responses cannot identify the model.
            InvalidSettingsError: MIRT_TIMEOUT_SECONDS is not a time.
        """
        return self.calibrate_and_score(responses, settings, progress, has_scores=False)[0]

    def calibrate_and_score(
        self,
        responses: ResponseMatrix,
        settings: CalibrationSettings,
        progress: Callable[[Progress], None] | None = None,
        *,
        has_scores: bool = True,
    ) -> tuple[Calibration, Scores | None]:
        """As calibrate, with R's own abilities to compare ours with."""
        started = time.perf_counter()
        timeout = _timeout()
        problem = prepare(responses, settings)
        report = _Report(settings.tolerance, progress)
        path: list[float] = []
        max_cycles = MORE_CYCLES * settings.max_iterations
        while True:
            _require_memory(problem)
            job, places = _job(problem, settings, max_cycles - len(path), has_scores=has_scores)
            answer = call(job, timeout - (time.perf_counter() - started), report)
            found = _estimate(problem, settings, answer, places)
            path.extend(found.path)
            if not found.diverging.any():
                break
            problem = drop_items(problem, found.diverging, NO_MAXIMUM, problem.start)
            require_enough(problem, settings)
            require_cycles(problem, max_cycles - len(path))
        require_spread(problem, has_collapsed=found.has_collapsed)
        found = replace(found, path=tuple(path), iterations=len(path))
        report.end(found)
        errors = _errors(problem, answer, places) if settings.standard_errors else None
        seconds = time.perf_counter() - started
        versions = ", ".join(f"{name} {number}" for name, number in answer["versions"].items())
        record = assemble(problem, found, settings, errors, seconds, (self.name, versions))
        said = tuple(f"R: {' '.join(warning.split())}" for warning in answer["warnings"])
        record = replace(record, warnings=record.warnings + said)
        if not has_scores:
            return record, None
        scores = np.array(answer["scores"]).reshape(2, -1)
        counted = _counted(problem.responses)
        return record, Scores(problem.responses.person_ids[counted], scores[0], scores[1])


class _Report:
    """Numbers and times R's cycles; those below the tolerance are left to the end."""

    def __init__(self, tolerance: float, progress: Callable[[Progress], None] | None) -> None:
        self._tolerance, self._progress = tolerance, progress
        self._started = time.perf_counter()
        self._count = 0
        self.change = np.inf

    def __call__(self, log_likelihood: float, change: float) -> None:
        self._count += 1
        self.change = change
        if self._progress is not None and change >= self._tolerance:
            seconds = time.perf_counter() - self._started
            self._progress(Progress(self._count, log_likelihood, change, seconds))

    def end(self, found: Estimate) -> None:
        if self._progress is not None:
            reached = found.log_likelihood + found.log_prior
            seconds = time.perf_counter() - self._started
            self._progress(Progress(found.iterations, reached, found.change, seconds))


def _timeout() -> float:
    text = os.environ.get(TIMEOUT_VARIABLE, "").strip()
    try:
        seconds = float(text) if text else TIMEOUT_SECONDS
    except ValueError:
        seconds = -1.0
    if not seconds > 0:
        raise InvalidSettingsError(
            "a positive number is needed",
            f"{TIMEOUT_VARIABLE}={text!r}",
            f"{TIMEOUT_SECONDS:.0f} is the default",
        )
    return seconds


def _require_memory(problem: Problem) -> None:
    """Refuse what R could only end by being killed."""
    responses = problem.responses
    needed = BYTES_PER_CELL * responses.n_persons * responses.n_items
    present = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > present:
        raise CalibrationError(
            "R mirt needs a dense table that does not fit into memory",
            f"{responses.n_persons:,} students x {responses.n_items:,} items, about "
            f"{needed / 1e9:.0f} GB of {present / 1e9:.0f} GB",
            "use --engine native, or a bank with fewer items",
        )


def _counted(responses: ResponseMatrix) -> npt.NDArray[np.bool_]:
    """Students whose weight is above 0; R mirt is not told of the others."""
    if responses.weights is None:
        return np.ones(responses.n_persons, np.bool_)
    return responses.weights > 0


def _job(
    problem: Problem, settings: CalibrationSettings, cycles: int, *, has_scores: bool
) -> tuple[dict[str, npt.NDArray[Any]], npt.NDArray[np.int64]]:
    """The job, and which items it holds: those with an answer that counts."""
    responses = problem.responses
    counted = _counted(responses)
    answers = np.repeat(counted, responses.person_counts())
    items = responses.items[answers]
    places = np.unique(items).astype(np.int64)
    a, d, logit = problem.start[places].T
    guessing = 1.0 / (1.0 + np.exp(-logit))
    is_free = problem.is_free[places]
    has_slopes = settings.model is not Model.RASCH
    has_guessing = settings.model is Model.THREE_PL
    has_curve = (guessing > 0) | (is_free & has_guessing)
    prior = settings.guessing_prior
    numbers = (
        [prior.alpha, prior.beta]
        if isinstance(prior, BetaPrior)
        else [prior.mean, prior.standard_deviation]
    )
    slope = settings.discrimination_prior
    has_slope_prior = slope is not None and settings.model in {Model.TWO_PL, Model.THREE_PL}
    job = {
        "indptr": np.concatenate([[0], np.cumsum(responses.person_counts()[counted])]),
        "items": np.searchsorted(places, items),
        "correct": responses.correct[answers].astype(np.int32),
        "weights": np.empty(0) if responses.weights is None else responses.weights[counted],
        "n_items": np.array([len(places)]),
        "item_types": np.where(has_curve, "3PL", "2PL"),
        "start": np.stack([a, d, guessing], axis=1),
        "is_estimated": np.stack([is_free & has_slopes, is_free, is_free & has_guessing], axis=1),
        "has_common_slope": np.array([settings.model is Model.ONE_PL]),
        "latent_is_free": np.array(
            [
                problem.scale is Scale.FREE,
                problem.scale in {Scale.FREE, Scale.FREE_SD, Scale.RASCH},
            ]
        ),
        "guessing_prior": np.array(
            [("beta" if isinstance(prior, BetaPrior) else "normal") if has_guessing else "none"]
        ),
        "guessing_numbers": np.array(numbers, np.float64),
        "slope_prior": np.array(
            [slope.mean, slope.standard_deviation] if slope and has_slope_prior else [], np.float64
        ),
        "tolerance": np.array([max(settings.tolerance * TIGHTER, TIGHTEST)]),
        "max_cycles": np.array([max(cycles, 1)]),
        "steepest": np.array([_steepest(settings)]),
        "largest_intercept": np.array([LARGEST_INTERCEPT]),
        "smallest_sd": np.array([SMALLEST_SD]),
        "n_nodes": np.array([settings.quadrature_nodes]),
        "range": np.array([settings.quadrature_range]),
        "has_errors": np.array([settings.standard_errors]),
        "has_scores": np.array([has_scores]),
    }
    return job, places


def _estimate(
    problem: Problem,
    settings: CalibrationSettings,
    answer: Mapping[str, Any],
    places: npt.NDArray[np.int64],
) -> Estimate:
    """R's answer as any engine's."""
    points = problem.start.copy()
    points[places, 0] = answer["a"]
    points[places, 1] = answer["d"]
    free = places[problem.is_free[places]]
    if settings.model is Model.THREE_PL:
        c = np.array(answer["c"])[problem.is_free[places]]
        with np.errstate(divide="ignore"):
            points[free, 2] = np.log(c) - np.log1p(-c)
    mean, sd = (float(value) for value in answer["latent"])
    if not problem.is_free.all():
        # What R hands back of a fixed item has gone through its logit and back.
        points[~problem.is_free] = problem.start[~problem.is_free]
    too_steep = np.abs(points[:, 0]) * sd > _steepest(settings)
    too_far = ~(np.abs(points[:, 1]) <= LARGEST_INTERCEPT)
    diverging = problem.is_free & (too_steep | too_far)
    is_converged = bool(answer["is_converged"]) and not diverging.any()
    # At convergence mirt says only that the change was below the limit it was given.
    limit = max(settings.tolerance * TIGHTER, TIGHTEST)
    return Estimate(
        points=points,
        mean=mean,
        sd=sd,
        log_likelihood=float(answer["log_likelihood"]),
        log_prior=_log_prior(problem, settings, points),
        path=tuple(float(value) for value in answer["path"]),
        change=limit if is_converged else float(answer["change"]),
        is_converged=is_converged,
        iterations=len(answer["path"]),
        diverging=diverging,
        has_collapsed=not sd >= SMALLEST_SD,
    )


def _steepest(settings: CalibrationSettings) -> float:
    """The largest a that the grid resolves, per latent SD."""
    spacing = 2.0 * settings.quadrature_range / (settings.quadrature_nodes - 1)
    return RESOLVED_RISE / spacing


def _log_prior(problem: Problem, settings: CalibrationSettings, points: Floats) -> float:
    """Log prior density of the free items."""
    priors = priors_of(settings)
    total = 0.0
    for a, _, logit in points[problem.is_free]:
        total += log_normaliser(settings) + slope_prior(a, priors)[0]
        if logit > -np.inf:
            total += guessing_prior(logit, priors)[0]
    return float(total)


def _errors(
    problem: Problem, answer: Mapping[str, Any], places: npt.NDArray[np.int64]
) -> StandardErrors:
    covariance = np.zeros((len(problem.start), 3, 3))
    covariance[places] = np.array(answer["item_covariance"]).reshape(-1, 3, 3)
    return StandardErrors(
        item_covariance=covariance,
        latent_covariance=np.array(answer["latent_covariance"]).reshape(2, 2),
        log_likelihood=float(answer["log_likelihood"]),
        is_positive_definite=bool(answer["is_positive_definite"]),
        method="full",
    )
