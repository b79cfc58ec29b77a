"""Calibrates what a request brings, without the warehouse: for clients with data of their own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from irt_service.api.bodies import parse
from irt_service.api.errors import ApiError
from irt_service.api.requests import (
    CALIBRATE_MATRIX,
    CALIBRATE_OBSERVATIONS,
    Anchor,
    CalibrateMatrix,
    CalibrateObservations,
)
from irt_service.engines.base import (
    Calibration,
    CalibrationSettings,
    Exclusion,
    ItemParameters,
    LogNormalPrior,
    Model,
)
from irt_service.engines.native import NativeEngine
from irt_service.errors import InsufficientDataError
from irt_service.gates import admit
from irt_service.linking import Curves, link
from irt_service.responses import ResponseMatrix
from irt_service.scale import Scale, rescale
from irt_service.scoring import eap
from irt_service.settings import GateSettings

# The client decides what is enough; only what carries no information is set aside.
_GATES = GateSettings(
    min_responses_per_item=2, min_responses_per_student=1, discrimination_range=(0.01, 20.0),
    max_difficulty=20.0,
)  # fmt: skip
_FEWEST_ANCHORS = 2

Request = CalibrateObservations | CalibrateMatrix


@dataclass(frozen=True)
class _Fitted:
    """A calibration on the scale that the request wants.

    Attributes:
        linking: A, B and the number of anchors used; None where no anchor set the scale.
    """

    calibration: Calibration
    linking: dict[str, float | int] | None
    warnings: tuple[str, ...]


def parse_request(body: bytes) -> Request:
    """The request in whichever shape it came.

    Raises:
        ApiError: 400, 422.
    """
    if b'"observations"' in body:
        return parse(CALIBRATE_OBSERVATIONS, body)
    return parse(CALIBRATE_MATRIX, body)


def calibrate(request: Request, run_id: str) -> dict[str, object]:
    """Calibrate and score; the answer to the client.

    Raises:
        ApiError: 422 when the estimation does not converge.
        IrtServiceError: the responses are contradictory or identify no model.
    """
    responses = _responses(request)
    admission = admit(responses, _GATES)
    if not admission.is_met:
        raise InsufficientDataError(
            "too little to calibrate",
            "; ".join(one.found for one in admission.verdicts if not one.is_met),
            "items need correct and incorrect answers, of students who answered several",
        )
    anchors = _anchors(request.anchors or (), set(admission.responses.item_ids))
    fitted = _fit(admission.responses, _model(request.model), anchors, bool(request.anchors))
    calibration = fitted.calibration
    return {
        "status": "ok",
        "fit_meta": {
            "run_id": run_id,
            "model_spec": {
                "model": _model(request.model).value,
                "n_persons": responses.n_persons,
                "n_items": len(calibration.item_ids),
            },
            "linking_constants": fitted.linking,
            "log_likelihood": _finite(calibration.log_likelihood),
            "iterations": calibration.iterations,
            "prior": {"mean": calibration.prior_mean, "sd": calibration.prior_sd},
            "excluded_items": [
                {"item_id": one.item_id, "reason": one.reason}
                for one in _all_excluded(admission.excluded, calibration.excluded)
            ],
            "warnings": [*fitted.warnings, *calibration.warnings],
        },
        "item_params": [
            {"item_id": item, "params": {"a": a, "b": b, "c": c}}
            for item, a, b, c in zip(
                calibration.item_ids,
                calibration.discrimination.tolist(),
                calibration.difficulty.tolist(),
                calibration.guessing.tolist(),
                strict=True,
            )
        ],
        "abilities": _abilities(
            responses, calibration, is_named=isinstance(request, CalibrateObservations)
        ),
    }


def _model(name: str | None) -> Model:
    return next(one for one in Model if one.value.casefold() == (name or "2PL").casefold())


def _responses(request: Request) -> ResponseMatrix:
    if isinstance(request, CalibrateObservations):
        given = [one for one in request.observations if one.is_correct is not None]
        return ResponseMatrix.from_long(
            [one.user_id for one in given],
            [one.item_id for one in given],
            [bool(one.is_correct) for one in given],
        )
    widths = {len(row) for row in request.responses}
    if len(widths) > 1:
        raise ApiError(
            422,
            "invalid_request",
            f"the rows of responses hold {min(widths)} to {max(widths)} answers: "
            "write null for a question that was not answered",
        )
    table = np.array(request.responses, dtype=np.float64)
    return ResponseMatrix.from_dense(table, [f"I{number + 1}" for number in range(table.shape[1])])


def _anchors(anchors: Sequence[Anchor], present: set[str]) -> dict[str, Anchor]:
    by_item = {one.item_id: one for one in anchors}
    if len(by_item) < len(anchors):
        raise ApiError(422, "invalid_request", "anchors name the same item twice")
    return {item: one for item, one in by_item.items() if item in present}


def _fit(
    responses: ResponseMatrix, model: Model, anchors: dict[str, Anchor], are_wanted: bool
) -> _Fitted:
    """Hold fixed anchors, or link through the others; without enough of them, N(0, 1)."""
    fixed = {
        item: ItemParameters(one.params.a, one.params.b, one.params.c or 0.0)
        for item, one in anchors.items()
        if one.fixed
    }
    settings = CalibrationSettings(model=model, standard_errors=False)
    # With every item fixed there is nothing to estimate; the link then shows how they have moved.
    if _FEWEST_ANCHORS <= len(fixed) < responses.n_items:
        settings = replace(settings, fixed_items=fixed, free_latent=True)
        calibration, warnings = _estimate(responses, settings)
        # The population in the anchors' metric: theta* = A theta + B of a standard normal theta.
        linking = {
            "A": calibration.prior_sd,
            "B": calibration.prior_mean,
            "n_anchors_used": int(calibration.is_fixed.sum()),
        }
        return _Fitted(calibration, linking, warnings)
    calibration, warnings = _estimate(responses, settings)
    common = [item for item in calibration.item_ids if item in anchors]
    if len(common) < _FEWEST_ANCHORS:
        if are_wanted:
            warnings += (
                f"{len(common)} anchors have answers and {_FEWEST_ANCHORS} are needed: "
                "theta is on a scale of its own, mean 0 and SD 1",
            )
        return _Fitted(calibration, None, warnings)
    place = {item: position for position, item in enumerate(calibration.item_ids)}
    chosen = np.array([place[item] for item in common])
    found = link(
        Curves(
            calibration.discrimination[chosen],
            calibration.difficulty[chosen],
            calibration.guessing[chosen],
        ),
        Curves(
            np.array([anchors[item].params.a for item in common]),
            np.array([anchors[item].params.b for item in common]),
            np.array([anchors[item].params.c or 0.0 for item in common]),
        ),
        fewest_kept=_FEWEST_ANCHORS,
        has_unit_slope=model is Model.RASCH,
    )
    dropped = [item for item, is_kept in zip(common, found.kept, strict=True) if not is_kept]
    if dropped:
        warnings += (f"{len(dropped)} anchors have drifted and were left out of the link",)
    scale = Scale(found.slope, found.shift, found.method.value, {})
    linking = {"A": found.slope, "B": found.shift, "n_anchors_used": int(found.kept.sum())}
    return _Fitted(rescale(calibration, scale), linking, warnings)


def _estimate(
    responses: ResponseMatrix, settings: CalibrationSettings
) -> tuple[Calibration, tuple[str, ...]]:
    """Maximum likelihood; where few answers leave that without a maximum, with a weak prior."""
    engine = NativeEngine()
    calibration: Calibration | None = None
    with suppress(InsufficientDataError):
        calibration = engine.calibrate(responses, settings)
        if calibration.is_converged and _is_plausible(calibration):
            return calibration, ()
    if settings.model is not Model.RASCH:
        calibration = engine.calibrate(
            responses, replace(settings, discrimination_prior=LogNormalPrior())
        )
        if calibration.is_converged:
            return calibration, (
                "the answers alone determine no plausible parameters: estimated with a "
                "log-normal(0, 0.5) prior on a; give more answers",
            )
    raise ApiError(
        422,
        "not_converged",
        "the estimation found no maximum: give more answers, or a model with fewer parameters",
    )


def _is_plausible(calibration: Calibration) -> bool:
    if calibration.excluded:
        return False
    low, high = _GATES.discrimination_range
    free = ~calibration.is_fixed
    a, b = calibration.discrimination[free], calibration.difficulty[free]
    return bool(((a >= low) & (a <= high) & (np.abs(b) <= _GATES.max_difficulty)).all())


def _all_excluded(*groups: Sequence[Exclusion]) -> list[Exclusion]:
    return sorted((one for group in groups for one in group), key=lambda one: one.item_id)


def _abilities(
    responses: ResponseMatrix, calibration: Calibration, *, is_named: bool
) -> list[dict[str, object]]:
    """Everybody's EAP, in the order of the rows; of who answered nothing usable the prior."""
    place = {item: position for position, item in enumerate(calibration.item_ids)}
    kept = responses.select(np.array([item in place for item in responses.item_ids]), 0)
    order = np.array([place[item] for item in kept.item_ids], np.int64)
    theta, standard_error = eap(
        calibration.discrimination[order],
        calibration.difficulty[order],
        calibration.guessing[order],
        kept.indptr,
        kept.items,
        kept.correct,
        calibration.prior_mean,
        calibration.prior_sd,
        threads=0,
    )
    values = zip(kept.person_ids, theta.tolist(), standard_error.tolist(), strict=True)
    return [
        {**({"user_id": person} if is_named else {}), "theta": one, "se": se}
        for person, one, se in values
    ]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
