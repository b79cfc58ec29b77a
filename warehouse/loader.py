"""Loads JSON lines into the exam application's tables: streaming, repeatable, nothing lost.

Each line is stored or rejected with a reason; a file is one transaction. Memory holds one line
at a time, the server one batch.
"""

import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TextIO

import psycopg
import psycopg.rows
from psycopg import errors
from sqlalchemy.engine import Engine

from warehouse import load_sql
from warehouse.errors import UsageError, WarehouseError
from warehouse.progress import Progress
from warehouse.tables import TABLES, Table

BATCH_LINES = 5_000
BATCH_BYTES = 32 * 1024 * 1024
# The server's own limit for one JSON value is 256 MB.
LINE_MAX_BYTES = 128 * 1024 * 1024
ANALYZE_FROM_ROWS = 1_000
_GZIP_MAGIC = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# What a single line can do wrong that no check foresees; anything else ends the load.
_LINE_ERRORS = (
    psycopg.DataError,
    psycopg.IntegrityError,
    errors.ProgramLimitExceeded,
    errors.StatementTooComplex,
)

_Row = dict[str, Any]
_Connection = psycopg.Connection[_Row]


class _Source(Protocol):
    def readline(self, size: int, /) -> bytes: ...


@dataclass
class LoadResult:
    """What became of a file's lines: `lines` is the sum of all other counts."""

    lines: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    superseded: int = 0
    rejected: int = 0
    blank: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    unknown_columns: set[str] = field(default_factory=set)
    seconds: float = 0.0

    @property
    def accepted(self) -> int:
        """Lines that are in the table now, or gave way to a later line of the same key."""
        return self.inserted + self.updated + self.unchanged + self.superseded


@dataclass
class _Batch:
    first: int
    last: int
    rejects: list[_Row]


def table_named(name: str) -> Table:
    """Return the table, or raise UsageError naming those there are."""
    try:
        return TABLES[name.removeprefix("exam.")]
    except KeyError:
        raise UsageError(f"no table {name!r} to load into; there are {', '.join(TABLES)}") from None


def load_file(engine: Engine, path: Path, table: Table, rejects_path: Path) -> LoadResult:
    """Load one file; what is rejected is written to `rejects_path`, which else does not exist.

    Raises WarehouseError when the file cannot be read or schema exam is missing; nothing of
    the file is then loaded.
    """
    result = LoadResult()
    progress = Progress(f"loading {path.name} into {table.qualified_name}", "lines")
    try:
        with (
            _open(path) as source,
            engine.connect() as connection,
            _Rejects(rejects_path) as rejects,
        ):
            driver: Any = connection.connection.driver_connection
            _require_table(driver, table)
            with driver.transaction():
                _load(driver, source, table, result, rejects, progress)
            if result.inserted + result.updated >= ANALYZE_FROM_ROWS:
                # What is built next is planned by these statistics.
                with driver.transaction():
                    driver.execute(f"analyze {table.qualified_name}")
    except (OSError, EOFError, zlib.error) as error:
        raise WarehouseError(
            f"cannot read {path} (after line {result.lines}): {error}; nothing of it was loaded"
        ) from error
    finally:
        progress.end()
    result.seconds = progress.seconds
    return result


def _load(
    connection: _Connection,
    source: _Source,
    table: Table,
    result: LoadResult,
    rejects: "_Rejects",
    progress: Progress,
) -> None:
    known = [column.name for column in table.columns]
    with connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        # Compiling these statements takes longer than running them.
        cursor.execute("set local jit = off")
        cursor.execute(load_sql.CREATE_STAGE)
        cursor.execute(load_sql.CREATE_CHECKED)
        lines = _lines(source)
        while True:
            cursor.execute("truncate stage_lines, stage_checked")
            batch = _stage(cursor, lines, result, progress)
            if batch is None:
                return
            batch.rejects += _store(cursor, table, batch.first, batch.last, result)
            cursor.execute(load_sql.UNKNOWN_COLUMNS, {"known": known})
            result.unknown_columns.update(row["name"] for row in cursor)
            cursor.execute(load_sql.REJECTS)
            batch.rejects += cursor.fetchall()
            for row in sorted(batch.rejects, key=lambda row: int(row["line_number"])):
                rejects.write(row)
                result.rejected += 1
                result.reasons[row["reason"]] = result.reasons.get(row["reason"], 0) + 1


def _stage(
    cursor: psycopg.Cursor[_Row],
    lines: Iterator[tuple[bytes, bool]],
    result: LoadResult,
    progress: Progress,
) -> _Batch | None:
    """Copy the next lines to the server; None when there are no more."""
    batch = _Batch(first=result.lines + 1, last=result.lines, rejects=[])
    size = 0
    with cursor.copy("copy stage_lines (line_number, line) from stdin") as copy:
        for content, is_whole in lines:
            result.lines += 1
            batch.last = result.lines
            size += len(content)
            reason = None
            text = ""
            if not is_whole:
                reason = "line_too_long"
            elif b"\0" in content:
                reason = "holds_nul"
            else:
                try:
                    text = content.decode()
                except UnicodeDecodeError:
                    reason = "not_utf8"
            if reason is not None:
                batch.rejects.append(_reject(result.lines, reason, content))
            elif not text or text.isspace():
                result.blank += 1
            else:
                copy.write_row((result.lines, text))
            progress.at(result.lines)
            if batch.last - batch.first + 1 >= BATCH_LINES or size >= BATCH_BYTES:
                break
    return batch if batch.last >= batch.first else None


def _store(
    cursor: psycopg.Cursor[_Row], table: Table, first: int, last: int, result: LoadResult
) -> list[_Row]:
    """Check and store the staged lines; return those that the server refused unforeseen.

    A statement fails as a whole, so a range that fails is halved until the line is found.
    """
    span = {"first": first, "last": last}
    try:
        with cursor.connection.transaction():
            cursor.execute(load_sql.check(table), span)
            # Without statistics the joins that follow compare every line with every other.
            cursor.execute("analyze stage_checked (line_number, reason)")
            identity = load_sql.check_identity(table)
            if identity is not None:
                cursor.execute(identity, span)
            cursor.execute(load_sql.store(table), span)
            counts = cursor.fetchone() or {}
    except _LINE_ERRORS as error:
        if first == last:
            cursor.execute("select line from stage_lines where line_number = %s", (first,))
            row = cursor.fetchone() or {"line": ""}
            return [_reject(first, "refused", str(row["line"]).encode(), str(error).strip())]
        middle = (first + last) // 2
        return [
            *_store(cursor, table, first, middle, result),
            *_store(cursor, table, middle + 1, last, result),
        ]
    result.inserted += counts["inserted"]
    result.updated += counts["updated"]
    result.unchanged += counts["unchanged"]
    result.superseded += counts["superseded"]
    return []


def _reject(line_number: int, reason: str, content: bytes, detail: str | None = None) -> _Row:
    text = content[: load_sql.EXCERPT_CHARACTERS].decode(errors="backslashreplace")
    return {
        "line_number": line_number,
        "reason": reason,
        "detail": detail,
        "line": text,
        "is_cut": len(content) > load_sql.EXCERPT_CHARACTERS,
    }


class _Rejects:
    """The rejects file: JSON lines, made when the first line is rejected, else removed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO | None = None

    def __enter__(self) -> "_Rejects":
        self._path.unlink(missing_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, row: _Row) -> None:
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # Lines of students: for nobody else's eyes.
            self._path.touch(mode=0o600)
            self._file = self._path.open("w", encoding="utf-8")
        self._file.write(json.dumps(row, ensure_ascii=False) + "\n")


@contextmanager
def _open(path: Path) -> Iterator[_Source]:
    with path.open("rb") as raw:
        # By content, not by name.
        if raw.peek(2)[:2] == _GZIP_MAGIC:
            with gzip.open(raw, "rb") as unpacked:
                yield unpacked
        else:
            yield raw


def _lines(source: _Source) -> Iterator[tuple[bytes, bool]]:
    """Yield each line without its end, and whether it is whole; what is too long is cut."""
    is_first = True
    while line := source.readline(LINE_MAX_BYTES):
        is_whole = line.endswith(b"\n") or len(line) < LINE_MAX_BYTES
        if not is_whole:
            while (rest := source.readline(LINE_MAX_BYTES)) and not rest.endswith(b"\n"):
                pass
        if is_first:
            line = line.removeprefix(_BYTE_ORDER_MARK)
            is_first = False
        yield line.rstrip(b"\r\n"), is_whole


def _require_table(connection: _Connection, table: Table) -> None:
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute("select to_regclass(%s) is not null as found", (table.qualified_name,))
        found: Any = cursor.fetchone()
    if not found[0]:
        raise WarehouseError(
            f"there is no table {table.qualified_name}: create the exam application's tables "
            "with python -m warehouse migrate --with-exam"
        )
