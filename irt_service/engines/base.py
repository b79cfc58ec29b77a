"""What a calibration engine takes and returns.

The metric is logistic with D = 1 throughout: P(correct) = c + (1 - c) / (1 + exp(-a (theta - b))),
d = -a b. Engines differ in how they estimate, not in what they report.

Room for more than two categories: a response is a small integer, and the native engine's tables
have a row per item and response, found in one place (`scoring.find_rows`). A model with more adds
its rows and its parameters beside these; the two-category ones stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import numpy as np
import numpy.typing as npt

from irt_service.errors import InvalidSettingsError
from irt_service.responses import ResponseMatrix

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

FEWEST_NODES = 5
MOST_NODES = 1000


class Model(StrEnum):
    """The dichotomous models: each is the 3PL with parameters held or shared."""

    RASCH = "Rasch"
    ONE_PL = "1PL"
    TWO_PL = "2PL"
    THREE_PL = "3PL"


@dataclass(frozen=True)
class BetaPrior:
    """Density of Beta(alpha, beta) at c itself, maximised over logit c without a Jacobian."""

    alpha: float = 5.0
    beta: float = 17.0


@dataclass(frozen=True)
class NormalPrior:
    """Normal density of logit c."""

    mean: float = -1.1
    standard_deviation: float = 0.5


@dataclass(frozen=True)
class LogNormalPrior:
    """Log-normal density of the discrimination a; keeps a positive."""

    mean: float = 0.0
    standard_deviation: float = 0.5


@dataclass(frozen=True)
class ItemParameters:
    """Discrimination a, difficulty b, guessing c of one item."""

    discrimination: float
    difficulty: float
    guessing: float = 0.0


@dataclass(frozen=True)
class CalibrationSettings:
    """Everything that decides the result, apart from the responses.

    Attributes:
        tolerance: largest change of any estimated parameter (a, d, logit c, latent mean and
            SD) that one EM cycle may still cause at convergence.
        quadrature_range: the grid spans [-range, range] in SDs of the latent distribution.
        fixed_items: anchors, held at these values; ids that have no responses are ignored.
        free_latent: estimate the latent mean and SD; needs fixed items to identify them.
        threads: 0 means all cores of this process; any number gives the same bits.
        full_information_items: up to this many free items the standard errors come from the
            full observed information, above it from per-item blocks.
    """

    model: Model = Model.TWO_PL
    tolerance: float = 1e-4
    max_iterations: int = 500
    quadrature_nodes: int = 61
    quadrature_range: float = 6.0
    guessing_prior: BetaPrior | NormalPrior = field(default_factory=BetaPrior)
    discrimination_prior: LogNormalPrior | None = None
    fixed_items: Mapping[str, ItemParameters] = field(default_factory=dict)
    free_latent: bool = False
    standard_errors: bool = True
    full_information_items: int = 200
    threads: int = 0

    def __post_init__(self) -> None:
        """Refuse settings that cannot be meant."""
        object.__setattr__(self, "model", _model(self.model))
        if not 0 < self.tolerance < 1:
            raise InvalidSettingsError(
                "tolerance must lie between 0 and 1", str(self.tolerance), "1e-4 is usual"
            )
        if self.max_iterations < 1:
            raise InvalidSettingsError(
                "max_iterations must be at least 1", str(self.max_iterations), "500 is usual"
            )
        if not FEWEST_NODES <= self.quadrature_nodes <= MOST_NODES:
            raise InvalidSettingsError(
                f"quadrature_nodes must lie in [{FEWEST_NODES}, {MOST_NODES}]",
                str(self.quadrature_nodes),
                "61 is usual",
            )
        if not 1 <= self.quadrature_range <= MOST_NODES:
            raise InvalidSettingsError(
                "quadrature_range must be at least 1", str(self.quadrature_range), "6 is usual"
            )
        if self.threads < 0:
            raise InvalidSettingsError("threads must not be negative", str(self.threads))
        if self.free_latent and not self.fixed_items:
            raise InvalidSettingsError(
                "a free latent distribution is not identified without fixed items",
                remedy="give anchors, or leave free_latent off",
            )
        _check_priors(self)
        for item, parameters in self.fixed_items.items():
            _check_fixed(item, parameters)


@dataclass(frozen=True)
class Progress:
    """State after one EM cycle."""

    iteration: int
    log_likelihood: float
    largest_change: float
    seconds: float


@dataclass(frozen=True)
class Exclusion:
    """An item that has no estimate, and why."""

    item_id: str
    reason: str
    n_responses: int


@dataclass(frozen=True)
class Calibration:
    """What an engine found. Arrays have one entry per estimated or fixed item, shape (J,).

    Attributes:
        intercept: d = -a b.
        se_discrimination: NaN where it was not computed, the item is fixed or the information
            has no inverse; so are the other standard errors.
        cov_ab: covariance of the estimates of a and b; NaN where either has no standard error.
        flags: per item, what to beware of (names in assembly.py); empty when there is nothing
            to say. The numbers are as estimated all the same: nothing is clamped.
        prior_mean: mean of theta in this population (0 unless the latent distribution is free).
        log_likelihood: marginal, of the responses alone; log_prior is apart.
        information: how the standard errors were made: 'full', 'per-item blocks' or 'none'.
        is_converged: the change fell below the tolerance, and, where standard errors were
            asked for, the observed information is positive definite, but for a few items that
            are flagged and have none.
        warnings: what a reader must know before using the numbers.
    """

    item_ids: tuple[str, ...]
    discrimination: Floats
    difficulty: Floats
    guessing: Floats
    intercept: Floats
    se_discrimination: Floats
    se_difficulty: Floats
    se_guessing: Floats
    se_intercept: Floats
    cov_ab: Floats
    n_responses: Ints
    is_fixed: npt.NDArray[np.bool_]
    flags: tuple[tuple[str, ...], ...]
    prior_mean: float
    prior_sd: float
    se_prior_mean: float
    se_prior_variance: float
    log_likelihood: float
    log_prior: float
    log_likelihood_path: tuple[float, ...]
    largest_change: float
    is_converged: bool
    iterations: int
    excluded: tuple[Exclusion, ...]
    warnings: tuple[str, ...]
    information: str
    n_persons: int
    n_observations: int
    wall_seconds: float
    engine: str
    engine_version: str


class Engine(Protocol):
    """A calibration engine."""

    name: str

    def calibrate(
        self,
        responses: ResponseMatrix,
        settings: CalibrationSettings,
        progress: Callable[[Progress], None] | None = None,
    ) -> Calibration:
        """Estimate the item parameters.

        Raises:
            InsufficientDataError: the responses cannot identify the model.
        """
        ...


def _model(value: str) -> Model:
    for model in Model:
        if model.value.casefold() == str(value).casefold():
            return model
    raise InvalidSettingsError(
        "unknown model", str(value), "one of " + ", ".join(model.value for model in Model)
    )


def _check_priors(settings: CalibrationSettings) -> None:
    guessing = settings.guessing_prior
    if isinstance(guessing, BetaPrior) and not (guessing.alpha > 1 and guessing.beta > 1):
        raise InvalidSettingsError(
            "a Beta prior on guessing needs alpha and beta above 1",
            f"Beta({guessing.alpha}, {guessing.beta})",
            "otherwise c has no finite maximum on the logit scale; Beta(5, 17) is usual",
        )
    spreads = [settings.discrimination_prior] if settings.discrimination_prior else []
    for prior in [guessing, *spreads]:
        if isinstance(prior, NormalPrior | LogNormalPrior) and not prior.standard_deviation > 0:
            raise InvalidSettingsError("the SD of a prior must be above 0", str(prior))


def _check_fixed(item: str, parameters: ItemParameters) -> None:
    a, b, c = parameters.discrimination, parameters.difficulty, parameters.guessing
    if not (np.isfinite(a) and a > 0 and np.isfinite(b) and 0 <= c < 1):
        raise InvalidSettingsError(
            "a fixed item has impossible parameters",
            f"{item}: a={a}, b={b}, c={c}",
            "a must be above 0, b finite, c in [0, 1); correct it or leave the anchor out",
        )
