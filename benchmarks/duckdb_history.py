"""The same KPI-history queries on DuckDB: how far a column store would take them.

The compiled SQL of both models runs there as it is, but for a few spellings.
"""

from __future__ import annotations

import time
from pathlib import Path

import duckdb
import psycopg

_TABLES = {
    "analytics.fct_attempts": (
        "student_id text, item_id text, attempt_date date, attempt_no int, is_correct bool, "
        "response_time_ms int, hint_count int"
    ),
    "analytics.fct_sessions": (
        "session_id text, student_id text, session_date date, started_at timestamptz, "
        "duration_seconds double"
    ),
    "analytics.stg_irt__abilities": (
        "ability_id bigint, student_id text, run_id text, theta double, standard_error double, "
        "effective_at timestamptz, effective_date date"
    ),
    "analytics.int_runs__in_force": "run_id text, valid_from date, valid_to date",
    "analytics.int_goals__open": (
        "student_id text, goal_key text, topic_id text, target_theta double, priority int, "
        "target_date date, valid_from date, valid_to date, is_primary bool"
    ),
    "analytics.int_goals__topic_abilities": (
        "topic_ability_id bigint, student_id text, topic_id text, run_id text, theta double, "
        "standard_error double, effective_date date, valid_from date, valid_to date"
    ),
}
_MODELS = ("int_activity__windowed", "fct_student_daily_kpis")
_AFFECTED = "affected__fct_student_daily_kpis"
# Numerical Recipes' rational approximation: of the cost of the C library's.
_ERFC = """
create macro erfc(x) as case when x >= 0 then erfc_tail(x) else 2 - erfc_tail(-x) end;
"""
_ERFC_TAIL = """
create macro erfc_tail(x) as (1 / (1 + x / 2)) * exp(-x * x - 1.26551223 + (1 / (1 + x / 2)) * (
    1.00002368 + (1 / (1 + x / 2)) * (0.37409196 + (1 / (1 + x / 2)) * (0.09678418
    + (1 / (1 + x / 2)) * (-0.18628806 + (1 / (1 + x / 2)) * (0.27886807
    + (1 / (1 + x / 2)) * (-1.13520398 + (1 / (1 + x / 2)) * (1.48851587
    + (1 / (1 + x / 2)) * (-0.82215223 + (1 / (1 + x / 2)) * 0.17087277)))))))));
"""


def history_seconds(
    connection: psycopg.Connection, compiled: Path, scratch: Path
) -> tuple[float, int]:
    """Copy the inputs, run both models; return the seconds of the queries and the rows."""
    duck = duckdb.connect(str(scratch / "history.duckdb"))
    duck.execute("set integer_division = true; set threads = 2; set timezone = 'UTC'")
    duck.execute("create schema analytics")
    for table, columns in _TABLES.items():
        _copy(connection, duck, table, columns, scratch / "table.csv")
    duck.execute(f"create table {_AFFECTED} (student_id text, from_date date)")
    duck.execute(
        f"insert into {_AFFECTED} select student_id, min(attempt_date) "  # noqa: S608 - own names
        "from analytics.fct_attempts group by student_id"
    )
    duck.execute(_ERFC_TAIL + _ERFC)
    begin = time.perf_counter()
    for model in _MODELS:
        sql = next(compiled.rglob(f"{model}.sql")).read_text(encoding="utf-8")
        for spelling, ours in {
            '"seedtest".': "",
            "offset 0": "",
            "current_timestamp": "now()",
            # Its series of whole numbers are of 8 bytes, and such are not days.
            "+ offsets.value": "+ cast(offsets.value as integer)",
        }.items():
            sql = sql.replace(spelling, ours)
        duck.execute(f"create table analytics.{model} as {sql}")
    seconds = time.perf_counter() - begin
    rows = duck.table(f"analytics.{_MODELS[-1]}").aggregate("count(*)").fetchone()
    return seconds, rows[0] if rows else 0


def _copy(
    connection: psycopg.Connection,
    duck: duckdb.DuckDBPyConnection,
    table: str,
    columns: str,
    file: Path,
) -> None:
    names = ", ".join(column.split()[0] for column in columns.split(", "))
    with (
        file.open("wb") as target,
        connection.cursor().copy(
            f"copy (select {names} from {table}) to stdout (format csv)"  # noqa: S608 - own names
        ) as rows,
    ):
        for block in rows:
            target.write(block)
    duck.execute(f"create table {table} ({columns})")
    duck.execute(f"copy {table} from '{file}' (format csv)")
    file.unlink()
