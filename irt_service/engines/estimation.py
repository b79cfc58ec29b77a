"""The EM loop: accelerated, watched, and honest about where it stopped."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from irt_service.engines.acceleration import Anderson
from irt_service.engines.base import CalibrationSettings, Model, Progress
from irt_service.engines.expectation import Expectation, ExpectationStep
from irt_service.engines.maximisation import (
    NEWTON_TOLERANCE,
    guessing_prior,
    log_normaliser,
    maximise_common_slope,
    maximise_items,
    priors_of,
    slope_prior,
)
from irt_service.engines.preparation import Problem, Scale
from irt_service.parallel import RunBlocks
from irt_service.quadrature import Grid

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

RESOLVED_RISE = 4.4  # an item rises from 10 % to 90 % over 4.4 / a
LARGEST_INTERCEPT = 100.0
SMALLEST_SD = 0.02
RELATIVE_FALL = 1e-12  # of the log likelihood; below it a fall is rounding


@dataclass(frozen=True)
class Estimate:
    """Where EM stopped.

    Attributes:
        points: a, d, logit c, (J, 3); c = 0 is -inf.
        mean: latent mean.
        sd: latent SD.
        log_likelihood: marginal log likelihood of the responses, at the last E-step's point.
        log_prior: log prior density there.
        path: penalised log likelihood of each cycle that was kept.
        change: largest change of the last cycle.
        is_converged: change below the tolerance.
        diverging: items without a finite maximum; if any, nothing else is an estimate.
        has_collapsed: the latent SD went to 0.
    """

    points: Floats
    mean: float
    sd: float
    log_likelihood: float
    log_prior: float
    path: tuple[float, ...]
    change: float
    is_converged: bool
    iterations: int
    diverging: Mask
    has_collapsed: bool


@dataclass(frozen=True)
class State:
    """Items and latent distribution at one point of the parameter space."""

    points: Floats
    mean: float
    sd: float


class Packing:
    """Between states and vectors of the estimated parameters."""

    def __init__(self, problem: Problem, settings: CalibrationSettings) -> None:
        """Decide which entries are estimated."""
        self._is_free = problem.is_free
        self._common = settings.model is Model.ONE_PL
        self._columns = {Model.RASCH: [1], Model.ONE_PL: [1], Model.TWO_PL: [0, 1]}.get(
            settings.model, [0, 1, 2]
        )
        self._has_mean = problem.scale is Scale.FREE
        self._has_sd = problem.scale in {Scale.FREE, Scale.FREE_SD, Scale.RASCH}

    def pack(self, state: State) -> Floats:
        """Vector of the estimated parameters, shape (p,)."""
        free = state.points[self._is_free]
        parts = [free[:, self._columns].ravel()]
        if self._common:
            parts.append(free[:1, 0])
        if self._has_mean:
            parts.append(np.array([state.mean]))
        if self._has_sd:
            parts.append(np.array([np.log(state.sd)]))
        return np.concatenate(parts)

    def unpack(self, vector: Floats, like: State) -> State:
        """The state of a vector; what is not estimated is taken from `like`."""
        points = like.points.copy()
        n_free, n_columns = int(self._is_free.sum()), len(self._columns)
        block = points[self._is_free]
        block[:, self._columns] = vector[: n_free * n_columns].reshape(n_free, n_columns)
        rest = list(vector[n_free * n_columns :])
        if self._common:
            block[:, 0] = rest.pop(0)
        points[self._is_free] = block
        mean = float(rest.pop(0)) if self._has_mean else like.mean
        sd = float(np.exp(rest.pop(0))) if self._has_sd else like.sd
        return State(points, mean, sd)


def bank_of(points: Floats) -> Floats:
    """a, d, c of (a, d, logit c), shape (J, 3)."""
    bank = points.copy()
    bank[:, 2] = 1.0 / (1.0 + np.exp(-points[:, 2]))
    return bank


class Cycle:
    """One EM cycle, from a state to the next."""

    def __init__(self, problem: Problem, settings: CalibrationSettings, grid: Grid) -> None:
        """Settle what every cycle shares."""
        self._problem = problem
        self._settings = settings
        self._grid = grid
        self._priors = priors_of(settings)
        self._is_slope_free = settings.model in {Model.TWO_PL, Model.THREE_PL}

    def log_prior(self, points: Floats) -> float:
        """Log prior density of the free items."""
        free = points[self._problem.is_free]
        total = len(free) * log_normaliser(self._settings)
        if self._settings.discrimination_prior is None and not np.isfinite(free[:, 2]).any():
            return total
        for a, _, logit in free:
            total += slope_prior(a, self._priors)[0]
            if logit > -np.inf:
                total += guessing_prior(logit, self._priors)[0]
        return total

    def maximise(self, state: State, expected: Expectation) -> State:
        """The M-step."""
        theta = state.mean + state.sd * self._grid.nodes
        points = state.points.copy()
        sums = np.stack([expected.correct_sum, expected.correct_theta], axis=1)
        tolerance = NEWTON_TOLERANCE * self._settings.tolerance
        is_free = self._problem.is_free
        if self._settings.model is Model.ONE_PL:
            maximise_common_slope(points, is_free, sums, expected.answered, theta, tolerance)
        else:
            has_guessing = self._settings.model is Model.THREE_PL
            correct = expected.correct if has_guessing else None
            maximise_items(
                points,
                is_free,
                sums,
                np.empty((0, 0)) if correct is None else correct,
                expected.answered,
                theta,
                self._priors,
                self._is_slope_free,
                tolerance,
            )
        return self._rescale(State(points, state.mean, state.sd), expected, theta)

    def _rescale(self, state: State, expected: Expectation, theta: Floats) -> State:
        """Latent mean and SD: estimated, or mapped back into the items."""
        scale = self._problem.scale
        if scale is Scale.HELD:
            return state
        total = expected.pooled.sum()
        mean = float(expected.pooled @ theta / total)
        centre = 0.0 if scale is Scale.FREE_SD else mean
        variance = float(expected.pooled @ (theta - centre) ** 2 / total) / self._grid.variance
        sd = float(np.sqrt(variance))
        if scale is Scale.FREE:
            return State(state.points, mean, sd)
        if scale is Scale.FREE_SD:
            return State(state.points, 0.0, sd)
        points = state.points.copy()
        points[:, 1] += points[:, 0] * mean
        if scale is Scale.RASCH:
            return State(points, 0.0, sd)
        points[:, 0] *= sd
        return State(points, 0.0, 1.0)


def estimate(
    problem: Problem,
    settings: CalibrationSettings,
    grid: Grid,
    run: RunBlocks,
    report: Callable[[float, float], None],
    iterations_left: int,
) -> Estimate:
    """Iterate to the maximum of the (penalised) marginal likelihood.

    Args:
        problem: what to estimate.
        settings: model, tolerance.
        grid: standardised nodes.
        run: block runner.
        report: called with penalised log likelihood and largest change after each cycle.
        iterations_left: cycles that may be spent.
    """
    has_guessing = bool((problem.start[:, 2] > -np.inf).any())
    expect = ExpectationStep(problem.responses, grid, has_guessing, run)
    cycle = Cycle(problem, settings, grid)
    packing = Packing(problem, settings)
    anderson = Anderson()
    state = State(problem.start, 0.0, 1.0)
    image = state
    path: list[float] = []
    change = np.inf
    log_likelihood = log_prior = -np.inf
    steepest = RESOLVED_RISE / float(grid.nodes[1] - grid.nodes[0])
    diverging = np.zeros(len(problem.start), np.bool_)
    is_plain = True
    iterations = 0
    while iterations < iterations_left:
        iterations += 1
        expected = expect(bank_of(state.points), state.mean, state.sd)
        log_prior = cycle.log_prior(state.points)
        log_likelihood = expected.log_likelihood
        reached = log_likelihood + log_prior
        if not (is_plain or reached >= path[-1] - RELATIVE_FALL * abs(path[-1])):
            # The accelerated point is worse than the last one: take the plain step instead.
            anderson.restart()
            state, is_plain = image, True
            continue
        path.append(reached)
        image = cycle.maximise(state, expected)
        vector, image_vector = packing.pack(state), packing.pack(image)
        change = float(np.abs(image_vector - vector).max())
        report(reached, change)
        too_far = np.abs(image.points[:, :2]) * [image.sd, 1.0] > [steepest, LARGEST_INTERCEPT]
        diverging = problem.is_free & (too_far.any(axis=1) | ~np.isfinite(image.points[:, 1]))
        if diverging.any() and not is_plain:
            # An accelerated step may overshoot; only EM itself may call an item lost.
            anderson.restart()
            state, is_plain = image, True
            continue
        if diverging.any() or image.sd < SMALLEST_SD or change < settings.tolerance:
            break
        state = packing.unpack(anderson.propose(vector, image_vector), image)
        is_plain = anderson.has_restarted
    return Estimate(
        points=image.points,
        mean=image.mean,
        sd=image.sd,
        log_likelihood=log_likelihood,
        log_prior=log_prior,
        path=tuple(path),
        change=change,
        is_converged=change < settings.tolerance and not diverging.any(),
        iterations=iterations,
        diverging=diverging,
        has_collapsed=image.sd < SMALLEST_SD,
    )


def timed_report(
    progress: Callable[[Progress], None] | None,
) -> Callable[[float, float], None]:
    """Turn (log likelihood, change) into numbered, timed progress."""
    start = time.perf_counter()
    count = 0

    def report(log_likelihood: float, change: float) -> None:
        nonlocal count
        count += 1
        if progress is not None:
            progress(Progress(count, log_likelihood, change, time.perf_counter() - start))

    return report
