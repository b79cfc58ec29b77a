"""How long the marts take at ten million attempts, through dbt, on the project's own server.

    python -m benchmarks.analytics [--attempts 10e6] [--state FOLDER] [--only whole,history,…]

Starts a PostgreSQL of its own with the project's settings, makes the data, and prints a line
for each promise. With --state the server's folder is kept, so that parts can be measured one
at a time; they need each other in the order in which --help lists them. A part that fails says so,
and the next ones are measured all the same. SQL seconds are the sum over models as dbt times
them, two at a time; wall seconds are what the caller waits for. What was asked stands beside
each figure, and how many times a bare scan of the tables that are read and written it takes.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import psycopg
from psycopg import sql

from benchmarks.analytics_data import (
    NIGHTS,
    attempts_made,
    day_of_night,
    make_history,
    make_night,
    nights_made,
)
from benchmarks.dbt_timing import Build, DbtFailedError, dbt
from benchmarks.duckdb_history import history_seconds
from benchmarks.machine import ServerUse, describe_machine
from benchmarks.per_student import student_by_student
from warehouse.database import create_engine
from warehouse.dbt_step import WITHOUT_UNIT_TESTS, WITHOUT_WEEKLY_TESTS
from warehouse.schema import migrate
from warehouse.server import LocalServer

ACTIVITY, KPIS = "int_activity__windowed", "fct_student_daily_kpis"
KPI_HISTORY = (ACTIVITY, "int_inputs__activity", KPIS)
BUILD = ("build", *WITHOUT_UNIT_TESTS, *WITHOUT_WEEKLY_TESTS)
FULL = ("build", "--full-refresh", "--exclude-resource-type", "unit_test", "test")
SLOWEST = 8
REPEATS = 3

# What was asked, in seconds of wall or SQL, and in times of the usual ways.
FULL_REFRESH, HISTORY, ONE_DAY = 240, 180, 7
NIGHT_SQL, NIGHT, NOTHING_NEW = 20, 60, 15
TIMES_OF_ONE_QUERY, TIMES_OF_TEN_QUERIES = 25, 40
SOURCES = ("exam.exam_results", "analytics.fct_attempts")
FEATURES = ("analytics.fct_sessions", "analytics.fct_topic_daily_features")


class Bench:
    """The measurements, in the order in which they need each other."""

    def __init__(self, server: LocalServer, scratch: Path, attempts: int) -> None:
        """Take a running server, a folder for what dbt writes, and the size."""
        self._server = server
        self._scratch = scratch
        self._attempts = attempts
        self._milliseconds_per_day = 0.0
        self._url = server.url.render_as_string(hide_password=False).replace("+psycopg", "")

    def prepare(self) -> None:
        """Make the data unless it is there."""
        with self._connect() as connection:
            made = attempts_made(connection)
        if made == self._attempts:
            return
        if made is not None:
            sys.exit(f"--state holds data of {made:,} attempts; take another folder")
        migrate(create_engine(self._server.url), with_exam=True)
        begin = time.perf_counter()
        with self._connect() as connection:
            make_history(connection, self._attempts)
        _say(f"data made in {time.perf_counter() - begin:.0f} s")

    def whole(self) -> None:
        """The first build, of everything."""
        self._dbt("first build of everything", *FULL)

    def history(self) -> None:
        """The KPIs of every day."""
        build = self._dbt("KPI history of 180 days", *FULL, "--select", *KPI_HISTORY)
        with self._connect() as connection:
            rows = _count(connection, f"analytics.{KPIS}")
        per_row = 1000 * (build.models[ACTIVITY] + build.models[KPIS]) / rows
        self._milliseconds_per_day = per_row
        _say(f"  {rows:,} rows, {per_row:.4f} ms per student and day")
        self._compare("KPI history", build.seconds, HISTORY, SOURCES[1], f"analytics.{KPIS}")

    def refresh(self) -> None:
        """Full refresh, from the JSON, of everything but the KPIs of every day."""
        build = self._dbt("full refresh but for the KPI history", *FULL, "--exclude", *KPI_HISTORY)
        self._compare(
            "full refresh but for the KPI history",
            build.seconds,
            FULL_REFRESH,
            *(*SOURCES, *FEATURES, "irt.mirt_topic_ability"),
        )

    def sizes(self) -> None:
        """What lies on the disk, and what merely reading it takes."""
        with self._connect() as connection:
            for table in (
                *("exam.exam_results", "irt.mirt_topic_ability", "analytics.fct_attempts"),
                *("analytics.fct_sessions", "analytics.fct_topic_daily_features"),
                *("analytics.int_item_days__summarized", f"analytics.{ACTIVITY}"),
                f"analytics.{KPIS}",
            ):
                begin = time.perf_counter()
                rows = _scan(connection, table)
                seconds = time.perf_counter() - begin
                size = _size(connection, table)
                _say(f"  {table:42} {rows:12,} rows {size / 1e6:7,.0f} MB, scan {seconds:.2f} s")

    def students(self) -> None:
        """Student by student, against the history build."""
        with self._connect() as connection:
            found = student_by_student(connection, day_of_night(0))
        _say(
            f"student by student: one query {found.one_query:.3f} ms, ten queries "
            f"{found.ten_queries:.3f} ms per student and day; {found.differing} KPIs differ"
        )
        if self._milliseconds_per_day:
            _say(
                f"=> one query takes {found.one_query / self._milliseconds_per_day:.0f} times the "
                f"history build's (asked: {TIMES_OF_ONE_QUERY}), ten queries "
                f"{found.ten_queries / self._milliseconds_per_day:.0f} times "
                f"(asked: {TIMES_OF_TEN_QUERIES})"
            )

    def duckdb(self) -> None:
        """The same queries on DuckDB."""
        self._dbt("compiled for DuckDB", "compile", "--full-refresh", "--select", *KPI_HISTORY)
        with self._connect() as connection:
            seconds, rows = history_seconds(connection, self._scratch / "compiled", self._scratch)
        _say(f"KPI history on DuckDB: {seconds:.1f} s, {rows:,} rows")

    def nights(self) -> None:
        """A new day each, with 1 % of the last 60 days' sessions late or re-scored."""
        builds = []
        for _ in range(NIGHTS):
            with self._connect() as connection:
                night = nights_made(connection) + 1
                if night > NIGHTS:
                    break
                make_night(connection, night)
            builds.append(self._dbt(f"night {night}", *BUILD))
        if not builds:
            _say("no night is left in this folder; take another one")
            return
        wall, spent = _medians(builds)
        self._compare(f"night, median of {len(builds)}", wall, NIGHT, *SOURCES, f"analytics.{KPIS}")
        _say(f"=> SQL of a night's models: {spent:.1f} s (asked: at most {NIGHT_SQL} s)")

    def nothing(self) -> None:
        """Nights on which nothing arrived."""
        builds = [self._dbt("nothing new", *BUILD) for _ in range(REPEATS)]
        wall, spent = _medians(builds)
        self._compare(f"nothing new, median of {REPEATS}", wall, NOTHING_NEW, *SOURCES)
        _say(f"=> SQL of models with nothing new: {spent:.1f} s")

    def one_day(self) -> None:
        """One more day for every student, nothing having arrived."""
        build = self._dbt(
            "one day for all", *BUILD[:1], *FULL[2:], "--select", *KPI_HISTORY, days=1
        )
        self._compare("SQL of one day for all", build.model_seconds, ONE_DAY, f"analytics.{KPIS}")

    def _compare(self, title: str, seconds: float, asked: float, *tables: str) -> None:
        begin = time.perf_counter()
        with self._connect() as connection:
            for table in tables:
                _scan(connection, table)
        scan = time.perf_counter() - begin
        _say(
            f"=> {title}: {seconds:.1f} s (asked: at most {asked} s), "
            f"{seconds / scan:.0f} times a bare scan of {', '.join(tables)} ({scan:.2f} s)"
        )

    def _dbt(self, title: str, *arguments: str, days: int = 0) -> Build:
        with self._connect() as connection:
            as_of = day_of_night(nights_made(connection) + days)
        with ServerUse(self._server.pid() or 0) as use:
            build = dbt(self._url, self._scratch, *arguments, as_of=as_of)
        slowest = sorted({**build.models, **build.tests}.items(), key=lambda entry: -entry[1])
        _say(
            f"{title}: {build.seconds:.1f} s wall, SQL of models {build.model_seconds:.1f} s, "
            f"of {len(build.tests)} tests {sum(build.tests.values()):.1f} s, "
            f"server {use.cpu_seconds:.1f} s of processor time, {use.peak_megabytes:,.0f} MB"
        )
        for name, seconds in slowest[:SLOWEST]:
            _say(f"  {seconds:8.2f}  {name}")
        return build

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(self._url, autocommit=True)


PARTS = (
    *("whole", "history", "refresh", "sizes", "students", "duckdb"),
    *("nights", "nothing", "one_day"),
)


def main() -> int:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--attempts", type=float, default=10e6)
    parser.add_argument("--state", type=Path, help="folder of the server; kept when given")
    parser.add_argument("--only", default=",".join(PARTS), help=f"of {', '.join(PARTS)}")
    arguments = parser.parse_args()
    parts = [part for part in arguments.only.split(",") if part]
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory(prefix="seedtest-bench-") as folder:
        scratch = Path(folder)
        # The server's unprivileged user passes through.
        scratch.chmod(0o711)
        server = LocalServer(arguments.state or scratch / "server")
        server.start()
        try:
            bench = Bench(server, scratch, int(arguments.attempts))
            _say(f"{arguments.attempts:,.0f} attempts, {date.today()}: {describe_machine()}")
            bench.prepare()
            failed = [part for part in parts if not _measured(bench, part)]
        finally:
            server.stop()
    return 1 if failed else 0


def _measured(bench: Bench, part: str) -> bool:
    try:
        getattr(bench, part)()
    except (DbtFailedError, psycopg.Error) as error:
        _say(f"{part} failed: {error}")
        return False
    return True


def _count(connection: psycopg.Connection, table: str) -> int:
    return _number(connection, sql.SQL("select count(*) from {}").format(_identifier(table)))


def _scan(connection: psycopg.Connection, table: str) -> int:
    """Count the rows by reading all of them, which an index would spare."""
    connection.execute("set enable_indexonlyscan = off")
    return _count(connection, table)


def _size(connection: psycopg.Connection, table: str) -> int:
    return _number(connection, sql.SQL("select pg_total_relation_size({})").format(table))


def _identifier(table: str) -> sql.Identifier:
    return sql.Identifier(*table.split("."))


def _number(connection: psycopg.Connection, query: sql.Composed) -> int:
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0


def _medians(builds: list[Build]) -> tuple[float, float]:
    """Return the medians of the seconds waited for and of the seconds in models."""
    return (
        statistics.median(build.seconds for build in builds),
        statistics.median(build.model_seconds for build in builds),
    )


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
