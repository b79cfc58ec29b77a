"""How near the native engine and R mirt come: `python -m tests.irt_service.mirt_agreement`.

Both calibrate the same responses; R mirt's abilities are its own fscores. Prints the versions and
a row per case, and ends with 1 if a case is out of tolerance or R mirt is not installed.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from irt_service.engines.base import (
    Calibration,
    CalibrationSettings,
    ItemParameters,
    LogNormalPrior,
    NormalPrior,
)
from irt_service.engines.mirt import MirtEngine, Scores
from irt_service.engines.native import NativeEngine
from irt_service.errors import EngineUnavailableError
from irt_service.responses import ResponseMatrix
from irt_service.scoring import eap
from tests.irt_service.reference_cases import (
    lsat7,
    patterns_of_lsat7,
    reference_of,
    responses_of,
)

PARAMETER_TOLERANCE = 0.005  # section 8 of the specification: items and theta
LIKELIHOOD_TOLERANCE = 1e-4  # relative
ERROR_TOLERANCE = 0.005  # relative
TOLERANCE = CalibrationSettings().tolerance  # the default, of both engines
ANCHORS = [f"I{number}" for number in range(21, 31)]


@dataclass(frozen=True)
class Case:
    """Responses and settings that both engines get."""

    name: str
    responses: Callable[[], ResponseMatrix]
    settings: Callable[[], CalibrationSettings]

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Agreement:
    """Largest differences between the engines; likelihood and standard errors are relative.

    The covariance of a and b counts among the standard errors, relative to their product.
    """

    a: float
    b: float
    c: float
    latent: float
    theta: float
    log_likelihood: float
    standard_errors: float
    seconds: tuple[float, float]
    are_converged: bool
    version: str

    @property
    def is_within(self) -> bool:
        """Whether every difference is within its tolerance."""
        parameters = max(self.a, self.b, self.c, self.latent, self.theta)
        return (
            self.are_converged
            and parameters <= PARAMETER_TOLERANCE
            and self.log_likelihood <= LIKELIHOOD_TOLERANCE
            and self.standard_errors <= ERROR_TOLERANCE
        )


def weighted_lsat7() -> ResponseMatrix:
    """LSAT7 as 32 patterns, weighted by how many students gave them."""
    patterns, counts, items = patterns_of_lsat7()
    return ResponseMatrix.from_dense(patterns, items, weights=counts.astype(float))


def _settings(**given: Any) -> Callable[[], CalibrationSettings]:
    return lambda: CalibrationSettings(**given)


def _anchored(model: str) -> Callable[[], CalibrationSettings]:
    def settings() -> CalibrationSettings:
        form_a = reference_of("anchored", "formA_2PL").values
        fixed = {
            item: ItemParameters(form_a["a"][item][0], form_a["b"][item][0]) for item in ANCHORS
        }
        return CalibrationSettings(model=model, fixed_items=fixed, free_latent=True)

    return settings


def _form_b() -> ResponseMatrix:
    return responses_of("anchored", "formB_responses.csv")


def _sparse() -> ResponseMatrix:
    return responses_of("sparse2PL")


CASES = [
    Case("LSAT7 3PL, normal prior", lsat7, _settings(model="3PL", guessing_prior=NormalPrior())),
    Case("sparse 2PL", _sparse, _settings()),
    Case("anchored 2PL, fixed", _form_b, _anchored("2PL")),
    Case("LSAT7 3PL, Beta prior", lsat7, _settings(model="3PL")),
    Case(
        "LSAT7 2PL, weights, lognormal",
        weighted_lsat7,
        _settings(discrimination_prior=LogNormalPrior(-0.5, 0.4)),
    ),
    Case("LSAT7 1PL", lsat7, _settings(model="1PL")),
    Case("LSAT7 2PL", lsat7, _settings()),
    Case("LSAT7 Rasch", lsat7, _settings(model="Rasch")),
    Case("anchored Rasch, fixed", _form_b, _anchored("Rasch")),
    Case(
        "sparse 2PL, lognormal",
        _sparse,
        _settings(discrimination_prior=LogNormalPrior(0.0, 0.5)),
    ),
]
IN_TEST_RUNS = CASES[:3]  # each takes seconds to start R; `make test-mirt` does them all


def compare(case: Case) -> Agreement:
    """Calibrate with both engines.

    Raises:
        EngineUnavailableError: R, mirt or rpy2 is missing.
    """
    responses, settings = case.responses(), case.settings()
    by_r, scores = MirtEngine().calibrate_and_score(responses, settings)
    native = NativeEngine().calibrate(responses, settings)
    if scores is None or by_r.item_ids != native.item_ids:
        raise AssertionError("the engines do not answer for the same items")
    shift = [by_r.prior_mean - native.prior_mean, by_r.prior_sd - native.prior_sd]
    likelihood = abs(by_r.log_likelihood / native.log_likelihood - 1.0)
    return Agreement(
        a=_largest(by_r.discrimination - native.discrimination),
        b=_largest(by_r.difficulty - native.difficulty),
        c=_largest(by_r.guessing - native.guessing),
        latent=_largest(np.array(shift)),
        theta=_largest(scores.theta - _theta(responses, native, scores)),
        log_likelihood=likelihood,
        standard_errors=_largest_ratio(by_r, native),
        seconds=(by_r.wall_seconds, native.wall_seconds),
        are_converged=by_r.is_converged and native.is_converged,
        version=by_r.engine_version,
    )


def _largest(values: npt.NDArray[np.float64]) -> float:
    return float(np.abs(values).max())


def _largest_ratio(by_r: Calibration, native: Calibration) -> float:
    """Of standard errors; both engines must have the same ones."""
    names = ("se_discrimination", "se_difficulty", "se_guessing", "se_intercept")
    latent = ("se_prior_mean", "se_prior_variance")
    ours = np.concatenate([np.atleast_1d(getattr(native, name)) for name in names + latent])
    theirs = np.concatenate([np.atleast_1d(getattr(by_r, name)) for name in names + latent])
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs))
    np.testing.assert_array_equal(np.isnan(native.cov_ab), np.isnan(by_r.cov_ab))
    gap = (by_r.cov_ab - native.cov_ab) / (native.se_discrimination * native.se_difficulty)
    ratios = np.concatenate([theirs / ours - 1.0, gap])
    return _largest(ratios[~np.isnan(ratios)])


def _theta(
    responses: ResponseMatrix, native: Calibration, scores: Scores
) -> npt.NDArray[np.float64]:
    place = {item: j for j, item in enumerate(native.item_ids)}
    order = [place[item] for item in responses.item_ids]
    theta, _ = eap(
        native.discrimination[order],
        native.difficulty[order],
        native.guessing[order],
        responses.indptr,
        responses.items,
        responses.correct,
        native.prior_mean,
        native.prior_sd,
    )
    by_person = dict(zip(responses.person_ids, theta, strict=True))
    return np.array([by_person[person] for person in scores.person_ids])


HEADER = f"{'case':<30} {'a':>8} {'b':>8} {'c':>8} {'mean,SD':>8} {'theta':>8} {'logLik':>8} " + (
    f"{'SE':>8} {'R s':>6} {'ours s':>6}"
)


def row(case: Case, found: Agreement) -> str:
    """A line of the table."""
    numbers = (
        *(found.a, found.b, found.c, found.latent),
        *(found.theta, found.log_likelihood, found.standard_errors),
    )
    return (
        f"{case.name:<30} "
        + " ".join(f"{number:8.1e}" for number in numbers)
        + f" {found.seconds[0]:6.1f} {found.seconds[1]:6.2f}"
        + ("" if found.is_within else "  OUT OF TOLERANCE")
    )


def main() -> int:
    """Print the table; returns the exit code."""
    within = []
    for case in CASES:
        try:
            found = compare(case)
        except EngineUnavailableError as error:
            sys.stderr.write(f"error: {error}\n")
            return 1
        if not within:
            sys.stdout.write(
                f"{found.version}\nLargest differences between R mirt and the native engine, "
                f"both to {TOLERANCE:g}; logLik and SE relative.\n{HEADER}\n"
            )
        within.append(found.is_within)
        sys.stdout.write(row(case, found) + "\n")
        sys.stdout.flush()
    sys.stdout.write(
        f"{sum(within)} of {len(within)} cases within a, b, c, theta {PARAMETER_TOLERANCE}, "
        f"logLik {LIKELIHOOD_TOLERANCE:g}, SE {ERROR_TOLERANCE:g}\n"
    )
    return 0 if all(within) else 1


if __name__ == "__main__":
    sys.exit(main())
