"""How long the marts take at ten million attempts, through dbt, on the project's own server.

    python -m benchmarks.analytics [--attempts 10e6] [--state FOLDER] [--only full,night,…]

Starts a PostgreSQL of its own with the project's settings, makes the data (kept with --state)
and prints a table for each promise.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import psycopg

from benchmarks.analytics_data import (
    NIGHTS,
    attempts_made,
    day_of_night,
    make_history,
    make_night,
)
from benchmarks.dbt_timing import Build, dbt
from benchmarks.machine import ServerMemory, describe_machine
from warehouse.database import create_engine
from warehouse.schema import migrate
from warehouse.server import LocalServer

KPI_HISTORY = ("int_activity__windowed", "int_inputs__activity", "fct_student_daily_kpis")
BUILD = ("build", "--exclude-resource-type", "unit_test")
PARTS = ("full", "night")


def main() -> int:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--attempts", type=float, default=10e6)
    parser.add_argument("--state", type=Path, help="folder of the server; kept when given")
    parser.add_argument("--only", default=",".join(PARTS))
    arguments = parser.parse_args()
    parts = arguments.only.split(",")
    with tempfile.TemporaryDirectory(prefix="seedtest-bench-") as scratch:
        # The server's unprivileged user passes through.
        Path(scratch).chmod(0o711)
        server = LocalServer(arguments.state or Path(scratch) / "server")
        server.start()
        try:
            bench = Bench(server, Path(scratch) / "target", int(arguments.attempts))
            bench.prepare()
            for part in parts:
                getattr(bench, part)()
        finally:
            server.stop()
    return 0


class Bench:
    """The measurements, in the order in which they need each other."""

    def __init__(self, server: LocalServer, target: Path, attempts: int) -> None:
        """Take a running server, a folder for what dbt writes, and the size."""
        self._server = server
        self._target = target
        self._attempts = attempts
        self._url = server.url.render_as_string(hide_password=False).replace("+psycopg", "")

    def prepare(self) -> None:
        """Make the data unless it is there."""
        _say(f"{describe_machine()}")
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

    def full(self) -> None:
        """Build everything from the JSON on: first all but the KPI history, then that."""
        day = day_of_night(0)
        run = ("build", "--full-refresh", "--exclude-resource-type", "unit_test", "test")
        self._dbt("all before KPI", *run, "--exclude", f"{KPI_HISTORY[0]}+", as_of=day)
        self._dbt("KPI history", *run, "--select", *KPI_HISTORY, as_of=day)
        self._dbt(
            "all after KPI",
            *run,
            "--select",
            f"{KPI_HISTORY[0]}+",
            "--exclude",
            *KPI_HISTORY,
            as_of=day,
        )

    def night(self) -> None:
        """A new day each, with 1 % of the last 60 days' sessions late or re-scored."""
        for night in range(1, NIGHTS + 1):
            with self._connect() as connection:
                make_night(connection, night)
            self._dbt(f"night {night}", *BUILD, as_of=day_of_night(night))
        self._dbt("nothing new", *BUILD, as_of=day_of_night(NIGHTS))

    def _dbt(self, title: str, *arguments: str, as_of: object) -> Build:
        pid = self._server.pid()
        with ServerMemory(pid or 0) as memory:
            build = dbt(self._url, self._target, *arguments, as_of=as_of)
        _say(
            f"\n{title}: {build.seconds:.1f} s in all, models {build.model_seconds:.1f} s, "
            f"tests {sum(build.tests.values()):.1f} s, server {memory.peak_megabytes:.0f} MB"
        )
        for spent in (build.models, build.tests):
            for name, seconds in sorted(spent.items(), key=lambda entry: -entry[1])[:20]:
                _say(f"{seconds:9.2f}  {name}")
        return build

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(self._url, autocommit=True)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
