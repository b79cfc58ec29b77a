"""Calibration from files to files, without a database."""

from __future__ import annotations

import hashlib
import json
import math
import platform
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from irt_service.engines.base import (
    Calibration,
    CalibrationSettings,
    Engine,
    ItemParameters,
    Progress,
)
from irt_service.errors import InvalidInputError
from irt_service.fitting import Fit, fit
from irt_service.gates import as_json, unmet
from irt_service.quadrature import normal_grid
from irt_service.responses import ResponseMatrix
from irt_service.scoring import eap
from irt_service.settings import GateSettings

Floats = npt.NDArray[np.float64]

RESPONSE_COLUMNS = ("student_id", "item_id", "is_correct")
ANCHOR_COLUMNS = ("item_id", "discrimination", "difficulty")
ITEM_FILE = "item_parameters.csv"
ABILITY_FILE = "abilities.csv"
RUN_FILE = "run.json"
HASHED_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class FileRun:
    """What `calibrate_files` did.

    Attributes:
        fit: the judged calibration.
        reasons: why the run is rejected; empty when it is accepted.
        written: the files in the output folder.
        n_students: students with an ability.
        report: the content of run.json.
    """

    fit: Fit
    reasons: tuple[str, ...]
    written: tuple[Path, ...]
    n_students: int
    report: dict[str, Any]

    @property
    def is_accepted(self) -> bool:
        """Whether parameters and abilities were written."""
        return not self.reasons


def calibrate_files(
    responses_file: Path,
    out: Path,
    *,
    settings: CalibrationSettings,
    gates: GateSettings,
    engine: Engine,
    progress: Callable[[Progress], None] | None = None,
) -> FileRun:
    """Calibrate a file of responses and score its students.

    Anchors go into `settings.fixed_items` (see `read_anchors`). An accepted run writes
    item_parameters.csv, abilities.csv and run.json; a rejected one writes run.json alone, with
    its reasons, and removes parameters and abilities of an earlier run from the folder.

    Args:
        responses_file: CSV (plain or .gz) or Parquet with student_id, item_id, is_correct.
        out: folder for the results; made if it is absent.
        settings: model, tolerance, anchors, threads.
        gates: what input and result must meet.
        engine: from engines.engine_named.
        progress: called after each EM cycle.

    Raises:
        InvalidInputError: the file is absent, empty, not readable or holds impossible rows.
        InsufficientDataError: the responses do not identify the model.
    """
    responses = read_responses(responses_file)
    judged = fit(responses, settings, gates, engine, progress)
    reasons = tuple(unmet(judged.verdicts))
    report = _report(responses_file, responses, settings, judged, reasons)
    out.mkdir(parents=True, exist_ok=True)
    names = (ITEM_FILE, ABILITY_FILE, RUN_FILE)
    n_students = 0
    with tempfile.TemporaryDirectory(dir=out, prefix=".writing-") as scratch:
        folder = Path(scratch)
        if judged.calibration is not None and not reasons:
            _write_items(judged.calibration, folder / ITEM_FILE)
            n_students = _write_abilities(
                responses, judged.calibration, settings, folder / ABILITY_FILE
            )
        report["students"]["with_ability"] = n_students
        text = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False)
        (folder / RUN_FILE).write_text(text + "\n", encoding="utf-8")
        written = []
        for name in names:
            if (folder / name).exists():
                shutil.move(folder / name, out / name)
                written.append(out / name)
            else:
                (out / name).unlink(missing_ok=True)
    return FileRun(judged, reasons, tuple(written), n_students, report)


def read_responses(path: Path) -> ResponseMatrix:
    """Read and validate a file of responses, one row each.

    Raises:
        InvalidInputError: as ResponseMatrix.from_long, or the file cannot be read.
    """
    table = _read_table(path, RESPONSE_COLUMNS)
    try:
        return ResponseMatrix.from_long(*(table[name] for name in RESPONSE_COLUMNS))
    except InvalidInputError as error:
        where = f"{path.name}, {error.where}" if error.where else path.name
        raise InvalidInputError(error.what, where, error.remedy) from error


def read_anchors(path: Path) -> dict[str, ItemParameters]:
    """Read item_id, discrimination, difficulty and, if there, guessing of the anchors.

    The item_parameters.csv of an earlier run is such a file. Whether the values are possible
    is checked by CalibrationSettings.

    Raises:
        InvalidInputError: the file cannot be read, or names an item twice.
    """
    table = _read_table(path, ANCHOR_COLUMNS, ("guessing",))
    columns = {}
    for name in table.column_names[1:]:
        try:
            columns[name] = table[name].cast(pa.float64()).to_pylist()
        except pa.ArrowInvalid as error:
            raise InvalidInputError(
                "a number is needed", f"{path.name}, {name}: {error}"
            ) from error
    guessing = columns.get("guessing", [0.0] * table.num_rows)
    anchors: dict[str, ItemParameters] = {}
    rows = zip(
        table["item_id"].to_pylist(),
        columns["discrimination"],
        columns["difficulty"],
        guessing,
        strict=True,
    )
    for item, a, b, c in rows:
        if not item or a is None or b is None:
            raise InvalidInputError(
                "an anchor is incomplete",
                f"{path.name}: {item or '(no id)'}",
                "give item_id, discrimination and difficulty, or leave the row out",
            )
        if item in anchors:
            raise InvalidInputError("an anchor is named twice", f"{path.name}: {item}")
        anchors[str(item)] = ItemParameters(a, b, c or 0.0)
    if not anchors:
        raise InvalidInputError("there are no anchors", path.name, "give one row per anchor")
    return anchors


def _read_table(path: Path, needed: tuple[str, ...], optional: tuple[str, ...] = ()) -> pa.Table:
    """Columns of a CSV or Parquet file; ids stay text."""
    if not path.is_file():
        raise InvalidInputError("no such file", str(path), "give a CSV or Parquet file")
    if path.stat().st_size == 0:
        raise InvalidInputError(
            "the file is empty", str(path), "its first line names " + ", ".join(needed)
        )
    try:
        if path.suffix.lower() in {".parquet", ".pq"}:
            table = pa_parquet.read_table(path)
        else:
            texts = {name: pa.string() for name in needed if name.endswith("_id")}
            table = pa_csv.read_csv(path, convert_options=pa_csv.ConvertOptions(column_types=texts))
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        raise InvalidInputError(
            "the file cannot be read", f"{path.name}: {error}", "give UTF-8 CSV or Parquet"
        ) from error
    missing = [name for name in needed if name not in table.column_names]
    if missing:
        raise InvalidInputError(
            "columns are missing: " + ", ".join(missing),
            f"{path.name} has {', '.join(table.column_names) or 'none'}",
            "name them in the first line",
        )
    return table.select([*needed, *(name for name in optional if name in table.column_names)])


def _numbers(values: Floats) -> pa.Array:
    """Floats with NaN as missing, which CSV writes as an empty cell."""
    return pa.array(values, from_pandas=True)


def _write_items(calibration: Calibration, path: Path) -> None:
    table = pa.table(
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
    _write_csv(table, path)


def _write_abilities(
    responses: ResponseMatrix, calibration: Calibration, settings: CalibrationSettings, path: Path
) -> int:
    """Score every student who answered a calibrated item; returns how many."""
    scored = set(calibration.item_ids)
    keep = np.array([item in scored for item in responses.item_ids], np.bool_)
    kept = responses.select(keep)
    place = {item: j for j, item in enumerate(calibration.item_ids)}
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
        grid=normal_grid(settings.quadrature_nodes, settings.quadrature_range),
        threads=settings.threads,
    )
    table = pa.table(
        {
            "student_id": pa.array(kept.person_ids, pa.string()),
            "theta": pa.array(theta),
            "standard_error": pa.array(standard_error),
        }
    )
    _write_csv(table, path)
    return kept.n_persons


def _write_csv(table: pa.Table, path: Path) -> None:
    pa_csv.write_csv(table, path, pa_csv.WriteOptions(quoting_style="needed"))


def _fingerprint(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(HASHED_AT_ONCE):
            digest.update(chunk)
    return digest.hexdigest()


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _report(
    path: Path,
    responses: ResponseMatrix,
    settings: CalibrationSettings,
    judged: Fit,
    reasons: tuple[str, ...],
) -> dict[str, Any]:
    """The content of run.json."""
    calibration = judged.calibration
    report: dict[str, Any] = {
        "status": "rejected" if reasons else "accepted",
        "reasons": list(reasons),
        "model": settings.model.value,
        "log_likelihood": None,
        "converged": False,
        "iterations": 0,
        "input": {
            "file": path.name,
            "sha256": _fingerprint(path),
            "responses": responses.n_responses,
        },
        "students": {
            "read": responses.n_persons,
            "left_out": judged.admission.students_left_out,
        },
        "items": {"read": responses.n_items, "excluded": len(judged.excluded)},
        "excluded": [asdict(one) for one in judged.excluded],
        "gates": as_json(judged.verdicts),
        "settings": _settings(settings),
        "versions": {name: version(name) for name in ("numba", "numpy", "pyarrow", "scipy")}
        | {"python": platform.python_version()},
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


def _settings(settings: CalibrationSettings) -> dict[str, Any]:
    plain = asdict(settings)
    plain["model"] = settings.model.value
    plain["guessing_prior"] = repr(settings.guessing_prior)
    plain["discrimination_prior"] = (
        None if settings.discrimination_prior is None else repr(settings.discrimination_prior)
    )
    return plain
