"""Reads every mart of a build, whatever its key, and says how two builds differ."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.string import TextLoader

TOLERANCE = 1e-9
# When something was built, and nothing that was.
AUDIT_COLUMNS = {
    "weekly_kpi": {"created_at", "updated_at"},
    "features_topic_daily": {"computed_at"},
}
SHOWN = 5

Row = dict[str, Any]
Marts = Mapping[str, Sequence[Row]]


def read_marts(url: str) -> dict[str, list[Row]]:
    """The rows of every fact, dimension, intermediate table and view for readers."""
    marts: dict[str, list[Row]] = {}
    with psycopg.connect(url, row_factory=dict_row) as connection:
        # As text, since a day can be infinitely far away.
        for data_type in ("date", "timestamptz"):
            connection.adapters.register_loader(data_type, TextLoader)
        names = connection.execute(
            "select table_name as name from information_schema.tables"
            " where table_schema = 'analytics' and table_name not like 'stg%%'"
            " and table_name not like 'int_inputs%%' order by 1",
            (),
        ).fetchall()
        for name in (row["name"] for row in names):
            query = sql.SQL("select * from {}").format(sql.Identifier("analytics", name))
            audit = {"built_at", *AUDIT_COLUMNS.get(name, ())}
            marts[name] = [
                {column: value for column, value in row.items() if column not in audit}
                for row in connection.execute(query).fetchall()
            ]
    return marts


def mart_differences(actual: Marts, expected: Marts) -> list[str]:
    """What differs, mart by mart: floats by 1e-9, all else exactly."""
    report = [f"{name}: only in one build" for name in actual.keys() ^ expected.keys()]
    for name in sorted(actual.keys() & expected.keys()):
        found = _differences(actual[name], expected[name])
        report += [f"{name}: {difference}" for difference in found[:SHOWN]]
        if len(found) > SHOWN:
            report.append(f"{name}: and {len(found) - SHOWN} more")
    return report


def _differences(actual: Sequence[Row], expected: Sequence[Row]) -> list[str]:
    approximate = {
        column
        for row in (*actual, *expected)
        for column, value in row.items()
        if isinstance(value, float | dict | list)
    }
    found, wanted = _by_exact_values(actual, approximate), _by_exact_values(expected, approximate)
    report = []
    for exact in sorted(found.keys() | wanted.keys(), key=repr):
        ours, theirs = found.get(exact, []), wanted.get(exact, [])
        # Rows that agree in all that is exact are told apart by what is not.
        for row in (sorted(ours, key=repr)[len(theirs) :]) if len(ours) > len(theirs) else ():
            report.append(f"unexpected {_shown(row)}")
        for row in (sorted(theirs, key=repr)[len(ours) :]) if len(theirs) > len(ours) else ():
            report.append(f"missing {_shown(row)}")
        for mine, other in zip(sorted(ours, key=repr), sorted(theirs, key=repr), strict=False):
            report += [
                f"{_shown(dict(exact))} {column}: {mine[column]!r}, not {other[column]!r}"
                for column in sorted(approximate & mine.keys())
                if not _is_close(mine[column], other[column])
            ]
    return report


def _by_exact_values(
    rows: Sequence[Row], approximate: set[str]
) -> dict[tuple[tuple[str, Any], ...], list[Row]]:
    groups: dict[tuple[tuple[str, Any], ...], list[Row]] = defaultdict(list)
    for row in rows:
        exact = tuple((column, value) for column, value in row.items() if column not in approximate)
        groups[exact].append(row)
    return groups


def _is_close(actual: object, expected: object) -> bool:
    if isinstance(actual, float | int) and isinstance(expected, float):
        return math.isclose(actual, expected, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    if isinstance(actual, dict) and isinstance(expected, dict):
        return actual.keys() == expected.keys() and all(
            _is_close(actual[key], expected[key]) for key in actual
        )
    if isinstance(actual, list) and isinstance(expected, list):
        return len(actual) == len(expected) and all(map(_is_close, actual, expected))
    return actual == expected


def _shown(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{column}={value}" for column, value in row.items() if value is not None)
