"""Calibration from files to files, without a database."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pa_csv

from irt_service import reading
from irt_service.anchoring import FIXED, fit_on_anchors
from irt_service.diagnose import Diagnosis, calibrated_only, diagnose, score
from irt_service.engines.base import (
    Calibration,
    CalibrationSettings,
    Engine,
    ItemParameters,
    Progress,
)
from irt_service.errors import InvalidInputError
from irt_service.fitting import Fit, fit
from irt_service.gates import admit, as_json, unmet
from irt_service.options import NotAnswered
from irt_service.provenance import (
    describe_anchors,
    describe_engine_settings,
    fingerprint,
    versions,
)
from irt_service.responses import ResponseMatrix
from irt_service.scale import Scale, own_scale, rescale
from irt_service.settings import GateSettings

Floats = npt.NDArray[np.float64]

ITEM_FILE = "item_parameters.csv"
ABILITY_FILE = "abilities.csv"
FIT_FILE = "item_fit.csv"
RUN_FILE = "run.json"
HASHED_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class FileRun:
    """What `calibrate_files` did.

    Attributes:
        fit: the judged calibration, on the scale of the anchors if there are any.
        scale: how the scale was found; None when the run is rejected.
        reasons: why the run is rejected; empty when it is accepted.
        written: the files in the output folder.
        n_students: students with an ability.
        report: the content of run.json.
    """

    fit: Fit
    scale: Scale | None
    diagnosis: Diagnosis | None
    reasons: tuple[str, ...]
    written: tuple[Path, ...]
    n_students: int
    report: dict[str, Any]

    @property
    def is_accepted(self) -> bool:
        """Whether parameters and abilities were written."""
        return not self.reasons


@dataclass(frozen=True)
class FileRequest:
    """What to calibrate, and how.

    Attributes:
        anchors: parameters that fix the scale; empty for a scale of the run's own.
        linking: how anchors fix it, one of anchoring.LINKINGS.
        not_answered: what a row without a grade counts as.
        has_diagnostics: compute item fit and the rest.
    """

    settings: CalibrationSettings
    gates: GateSettings
    anchors: Mapping[str, ItemParameters] = field(default_factory=dict)
    linking: str = FIXED
    not_answered: NotAnswered = NotAnswered.MISSING
    has_diagnostics: bool = True

    def __post_init__(self) -> None:
        """Refuse impossible anchors before anything is read or written."""
        replace(self.settings, fixed_items=self.anchors)


def calibrate_files(
    responses_file: Path,
    out: Path,
    request: FileRequest,
    engine: Engine,
    progress: Callable[[Progress], None] | None = None,
    said: Callable[[str], None] = lambda _: None,
) -> FileRun:
    """Calibrate a file of responses and score its students.

    An accepted run writes item_parameters.csv, item_fit.csv, abilities.csv and run.json; a
    rejected one writes run.json alone, with its reasons, and removes the tables of an earlier
    run from the folder.

    Args:
        responses_file: CSV (plain or .gz) or Parquet with student_id, item_id, is_correct.
        out: folder for the results; made if it is absent.
        request: settings, gates, anchors.
        engine: from engines.engine_named.
        progress: called after each EM cycle.
        said: told what begins.

    Raises:
        InvalidInputError: the file is absent, empty, not readable or holds impossible rows.
        InsufficientDataError: the responses do not identify the model.
    """
    started = time.perf_counter()
    given = reading.read_responses(responses_file, request.not_answered)
    responses = given.matrix
    said(
        f"{responses.n_responses:,} responses of {responses.n_persons:,} students to "
        f"{responses.n_items:,} items"
    )
    _make_folder(out)
    judged, scale = _fit(responses, request, engine, progress, said)
    reasons = tuple(unmet(judged.verdicts))
    calibration = None
    if judged.calibration is not None and scale is not None and not reasons:
        calibration = rescale(judged.calibration, scale)
        judged = replace(judged, calibration=calibration)
    diagnosis = None
    if calibration is not None and request.has_diagnostics:
        diagnosis = diagnose(
            judged.admission.responses, calibration, request.settings, request.gates, said=said
        )
    tables: dict[str, pa.Table] = {}
    if calibration is not None:
        tables[ITEM_FILE] = _items(calibration)
        tables[ABILITY_FILE] = _abilities(responses, calibration, request.settings)
    if diagnosis is not None:
        tables[FIT_FILE] = diagnosis.item_fit
    report = _report(responses_file, given, request, judged, reasons)
    report["linking"] = None if scale is None else scale.as_json()
    report["diagnostics"] = None if diagnosis is None else diagnosis.as_json()
    n_students = tables[ABILITY_FILE].num_rows if ABILITY_FILE in tables else 0
    report["students"]["with_ability"] = n_students
    report["seconds_in_all"] = round(time.perf_counter() - started, 3)
    written = _write(out, tables, report)
    return FileRun(judged, scale, diagnosis, reasons, written, n_students, report)


def _fit(
    responses: ResponseMatrix,
    request: FileRequest,
    engine: Engine,
    progress: Callable[[Progress], None] | None,
    said: Callable[[str], None],
) -> tuple[Fit, Scale | None]:
    admission = admit(responses, request.gates)
    if request.anchors and admission.is_met:
        return fit_on_anchors(
            admission,
            request.settings,
            request.gates,
            engine,
            request.anchors,
            request.linking,
            progress,
            said,
        )
    judged = fit(responses, request.settings, request.gates, engine, progress, admission)
    return judged, own_scale() if judged.is_accepted else None


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise InvalidInputError(
            "the folder for the results cannot be written to",
            f"{out}: {error.strerror}",
            "give another --out",
        ) from error


def _write(out: Path, tables: Mapping[str, pa.Table], report: dict[str, Any]) -> tuple[Path, ...]:
    """Write everything aside first, so that a run that is killed leaves no half of a result."""
    written = []
    with tempfile.TemporaryDirectory(dir=out, prefix=".writing-") as scratch:
        folder = Path(scratch)
        for name, table in tables.items():
            pa_csv.write_csv(table, folder / name, pa_csv.WriteOptions(quoting_style="needed"))
        text = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False)
        (folder / RUN_FILE).write_text(text + "\n", encoding="utf-8")
        for name in (ITEM_FILE, ABILITY_FILE, FIT_FILE, RUN_FILE):
            if (folder / name).exists():
                shutil.move(folder / name, out / name)
                written.append(out / name)
            else:
                (out / name).unlink(missing_ok=True)
    return tuple(written)


def _numbers(values: Floats) -> pa.Array:
    """Floats with NaN as missing, which CSV writes as an empty cell."""
    return pa.array(values, from_pandas=True)


def _items(calibration: Calibration) -> pa.Table:
    return pa.table(
        {
            "item_id": pa.array(calibration.item_ids, pa.string()),
            "discrimination": _numbers(calibration.discrimination),
            "difficulty": _numbers(calibration.difficulty),
            "guessing": _numbers(calibration.guessing),
            "se_discrimination": _numbers(calibration.se_discrimination),
            "se_difficulty": _numbers(calibration.se_difficulty),
            "se_guessing": _numbers(calibration.se_guessing),
            "n_responses": pa.array(calibration.n_responses),
            "is_fixed": pa.array(calibration.is_fixed.astype(np.int8)),
            "flags": pa.array([" ".join(flags) for flags in calibration.flags]),
        }
    )


def _abilities(
    responses: ResponseMatrix, calibration: Calibration, settings: CalibrationSettings
) -> pa.Table:
    """Score every student who answered a calibrated item."""
    scored = calibrated_only(responses, calibration)
    theta, standard_error = score(scored, calibration, settings)
    return pa.table(
        {
            "student_id": pa.array(scored.person_ids, pa.string()),
            "theta": pa.array(theta),
            "standard_error": pa.array(standard_error),
        }
    )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(HASHED_AT_ONCE):
            digest.update(chunk)
    return digest.hexdigest()


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _report(
    path: Path,
    given: reading.FileResponses,
    request: FileRequest,
    judged: Fit,
    reasons: tuple[str, ...],
) -> dict[str, Any]:
    """The content of run.json."""
    responses, calibration = given.matrix, judged.calibration
    report: dict[str, Any] = {
        "status": "rejected" if reasons else "accepted",
        "reasons": list(reasons),
        "model": request.settings.model.value,
        "log_likelihood": None,
        "converged": False,
        "iterations": 0,
        "input": {
            "file": path.name,
            "sha256": _sha256(path),
            "fingerprint": fingerprint(responses),
            "responses": responses.n_responses,
            "not_answered": given.not_answered,
        },
        "students": {
            "read": responses.n_persons,
            "left_out": judged.admission.students_left_out,
        },
        "items": {"read": responses.n_items, "excluded": len(judged.excluded)},
        "excluded": [asdict(one) for one in judged.excluded],
        "gates": as_json(judged.verdicts),
        "settings": {
            **describe_engine_settings(request.settings),
            "gates": asdict(request.gates),
            "anchors": describe_anchors(request.anchors),
            "linking": request.linking if request.anchors else None,
            "not_answered": request.not_answered.value,
        },
        "versions": versions(),
    }
    if calibration is not None:
        report |= {
            "log_likelihood": _finite(calibration.log_likelihood),
            "log_prior": _finite(calibration.log_prior),
            "converged": bool(calibration.is_converged),
            "iterations": calibration.iterations,
            "largest_change": _finite(calibration.largest_change),
            "log_likelihood_path": [_finite(value) for value in calibration.log_likelihood_path],
            "prior": {"mean": calibration.prior_mean, "sd": calibration.prior_sd},
            "standard_errors": calibration.information,
            "warnings": list(calibration.warnings),
            "rounds": judged.rounds,
            "engine": calibration.engine,
            "engine_version": calibration.engine_version,
            "seconds": round(calibration.wall_seconds, 3),
        }
        report["items"]["calibrated"] = len(calibration.item_ids)
        report["items"]["fixed"] = int(calibration.is_fixed.sum())
        report["students"]["calibrated"] = calibration.n_persons
    return report
