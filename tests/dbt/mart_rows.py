"""Reads marts, and compares their rows with those of an oracle or of another build."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import psycopg
from psycopg.rows import dict_row

TOLERANCE = 1e-9
AUDIT_COLUMNS = {"built_at"}

Row = Mapping[str, Any]


def read(url: str, relation: str, order_by: str) -> list[dict[str, Any]]:
    """All rows of a relation of schema analytics, without its audit columns."""
    with psycopg.connect(url, row_factory=dict_row) as connection:
        rows = connection.execute(
            f"select * from analytics.{relation} order by {order_by}".encode()  # noqa: S608 - fixed
        ).fetchall()
    return [{k: v for k, v in row.items() if k not in AUDIT_COLUMNS} for row in rows]


def differences(actual: Iterable[Row], expected: Iterable[Row], key: Sequence[str]) -> list[str]:
    """What differs, on the columns of the expected rows: floats by 1e-9, all else exactly."""
    found = {tuple(row[column] for column in key): row for row in actual}
    wanted = {tuple(row[column] for column in key): row for row in expected}
    report = [f"missing {missing}" for missing in wanted.keys() - found.keys()]
    report += [f"unexpected {extra}" for extra in found.keys() - wanted.keys()]
    for shared in sorted(wanted.keys() & found.keys()):
        for column, value in wanted[shared].items():
            if not _is_equal(found[shared][column], value):
                report.append(f"{shared} {column}: {found[shared][column]!r}, not {value!r}")
    return report


def _is_equal(actual: object, expected: object) -> bool:
    if isinstance(actual, float) and isinstance(expected, float | int):
        return math.isclose(actual, expected, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return actual == expected
