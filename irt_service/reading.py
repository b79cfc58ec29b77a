"""Reads responses and anchors from CSV and Parquet files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from irt_service.engines.base import ItemParameters
from irt_service.errors import InvalidInputError
from irt_service.options import NotAnswered
from irt_service.responses import ResponseMatrix

RESPONSE_COLUMNS = ("student_id", "item_id", "is_correct")
ANCHOR_COLUMNS = ("item_id", "discrimination", "difficulty")


@dataclass(frozen=True)
class FileResponses:
    """Responses of a file.

    Attributes:
        not_answered: rows without a grade, that is questions shown and not answered.
    """

    matrix: ResponseMatrix
    not_answered: int


def read_responses(path: Path, not_answered: NotAnswered = NotAnswered.MISSING) -> FileResponses:
    """Read and validate a file of responses, one row each.

    Args:
        path: CSV (plain or .gz) or Parquet with the RESPONSE_COLUMNS.
        not_answered: what a row with an empty is_correct counts as.

    Raises:
        InvalidInputError: as ResponseMatrix.from_long, or the file cannot be read.
    """
    table = _read_table(path, RESPONSE_COLUMNS)
    is_empty = _is_empty(table["is_correct"])
    count = int(pc.sum(is_empty).as_py() or 0)
    filled = _graded_wrong(table, is_empty) if count else table
    if not count or not_answered is NotAnswered.WRONG:
        return FileResponses(_matrix(filled, path), count)
    try:
        return FileResponses(_matrix(table.filter(pc.invert(is_empty)), path), count)
    except InvalidInputError:
        # The whole table has the same fault, and there its row has the file's number.
        _matrix(filled, path)
        raise


def _matrix(table: pa.Table, path: Path) -> ResponseMatrix:
    try:
        return ResponseMatrix.from_long(*(table[name] for name in RESPONSE_COLUMNS))
    except InvalidInputError as error:
        where = f"{path.name}, {error.where}" if error.where else path.name
        raise InvalidInputError(error.what, where, error.remedy) from error


def _is_empty(grades: pa.ChunkedArray) -> pa.ChunkedArray:
    """Whether a cell holds no grade; an empty text is one because of some other row."""
    is_null = pc.is_null(grades)
    if pa.types.is_string(grades.type) or pa.types.is_large_string(grades.type):
        return pc.or_(is_null, pc.equal(pc.fill_null(grades, ""), ""))
    return is_null


def _graded_wrong(table: pa.Table, is_empty: pa.ChunkedArray) -> pa.Table:
    grades = table["is_correct"]
    if pa.types.is_null(grades.type):
        grades = grades.cast(pa.int8())
    wrong = "0" if pa.types.is_string(grades.type) else 0
    filled = pc.if_else(is_empty, pa.scalar(wrong).cast(grades.type), grades)
    return table.set_column(table.column_names.index("is_correct"), "is_correct", filled)


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
