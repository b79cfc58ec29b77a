"""Log prior densities of logit c and a, and their derivatives."""

from __future__ import annotations

import math
from typing import NamedTuple

from irt_service.compiled import compiled
from irt_service.engines.base import BetaPrior, CalibrationSettings, Model


class Priors(NamedTuple):
    """Log prior of logit c and of a, as numbers that a kernel can read.

    Beta(alpha, beta) at c adds alpha' log c + beta' log(1 - c) with alpha' = alpha - 1 and
    beta' = beta - 1 (no Jacobian). A precision of 0 switches a normal part off.
    """

    beta_one: float
    beta_zero: float
    logit_mean: float
    logit_precision: float
    log_slope_mean: float
    log_slope_precision: float


def priors_of(settings: CalibrationSettings) -> Priors:
    """The priors that these settings put on a free item."""
    numbers = dict.fromkeys(Priors._fields, 0.0)
    if settings.model is Model.THREE_PL:
        guessing = settings.guessing_prior
        if isinstance(guessing, BetaPrior):
            numbers |= {"beta_one": guessing.alpha - 1.0, "beta_zero": guessing.beta - 1.0}
        else:
            numbers["logit_mean"] = guessing.mean
            numbers["logit_precision"] = guessing.standard_deviation**-2
    slope = settings.discrimination_prior
    if slope is not None:
        numbers["log_slope_mean"] = slope.mean
        numbers["log_slope_precision"] = slope.standard_deviation**-2
    return Priors(**{name: float(number) for name, number in numbers.items()})


def log_normaliser(settings: CalibrationSettings) -> float:
    """Constant part of one free item's log prior density."""
    constant: float = 0.0
    if settings.model is Model.THREE_PL:
        guessing = settings.guessing_prior
        if isinstance(guessing, BetaPrior):
            alpha, beta = guessing.alpha, guessing.beta
            constant += math.lgamma(alpha + beta) - math.lgamma(alpha) - math.lgamma(beta)
        else:
            constant -= math.log(guessing.standard_deviation * math.sqrt(2.0 * math.pi))
    slope = settings.discrimination_prior
    if slope is not None:
        constant -= math.log(slope.standard_deviation * math.sqrt(2.0 * math.pi))
    return float(constant)


@compiled
def slope_prior(a: float, priors: Priors) -> tuple[float, float, float]:
    """Log density of a log-normal a up to a constant, with two derivatives by a."""
    precision = priors.log_slope_precision
    if precision == 0.0:
        return 0.0, 0.0, 0.0
    if a <= 0.0:
        return -math.inf, 0.0, 0.0
    gap = math.log(a) - priors.log_slope_mean
    value = -math.log(a) - 0.5 * precision * gap * gap
    gradient = -(1.0 + precision * gap) / a
    curvature = (1.0 + precision * gap - precision) / (a * a)
    return value, gradient, curvature


@compiled
def guessing_prior(logit: float, priors: Priors) -> tuple[float, float, float]:
    """Log density for c up to a constant, with two derivatives by logit c."""
    c = 1.0 / (1.0 + math.exp(-logit))
    gap = logit - priors.logit_mean
    log_c = -math.log1p(math.exp(-logit)) if logit > 0 else logit - math.log1p(math.exp(logit))
    log_rest = log_c - logit
    value = priors.beta_one * log_c + priors.beta_zero * log_rest
    gradient = priors.beta_one * (1.0 - c) - priors.beta_zero * c
    curvature = -(priors.beta_one + priors.beta_zero) * c * (1.0 - c)
    value -= 0.5 * priors.logit_precision * gap * gap
    gradient -= priors.logit_precision * gap
    return value, gradient, curvature - priors.logit_precision
