"""Everything that says whether a calibration can be trusted, from one look at its responses.

What is computed comes from `diagnostics`; here it is decided what is asked of which items,
what counts as a finding, and in which tables it is kept.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from irt_service.columns import numbers, texts_or_null, whole_numbers
from irt_service.comparisons import Comparison, RunItems, drift_of_comparisons
from irt_service.diagnostics.chi_square import ChiSquareFit
from irt_service.diagnostics.drift import scale_covariance
from irt_service.diagnostics.false_discovery import benjamini_hochberg
from irt_service.diagnostics.information import (
    expected_reliability,
    marginal_reliability,
    test_information,
)
from irt_service.diagnostics.item_fit import residual_fit
from irt_service.diagnostics.local_dependence import FEWEST_PAIRS, THRESHOLD, q3
from irt_service.diagnostics.person_fit import FEWEST_RESPONSES, lz_star
from irt_service.diagnostics.plausible_values import pv_q1
from irt_service.diagnostics.summed_scores import s_x2
from irt_service.engines.base import Calibration, CalibrationSettings, Model
from irt_service.groupings import Grouping, dif_of_groupings
from irt_service.quadrature import normal_grid
from irt_service.responses import ResponseMatrix
from irt_service.scoring import eap
from irt_service.settings import GateSettings

Floats = npt.NDArray[np.float64]
Said = Callable[[str], None]

SIGNIFICANT = 0.05  # false-discovery rate
MISFIT_RMSEA = 0.03
MISFIT_MEAN_SQUARE = 1.3  # only above: with EAPs mean squares of short tests lie below 1
IMPROBABLE_SHARE = 0.01  # of students who answer as the model says
IMPROBABLE_LZ = -2.326  # below which so many of them lie
THETA_GRID = np.linspace(-4.0, 4.0, 33)
SEED = 20260101  # of the plausible values: the same responses give the same statistic
FORM_SHARE = 0.5  # of an item's responses on complete forms, from which S-X2 speaks for it


@dataclass(frozen=True)
class Diagnosis:
    """Findings as tables, one row each, without the run's id; and what sums them up.

    Attributes:
        item_fit: of every item of the calibration.
        local_dependence: pairs beyond the threshold.
        person_fit: students below the threshold.
        dif: of every grouping, focal group and item.
        drift: of every comparison and item.
        summary: thresholds, counts, information curve, reliability, what was not possible.
    """

    item_fit: pa.Table
    local_dependence: pa.Table
    person_fit: pa.Table
    dif: pa.Table
    drift: pa.Table
    summary: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """The summary with the pairs of items, for a file."""
        return {**self.summary, "dependent_pairs": self.local_dependence.to_pylist()}


def calibrated_only(responses: ResponseMatrix, calibration: Calibration) -> ResponseMatrix:
    """Responses to the items of a calibration, of the students who have some."""
    scored = set(calibration.item_ids)
    return responses.select(np.array([item in scored for item in responses.item_ids], np.bool_))


def score(
    responses: ResponseMatrix, calibration: Calibration, settings: CalibrationSettings
) -> tuple[Floats, Floats]:
    """EAP and its SD of students whose responses are to items of the calibration only."""
    a, b, c = _in_order_of(responses, calibration)
    return eap(
        a,
        b,
        c,
        responses.indptr,
        responses.items,
        responses.correct,
        calibration.prior_mean,
        calibration.prior_sd,
        grid=normal_grid(settings.quadrature_nodes, settings.quadrature_range),
        threads=settings.threads,
    )


def _order(responses: ResponseMatrix, calibration: Calibration) -> npt.NDArray[np.int64]:
    place = {item: j for j, item in enumerate(calibration.item_ids)}
    return np.array([place[item] for item in responses.item_ids], np.int64)


def _in_order_of(
    responses: ResponseMatrix, calibration: Calibration
) -> tuple[Floats, Floats, Floats]:
    order = _order(responses, calibration)
    return (
        calibration.discrimination[order],
        calibration.difficulty[order],
        calibration.guessing[order],
    )


def diagnose(
    responses: ResponseMatrix,
    calibration: Calibration,
    settings: CalibrationSettings,
    gates: GateSettings,
    groupings: Sequence[Grouping] = (),
    comparisons: Sequence[Comparison] = (),
    said: Said = lambda _: None,
) -> Diagnosis:
    """Judge an accepted calibration by the responses that it was made from.

    Args:
        responses: that the gates admitted; responses to other items are left out here.
        calibration: on the scale that it is stored on.
        settings: that it was made with.
        gates: that it was judged by.
        groupings: of students, for DIF.
        comparisons: earlier runs, for drift.
        said: told what begins.
    """
    said("diagnostics:")
    clock = _Clock(said)
    kept = calibrated_only(responses, calibration)
    a, b, c = parameters = _in_order_of(kept, calibration)
    prior = (calibration.prior_mean, calibration.prior_sd)
    clock.begin("abilities")
    theta, standard_error = score(kept, calibration, settings)
    clock.begin("item fit")
    fit = _item_fit(
        kept, parameters, theta, prior, _estimated(kept, calibration, settings), settings
    )
    clock.begin("local dependence")
    pairs = q3(kept, a, b, c, theta, threads=settings.threads)
    clock.begin("person fit")
    persons = lz_star(kept, a, b, c, theta, *prior, threads=settings.threads)
    is_improbable = persons.statistic < IMPROBABLE_LZ
    clock.begin("DIF")
    differences = dif_of_groupings(
        kept,
        parameters,
        prior,
        groupings,
        has_slope=settings.model in {Model.TWO_PL, Model.THREE_PL},
        threads=settings.threads,
    )
    clock.begin("drift")
    shared = None if calibration.is_fixed.any() else scale_covariance(theta, standard_error, *prior)
    drifts = drift_of_comparisons(RunItems.of(calibration, shared), comparisons, gates.min_anchors)
    clock.end()
    is_judged = ~np.isnan(persons.statistic)
    information = test_information(a, b, c, THETA_GRID)
    dependent = np.flatnonzero(pairs.is_flagged)
    summary = {
        "item_fit": {
            "significant_q": SIGNIFICANT,
            "misfit_rmsea": MISFIT_RMSEA,
            "misfit_mean_square": MISFIT_MEAN_SQUARE,
            "misfits": int(np.sum(fit["is_misfit"].to_numpy())),
            "not_computable": int(fit["method"].null_count),
        },
        "local_dependence": {
            "threshold": THRESHOLD,
            "fewest_pairs": FEWEST_PAIRS,
            "mean_q3": _finite(pairs.mean_q3),
            "tested": pairs.n_tested,
            "untested": pairs.n_untested,
            "flagged": len(dependent),
        },
        "person_fit": {
            "threshold": IMPROBABLE_LZ,
            "fewest_responses": FEWEST_RESPONSES,
            "judged": int(is_judged.sum()),
            "flagged": int(is_improbable.sum()),
            "expected": round(float(is_judged.sum()) * IMPROBABLE_SHARE, 1),
        },
        "information": {
            "theta": THETA_GRID.tolist(),
            "information": information.round(6).tolist(),
            "bank_reliability": _finite(expected_reliability(a, b, c, *prior)),
            "marginal_reliability": _finite(marginal_reliability(theta, standard_error)),
        },
        "dif": differences.summary,
        "drift": drifts.summary,
        "scale_covariance": None if shared is None else shared.tolist(),
        "seconds": clock.seconds,
    }
    return Diagnosis(
        fit,
        pa.table(
            {
                "item_1": _texts(kept.item_ids[pairs.item_1[dependent]]),
                "item_2": _texts(kept.item_ids[pairs.item_2[dependent]]),
                "q3": pairs.q3[dependent],
                "n_pairs": pairs.n_pairs[dependent],
            }
        ),
        pa.table(
            {
                "user_id": _texts(kept.person_ids[is_improbable]),
                "lz_star": persons.statistic[is_improbable],
                "n_responses": persons.n_responses[is_improbable],
            }
        ),
        differences.table,
        drifts.table,
        summary,
    )


@dataclass
class _Clock:
    """Says what begins, and keeps what each part took."""

    said: Said
    seconds: dict[str, float] = field(default_factory=dict)
    _part: str = ""
    _since: float = 0.0

    def begin(self, part: str) -> None:
        self.end()
        self._part, self._since = part, time.perf_counter()
        self.said(f"  {part}")

    def end(self) -> None:
        if self._part:
            self.seconds[self._part] = round(time.perf_counter() - self._since, 3)


def _estimated(
    responses: ResponseMatrix, calibration: Calibration, settings: CalibrationSettings
) -> Floats:
    """Parameters that were estimated per item: what a test of fit loses degrees of freedom by."""
    free = {Model.RASCH: 2, Model.ONE_PL: 2, Model.TWO_PL: 2, Model.THREE_PL: 3}[settings.model]
    is_fixed = calibration.is_fixed[_order(responses, calibration)]
    return np.where(is_fixed, 0.0, float(free))


def _item_fit(
    responses: ResponseMatrix,
    parameters: tuple[Floats, Floats, Floats],
    theta: Floats,
    prior: tuple[float, float],
    n_estimated: Floats,
    settings: CalibrationSettings,
) -> pa.Table:
    threads = settings.threads
    squares = residual_fit(responses, *parameters, theta, threads=threads)
    by_score = s_x2(responses, *parameters, *prior, n_estimated=n_estimated, threads=threads)
    by_values = pv_q1(
        responses, *parameters, *prior, seed=SEED, n_estimated=n_estimated, threads=threads
    )
    counts = responses.item_counts()
    with np.errstate(invalid="ignore"):
        speaks = (by_score.reason == "") & (by_score.n >= FORM_SHARE * counts)
    method = np.where(speaks, "s_x2", np.where(by_values.reason == "", "pv_q1", ""))
    p = np.where(speaks, by_score.p, np.where(by_values.reason == "", by_values.p, np.nan))
    rmsea = np.where(speaks, by_score.rmsea, by_values.rmsea)
    q = benjamini_hochberg(p)
    with np.errstate(invalid="ignore"):
        is_large = (rmsea > MISFIT_RMSEA) | (
            np.maximum(squares.infit, squares.outfit) > MISFIT_MEAN_SQUARE
        )
        is_misfit = (q < SIGNIFICANT) & is_large
    return pa.table(
        {
            "item_id": _texts(responses.item_ids),
            "n_responses": counts,
            "infit": numbers(squares.infit),
            "infit_z": numbers(squares.z_infit),
            "outfit": numbers(squares.outfit),
            "outfit_z": numbers(squares.z_outfit),
            **_test("s_x2", by_score),
            **_test("pv_q1", by_values),
            "method": texts_or_null(method),
            "rmsea": numbers(rmsea),
            "q": numbers(q),
            "is_misfit": is_misfit,
        }
    )


def _test(name: str, found: ChiSquareFit) -> dict[str, pa.Array]:
    return {
        name: numbers(found.statistic),
        f"{name}_df": whole_numbers(found.df),
        f"{name}_p": numbers(found.p),
        f"{name}_reason": texts_or_null(found.reason),
    }


def _texts(values: npt.NDArray[np.object_]) -> pa.Array:
    return pa.array(values.tolist(), pa.string())


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
