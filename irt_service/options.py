"""Options of a calibration as text: priors, and what becomes of questions not answered."""

from __future__ import annotations

from enum import StrEnum

from irt_service.engines.base import BetaPrior, LogNormalPrior, NormalPrior
from irt_service.errors import InvalidSettingsError

_NUMBERS = 2


class NotAnswered(StrEnum):
    """What a question counts as that a student was shown and did not answer."""

    MISSING = "missing"
    WRONG = "wrong"


def guessing_prior(text: str) -> BetaPrior | NormalPrior:
    """Read `beta:ALPHA,BETA` (of c) or `normal:MEAN,SD` (of logit c).

    Raises:
        InvalidSettingsError: anything else.
    """
    kind, first, second = _split(text, "beta:5,17 or normal:-1.1,0.5")
    if kind == "beta":
        return BetaPrior(first, second)
    if kind == "normal":
        return NormalPrior(first, second)
    raise InvalidSettingsError("no such prior", text, "use beta:5,17 or normal:-1.1,0.5")


def discrimination_prior(text: str) -> LogNormalPrior | None:
    """Read `none` or `lognormal:MEAN,SD` (of log a).

    Raises:
        InvalidSettingsError: anything else.
    """
    if text == "none":
        return None
    kind, first, second = _split(text, "none or lognormal:0,0.5")
    if kind == "lognormal":
        return LogNormalPrior(first, second)
    raise InvalidSettingsError("no such prior", text, "use none or lognormal:0,0.5")


def _split(text: str, usual: str) -> tuple[str, float, float]:
    kind, _, numbers = text.partition(":")
    try:
        values = [float(number) for number in numbers.split(",")]
    except ValueError:
        values = []
    if len(values) != _NUMBERS:
        raise InvalidSettingsError("a prior needs a name and two numbers", text, f"use {usual}")
    return kind, values[0], values[1]
