"""What a calibration of the warehouse was given and came to, and how it goes on record."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from sqlalchemy.engine import Connection

from irt_service.diagnose import Diagnosis
from irt_service.engines.base import Calibration, Exclusion, ItemParameters
from irt_service.fitting import Fit
from irt_service.gates import as_json
from irt_service.responses import ResponseMatrix
from irt_service.scale import Scale
from irt_service.store import diagnostics as findings
from irt_service.store import runs


@dataclass(frozen=True)
class Input:
    """What a calibration works on, before it is fitted."""

    run: runs.RunStart
    responses: ResponseMatrix
    unanswered: tuple[str, ...]
    anchors: Mapping[str, ItemParameters]
    ignored_anchors: tuple[str, ...]
    standing: str | None


@dataclass(frozen=True)
class Result:
    """A calibration, stored or not.

    Attributes:
        equal_run: an accepted run of the same responses and settings, if nothing was fitted.
        reasons: why it was rejected; empty when accepted.
    """

    run: runs.RunStart
    fit: Fit | None = None
    calibration: Calibration | None = None
    scale: Scale | None = None
    diagnosis: Diagnosis | None = None
    excluded: tuple[Exclusion, ...] = ()
    reasons: tuple[str, ...] = ()
    equal_run: str | None = None

    @property
    def is_accepted(self) -> bool:
        """Whether the run may come into force."""
        return not self.reasons


def write(connection: Connection, result: Result, given: Input) -> None:
    """Write a judged run with everything that belongs to it."""
    judged, fitted = result.fit, result.calibration
    run_id = given.run.run_id
    attempt = fitted if fitted is not None else judged.calibration if judged else None
    if fitted is not None:
        runs.write_items(connection, run_id, given.run.model, fitted)
    if result.diagnosis is not None:
        findings.write_diagnosis(connection, run_id, result.diagnosis)
    runs.write_exclusions(connection, run_id, result.excluded)
    end = runs.RunEnd(
        "accepted" if result.is_accepted else "rejected",
        result.reasons,
        metrics=_metrics(result, attempt, given),
        model_spec={"model": given.run.model},
        linking=None if result.scale is None else result.scale.as_json(),
    )
    if attempt is not None:
        end = _with_numbers(end, attempt)
    runs.end_run(connection, run_id, end)


def _with_numbers(end: runs.RunEnd, attempt: Calibration) -> runs.RunEnd:
    """Add what only a run that was fitted has."""
    counts = {"n_persons": attempt.n_persons, "n_items": len(attempt.item_ids)}
    return replace(
        end,
        model_spec={**end.model_spec, **counts},
        n_persons=attempt.n_persons,
        n_items=len(attempt.item_ids),
        n_responses=attempt.n_observations,
        log_likelihood=_finite(attempt.log_likelihood),
        is_converged=bool(attempt.is_converged),
        iterations=attempt.iterations,
        prior_mean=attempt.prior_mean,
        prior_sd=attempt.prior_sd,
    )


def _metrics(result: Result, attempt: Calibration | None, given: Input) -> dict[str, object]:
    judged = result.fit
    metrics: dict[str, object] = {
        "responses_read": given.responses.n_responses,
        "students_read": given.responses.n_persons,
        "items_read": given.responses.n_items,
        "ignored_anchors": list(given.ignored_anchors),
    }
    if judged is not None:
        metrics |= {
            "gates": as_json(judged.verdicts),
            "rounds": judged.rounds,
            "students_left_out": judged.admission.students_left_out,
        }
    if attempt is not None:
        metrics |= {
            "log_likelihood_path": [_finite(value) for value in attempt.log_likelihood_path],
            "log_prior": _finite(attempt.log_prior),
            "largest_change": _finite(attempt.largest_change),
            "standard_errors": attempt.information,
            "engine_version": attempt.engine_version,
            "warnings": list(attempt.warnings),
            "fixed_items": int(attempt.is_fixed.sum()),
            "seconds_in_engine": round(attempt.wall_seconds, 3),
        }
    if result.diagnosis is not None:
        metrics["diagnostics"] = result.diagnosis.summary
    return metrics


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
