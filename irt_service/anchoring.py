"""Puts a calibration on the scale of anchors: by holding them fixed, or by linking to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from irt_service.engines.base import CalibrationSettings, Engine, ItemParameters, Progress
from irt_service.errors import InsufficientDataError
from irt_service.fitting import Fit, fit
from irt_service.gates import Admission, Verdict
from irt_service.linking import FEWEST_COMMON, Method
from irt_service.scale import Scale, anchored_scale, link_to_items
from irt_service.settings import GateSettings

FIXED = "fixed"
LINKINGS = (FIXED, *(method.value for method in Method))

Anchors = Mapping[str, ItemParameters]
Listener = Callable[[Progress], None]
Said = Callable[[str], None]


def usable_anchors(admission: Admission, anchors: Anchors) -> dict[str, ItemParameters]:
    """The anchors whose responses the gates admit."""
    admitted = set(admission.responses.item_ids)
    return {item: one for item, one in anchors.items() if item in admitted}


def fit_on_anchors(
    admission: Admission,
    settings: CalibrationSettings,
    gates: GateSettings,
    engine: Engine,
    anchors: Anchors,
    linking: str = FIXED,
    progress: Listener | None = None,
    said: Said = lambda _: None,
) -> tuple[Fit, Scale | None]:
    """Calibrate admitted responses on the scale of anchors, those that drifted left out.

    Anchors are screened by linking a calibration in which they are free (see linking.link).
    With `fixed` those kept are then held at their values in a second calibration with a free
    latent mean and SD; any other method links the first one.

    Args:
        admission: of gates.admit; must be met.
        anchors: parameters on the standing scale; those without admitted responses are ignored.
        linking: one of LINKINGS.

    Returns:
        The judged calibration, on its own scale unless anchors are fixed, and how it relates
        to the standing scale; None when a gate is not met.
    """
    usable = usable_anchors(admission, anchors)
    if len(usable) < gates.min_anchors:
        found = f"{len(usable)} of {len(anchors)} anchors have enough responses, "
        return _refused(admission, found + f"{gates.min_anchors} needed")
    method = Method.STOCKING_LORD if linking == FIXED else Method(linking)
    free = replace(settings, fixed_items={}, free_latent=False)
    judged: Fit | None = None
    if linking == FIXED:
        said(f"calibration without fixed items, to screen {len(usable)} anchors:")
        plain = replace(free, standard_errors=False)
        estimate = engine.calibrate(admission.responses, plain, progress)
        if not estimate.is_converged:
            return _refused(admission, "they cannot be screened: no convergence without them")
    else:
        judged = fit(admission.responses, free, gates, engine, progress, admission)
        if judged.calibration is None or not judged.is_accepted:
            return judged, None
        estimate = judged.calibration
    try:
        scale = link_to_items(estimate, usable, method, FEWEST_COMMON)
    except InsufficientDataError as error:
        return _refused(admission, f"{error.what}: {error.where}", judged)
    kept = {item: usable[item] for item in scale.details["residuals"]}
    for item in scale.details["dropped"]:
        kept.pop(item, None)
    verdict = _verdict(len(usable), scale, len(kept), gates)
    if not verdict.is_met:
        return _refused(admission, verdict.found, judged)
    if judged is None:
        said(f"calibration with {len(kept)} fixed anchors:")
        fixed = replace(settings, fixed_items=kept, free_latent=True)
        judged = fit(admission.responses, fixed, gates, engine, progress, admission)
        scale = anchored_scale(scale)
    scale.details["n_anchors"] = len(usable)
    judged = replace(judged, verdicts=(*judged.verdicts, verdict))
    return judged, scale if judged.is_accepted else None


def _verdict(n_usable: int, scale: Scale, n_kept: int, gates: GateSettings) -> Verdict:
    dropped = scale.details["dropped"]
    found = f"{n_kept} of {n_usable} anchors kept, {gates.min_anchors} needed"
    if dropped:
        found += f"; drifted: {', '.join(dropped)}"
    return Verdict("anchors", n_kept >= gates.min_anchors, found)


def _refused(admission: Admission, found: str, judged: Fit | None = None) -> tuple[Fit, None]:
    judged = judged or Fit(admission, None, (), admission.verdicts, 0)
    verdict = Verdict("anchors", is_met=False, found=found)
    return replace(judged, verdicts=(*judged.verdicts, verdict)), None
