"""A warehouse whose nights can be spoilt: steps as processes, and a server of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import psycopg
import sqlalchemy as sa

from tests.conftest import BUILT_ON_NOTHING, ROOT, Database
from tests.dbt.sequences import Life, Step
from tests.dbt_runner import DbtRunner
from tests.warehouse.waiting import wait_until
from warehouse.database import create_engine
from warehouse.errors import ServerError
from warehouse.ledger import INVOCATION_ENVIRONMENT
from warehouse.schedule import dbt_arguments
from warehouse.server import LocalServer
from warehouse.status import StepStatus, read_status

STEP = "compute-daily-kpis"
MART = "fct_student_daily_kpis"
WITHOUT_TESTS = ("--resource-type", "model", "--resource-type", "snapshot")
VIEWS = ("--select", "config.materialized:view")
ARRIVALS = ("rescored", "moved", "deleted", "late_session", "question", "goal", "ability")
_DBT_WAITS = """
select exists (
    select from pg_stat_activity
    where
        datname = current_database() and application_name = 'dbt' and wait_event_type = 'Lock'
)
"""


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code and what it said."""

    code: int
    said: str


class Night:
    """A school that was built once, and whose nights are bad, one after the other.

    One database for all of them: dbt reads the project anew when it is told of another one.
    """

    def __init__(
        self, server: LocalServer, template: Database, run_dbt: DbtRunner, folder: Path, seed: int
    ) -> None:
        """Copy a warehouse of the server, fill it and build it as of its first evening."""
        self.server = server
        self.folder = folder
        self._template = template
        self.database = self._copy()
        # The template's views name another database: replaced later, they would take others along.
        run_dbt("run", *VIEWS, database=self.database, vars={"as_of_date": BUILT_ON_NOTHING})
        self.life = Life(self.database, run_dbt, school_seed=seed)
        self._arrivals = seed * 1000
        self._last_run = 0
        self.job = ""

    @property
    def today(self) -> date:
        """The day that the next build is of."""
        return self.life.today

    def begin(self) -> None:
        """Let night fall for another Job; the ledger's runs are those from here on."""
        with self.database.engine.connect() as connection:
            self._last_run = connection.execute(
                sa.text("select coalesce(max(id), 0) from ops.pipeline_runs")
            ).scalar_one()
        self.job = f"night-{self._last_run}"
        self.falls()

    def falls(self) -> None:
        """Let a day pass on which something of every kind arrived."""
        for kind in ARRIVALS:
            self._arrivals += 1
            self.life.take(Step(kind, self._arrivals))
        self.life.next_day()

    def start(self, step: str = STEP, *, job: str = "") -> subprocess.Popen[str]:
        """Start a dbt step of the schedule, as a pod of the night's Job or another does."""
        # Without the tests, which take half of the time.
        build = (*dbt_arguments(step), *WITHOUT_TESTS)
        return self.call(
            "warehouse",
            "dbt",
            step,
            "--as-of",
            str(self.today),
            "--",
            *build,
            job=job or self.job,
        )

    def call(
        self, *command: str, job: str = "", environment: dict[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Start a command of ours on this warehouse."""
        return subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            env={
                **self.database.env,
                # Parsed once for all of them.
                "DBT_TARGET_PATH": str(self.folder / "target"),
                "DBT_LOG_PATH": str(self.folder / "logs"),
                **({INVOCATION_ENVIRONMENT: job} if job else {}),
                **(environment or {}),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, step: str = STEP, *, job: str = "") -> Ended:
        """Run a dbt step to its end."""
        return end_of(self.start(step, job=job))

    @contextmanager
    def held_in_mid_build(self, step: str = STEP) -> Iterator[HeldStep]:
        """Start a step, and hold it where it is about to replace the daily KPIs."""
        # Not its own context: that would commit, and the server may have crashed by then.
        with closing(psycopg.connect(self.database.url)) as holder:
            holder.execute(f"lock table analytics.{MART} in access exclusive mode".encode())
            process = self.start(step)
            with psycopg.connect(self.database.url, autocommit=True) as connection:
                wait_until(
                    lambda: (
                        process.poll() is not None
                        or connection.execute(_DBT_WAITS.encode()).fetchone() == (True,)
                    )
                )
            assert process.poll() is None, end_of(process).said
            yield HeldStep(process, holder)

    def crash(self) -> None:
        """Kill the server as a power cut does, and start it again."""
        pid = self.server.pid()
        assert pid is not None
        os.kill(pid, signal.SIGQUIT)

        def is_back() -> bool:
            try:
                self.server.start()
            except ServerError:
                return False
            return True

        wait_until(lambda: not _is_there(pid))
        wait_until(is_back)

    def ledger(self, *steps: str) -> list[sa.RowMapping]:
        """This night's runs of these steps, as they began."""
        with self.database.engine.connect() as connection:
            rows = connection.execute(
                sa.text(
                    "select * from ops.pipeline_runs"
                    " where step = any(:steps) and id > :last order by id"
                ),
                {"steps": list(steps or (STEP,)), "last": self._last_run},
            )
            return list(rows.mappings())

    def statuses(self) -> list[StepStatus]:
        """What `python -m warehouse status` shows."""
        with self.database.engine.connect() as connection:
            return read_status(connection)

    def wait_for_status(self, status: str, step: str = STEP) -> None:
        """Wait until the last run of a step is so."""
        wait_until(
            lambda: any(last.step == step and last.status == status for last in self.statuses())
        )

    def differences(self) -> list[str]:
        """What the marts differ in from one full refresh."""
        return self.life.finish(self._copy).differences

    def _copy(self, *, empty: bool = False) -> Database:
        return new_database(self.server, None if empty else self._template.name)


def new_database(server: LocalServer, template: str | None = None) -> Database:
    """An empty database of the server, or a copy of one to which nobody is connected."""
    # All names are of one length: see DbtRunner.
    name = f"seedtest_test_{uuid.uuid4().hex[:12]}"
    url = server.url.set(drivername="postgresql")
    address = url.render_as_string(hide_password=False)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(
            f'create database "{name}" template "{template or "template0"}"'.encode()
        )
    url = url.set(database=name)
    engine = create_engine(url.set(drivername="postgresql+psycopg"))
    return Database(url=url.render_as_string(hide_password=False), engine=engine)


@dataclass(frozen=True)
class HeldStep:
    """A step that waits in mid-build."""

    process: subprocess.Popen[str]
    holder: psycopg.Connection

    def let_go(self) -> None:
        """Let the build go on."""
        self.holder.rollback()


def end_of(process: subprocess.Popen[str]) -> Ended:
    """Wait for a process; its exit code and all that it said."""
    said, _ = process.communicate()
    return Ended(process.returncode, said)


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # One that has ended and was not waited for is nobody's server any more.
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
