"""Fast ways in and out of PostgreSQL: COPY of whole tables, packed arrays per group."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from sqlalchemy.engine import Connection

# array_send: dimensions, null flag, element type, length, lower bound; then length + value each.
_ARRAY_HEADER_BYTES = 20
# PostgreSQL counts microseconds from 2000 on, everybody else from 1970.
POSTGRESQL_EPOCH = 946_684_800_000_000


def driver(connection: Connection) -> psycopg.Connection[tuple[Any, ...]]:
    """The psycopg connection below a SQLAlchemy one, in the same transaction."""
    raw = connection.connection.driver_connection
    if not isinstance(raw, psycopg.Connection):
        raise TypeError(f"psycopg 3 is needed, this connection is a {type(raw).__name__}")
    return raw


def to_csv(rows: pa.Table) -> memoryview:
    """What COPY reads of an Arrow table: null stays null, an empty text stays an empty text."""
    buffer = io.BytesIO()
    # In one chunk: of a table with an empty one pyarrow 26 writes what lay in its buffer.
    pyarrow.csv.write_csv(
        rows.combine_chunks(),
        buffer,
        pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed"),
    )
    return buffer.getbuffer()


def copy_in(connection: Connection, table: str, rows: pa.Table) -> None:
    """COPY an Arrow table into `table`, whose columns have the same names."""
    copy_csv_in(connection, table, rows.column_names, to_csv(rows))


def copy_csv_in(
    connection: Connection, table: str, columns: Sequence[str], csv: memoryview
) -> None:
    """COPY what `to_csv` made of an Arrow table into these columns of `table`."""
    if len(csv) == 0:
        return
    target = f"{table} ({', '.join(columns)})"
    with (
        driver(connection).cursor() as cursor,
        cursor.copy(f"copy {target} from stdin (format csv)".encode()) as copy,
    ):
        copy.write(csv)


def array_literal(values: Sequence[object]) -> str:
    """PostgreSQL's text of an array of texts, whole numbers or moments; None is null.

    The driver looks at every element with a pattern, which takes several times as long.
    """
    texts = pa.array(values).cast(pa.string())
    for character in ("\\", '"'):
        texts = pc.replace_substring(texts, character, "\\" + character)
    quoted = pc.binary_join_element_wise('"', texts, '"', "")
    elements = pa.ListArray.from_arrays(
        pa.array([0, len(quoted)], pa.int32()), pc.fill_null(quoted, "null")
    )
    literal: str = pc.binary_join(elements, ",")[0].as_py()
    return "{" + literal + "}"


def numbered(parameter: str, name: str) -> str:
    """SQL of a relation with the ids of an array parameter and their positions from 1 on.

    The ids differ. Grouped by them, the planner knows that too and looks each row up in this
    small relation; otherwise it hashes the millions of rows that are joined to it.
    """
    return f"""(
        select {name}, min(code) as code
        from unnest(%({parameter})s::text[]) with ordinality as numbered ({name}, code)
        group by {name}
    )"""  # noqa: S608 - constants


def unpack_int4(packed: Sequence[bytes]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Sizes and values of arrays that were sent by array_send(int4[])."""
    return _unpack(packed, np.dtype([("length", ">i4"), ("value", ">i4")]), np.dtype(np.int32))


def unpack_int8(packed: Sequence[bytes]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Sizes and values of arrays that were sent by array_send(int8[] or timestamptz[])."""
    return _unpack(packed, np.dtype([("length", ">i4"), ("value", ">i8")]), np.dtype(np.int64))


def _unpack(
    packed: Sequence[bytes], element: np.dtype[Any], kind: np.dtype[Any]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
    # An empty array has no dimension, so its header ends earlier.
    parts = [
        np.frombuffer(one, element, offset=min(_ARRAY_HEADER_BYTES, len(one)))["value"]
        for one in packed
    ]
    sizes = np.array([len(part) for part in parts], dtype=np.int64)
    values = np.concatenate(parts).astype(kind) if parts else np.empty(0, kind)
    return sizes, values
