"""The EM loop: accelerated, watched, and honest about where it stopped."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from irt_service.engines.acceleration import Anderson
from irt_service.engines.base import CalibrationSettings, Model, Progress
from irt_service.engines.expectation import (
    DOUBLE,
    SINGLE,
    Expectation,
    ExpectationStep,
    Precision,
)
from irt_service.engines.lengthening import add_test_information, lengthen
from irt_service.engines.maximisation import (
    NEWTON_TOLERANCE,
    Rule,
    maximise_common_slope,
    maximise_items,
)
from irt_service.engines.preparation import Problem, Scale
from irt_service.engines.priors import guessing_prior, log_normaliser, priors_of, slope_prior
from irt_service.parallel import RunBlocks, even_blocks
from irt_service.quadrature import Grid, normal_grid

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

RESOLVED_RISE = 4.4  # an item rises from 10 % to 90 % over 4.4 / a
LARGEST_INTERCEPT = 100.0
SMALLEST_SD = 0.02
ITEM_BLOCKS = 16
MANY_RESPONSES = 200_000  # from here on single precision and, in places, every second node pay
FINE_NODES = 41
SINGLE_TOLERANCE = 1e-5  # what single precision can settle
# Of the log likelihood; below it a fall is rounding.
RELATIVE_FALL = {DOUBLE: 1e-12, SINGLE: 2e-8}


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

    def __init__(
        self, problem: Problem, settings: CalibrationSettings, grid: Grid, run: RunBlocks
    ) -> None:
        """Settle what every cycle shares."""
        self._run = run
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
            correct = expected.correct if has_guessing else np.empty((len(points), 0))
            rule = Rule(self._is_slope_free, tolerance)

            def maximise(_: int, start: int, stop: int) -> None:
                maximise_items(
                    points[start:stop],
                    is_free[start:stop],
                    sums[start:stop],
                    correct[start:stop],
                    expected.answered[start:stop],
                    theta,
                    self._priors,
                    rule,
                )

            self._run(maximise, even_blocks(len(points), min(ITEM_BLOCKS, len(points))))
        return self._rescale(State(points, state.mean, state.sd), expected, theta)

    def lengthen(self, state: State, image: State, expected: Expectation) -> State:
        """A point beyond EM's own, nearer to the maximum, where that is known to pay."""
        has_guessing = bool((state.points[:, 2] > -np.inf).any())
        is_identified = self._problem.scale is Scale.IDENTIFIED
        if self._settings.model is not Model.TWO_PL or not is_identified or has_guessing:
            return image
        theta = state.mean + state.sd * self._grid.nodes
        total = np.zeros(len(theta))
        add_test_information(state.points, expected.answered, theta, total)
        pooled = np.maximum(expected.pooled, np.finfo(np.float64).tiny)
        variance = 1.0 / (1.0 / state.sd**2 + total / pooled)
        points = image.points.copy()
        is_free = self._problem.is_free
        lengthen(state.points, points, is_free, expected.answered, variance, theta)
        return State(points, image.mean, image.sd)

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


class Climb:
    """EM from one point upwards, in one precision after another."""

    def __init__(
        self,
        problem: Problem,
        settings: CalibrationSettings,
        run: RunBlocks,
        report: Callable[[float, float], None],
        cycles_left: int,
    ) -> None:
        """Start at the problem's starting values; arguments as `estimate`."""
        self._problem = problem
        self._settings = settings
        self._run = run
        self._report = report
        self._cycles_left = cycles_left
        self._packing = Packing(problem, settings)
        self._anderson = Anderson()
        self._has_guessing = bool((problem.start[:, 2] > -np.inf).any())
        self.image = State(problem.start, 0.0, 1.0)
        self.path: list[float] = []
        self.cycles = 0
        self.change = np.inf
        self.log_likelihood = -np.inf
        self.log_prior = -np.inf
        self.diverging = np.zeros(len(problem.start), np.bool_)

    def climb(self, grid: Grid, precision: Precision, stop: float) -> None:
        """Cycle until the change falls below `stop`, or the items or the cycles give out."""
        expect = ExpectationStep(
            self._problem.responses, grid, self._has_guessing, self._run, precision
        )
        cycle = Cycle(self._problem, self._settings, grid, self._run)
        rounding = RELATIVE_FALL[precision]
        steepest = RESOLVED_RISE / float(grid.nodes[1] - grid.nodes[0])
        state, is_plain = self.image, True
        while self.cycles < self._cycles_left:
            self.cycles += 1
            expected = expect(bank_of(state.points), state.mean, state.sd)
            self.log_prior = cycle.log_prior(state.points)
            self.log_likelihood = expected.log_likelihood
            reached = self.log_likelihood + self.log_prior
            if not is_plain and reached < self.path[-1] - rounding * abs(self.path[-1]):
                # The accelerated point is worse than the last one: take the plain step instead.
                self._anderson.restart()
                state, is_plain = self.image, True
                continue
            self.path.append(reached)
            self.image = cycle.maximise(state, expected)
            vector, image = self._packing.pack(state), self._packing.pack(self.image)
            self.change = float(np.abs(image - vector).max())
            self._report(reached, self.change)
            self.diverging = self._lost(steepest)
            if self.diverging.any() and not is_plain:
                # An accelerated step may overshoot; only EM itself may call an item lost.
                self._anderson.restart()
                state, is_plain = self.image, True
                continue
            if self.diverging.any() or self.image.sd < SMALLEST_SD or self.change < stop:
                return
            beyond = self._packing.pack(cycle.lengthen(state, self.image, expected))
            state = self._packing.unpack(self._anderson.propose(vector, beyond), self.image)
            is_plain = False

    def _lost(self, steepest: float) -> Mask:
        """Items that have left what the grid can resolve."""
        points = self.image.points
        too_steep = np.abs(points[:, 0]) * self.image.sd > steepest
        too_far = ~(np.abs(points[:, 1]) <= LARGEST_INTERCEPT)
        lost: Mask = self._problem.is_free & (too_steep | too_far)
        return lost


def estimate(
    problem: Problem,
    settings: CalibrationSettings,
    run: RunBlocks,
    report: Callable[[float, float], None],
    cycles_left: int,
) -> Estimate:
    """Iterate to the maximum of the (penalised) marginal likelihood.

    Many responses are climbed in single precision, which is as good until the last digits and
    costs half; double precision takes over where the tolerance asks for more.

    Args:
        problem: what to estimate.
        settings: model, tolerance, grid.
        run: block runner.
        report: called with penalised log likelihood and largest change after each cycle.
        cycles_left: cycles that may be spent.
    """
    climb = Climb(problem, settings, run, report, cycles_left)
    grid = normal_grid(settings.quadrature_nodes, settings.quadrature_range)
    is_exact = settings.tolerance < SINGLE_TOLERANCE
    if problem.responses.n_responses >= MANY_RESPONSES:
        climb.climb(grid, SINGLE, max(settings.tolerance, SINGLE_TOLERANCE))
    else:
        is_exact = True
    if is_exact:
        climb.climb(grid, DOUBLE, settings.tolerance)
    image = climb.image
    return Estimate(
        points=image.points,
        mean=image.mean,
        sd=image.sd,
        log_likelihood=climb.log_likelihood,
        log_prior=climb.log_prior,
        path=tuple(climb.path),
        change=climb.change,
        is_converged=climb.change < settings.tolerance and not climb.diverging.any(),
        iterations=climb.cycles,
        diverging=climb.diverging,
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
