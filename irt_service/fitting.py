"""From responses to a judged calibration: gates, engine, implausible items, gates again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from irt_service.engines.base import (
    Calibration,
    CalibrationSettings,
    Engine,
    Exclusion,
    Progress,
)
from irt_service.gates import Admission, Verdict, admit, judge, verdicts_after
from irt_service.responses import ResponseMatrix
from irt_service.settings import GateSettings

MOST_ROUNDS = 5


@dataclass(frozen=True)
class Fit:
    """A judged calibration.

    Attributes:
        admission: what was admitted, and the verdicts beforehand.
        calibration: None when the gates beforehand refused the responses.
        set_aside: items that were admitted and then turned out implausible, in every round.
        verdicts: of all gates, before and after.
        rounds: how often the engine ran.
    """

    admission: Admission
    calibration: Calibration | None
    set_aside: tuple[Exclusion, ...]
    verdicts: tuple[Verdict, ...]
    rounds: int

    @property
    def is_accepted(self) -> bool:
        """Whether every gate is met."""
        return self.calibration is not None and all(one.is_met for one in self.verdicts)

    @property
    def excluded(self) -> tuple[Exclusion, ...]:
        """Every item without an estimate, with its reason, by item id."""
        by_engine = self.calibration.excluded if self.calibration else ()
        everything = (*self.admission.excluded, *self.set_aside, *by_engine)
        return tuple(sorted(everything, key=lambda one: one.item_id))


def fit(
    responses: ResponseMatrix,
    settings: CalibrationSettings,
    gates: GateSettings,
    engine: Engine,
    progress: Callable[[Progress], None] | None = None,
    admission: Admission | None = None,
) -> Fit:
    """Calibrate what the gates admit; set implausible items aside and calibrate the rest again.

    Args:
        admission: what the gates admit, if somebody has asked them already.

    Raises:
        InsufficientDataError: the admitted responses do not identify the model.
    """
    admission = admission or admit(responses, gates)
    if not admission.is_met:
        return Fit(admission, None, (), admission.verdicts, 0)
    admitted = admission.responses
    set_aside: tuple[Exclusion, ...] = ()
    for rounds in range(1, MOST_ROUNDS + 1):
        calibration = engine.calibrate(admitted, settings, progress)
        implausible = judge(calibration, gates)
        if not implausible or not calibration.is_converged or rounds == MOST_ROUNDS:
            break
        set_aside += implausible
        dropped = {one.item_id for one in (*implausible, *calibration.excluded)}
        set_aside += calibration.excluded
        keep = np.array([item not in dropped for item in admitted.item_ids], np.bool_)
        admitted = admitted.select(keep, gates.min_responses_per_student)
    verdicts = verdicts_after(calibration, set_aside, admission.responses.n_items, gates)
    return Fit(admission, calibration, set_aside, (*admission.verdicts, *verdicts), rounds)
