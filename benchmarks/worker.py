"""How many finished sessions workers score per second, and how soon each is visible.

    python -m benchmarks.worker [--students 4000] [--sessions 10] [--workers 2] [--folder DIR]

Starts a PostgreSQL of its own (fsync on, as a site runs it), delivers a history, has dbt build
the marts and scores it once; `--folder` keeps all that for another call. Then:

- throughput: sessions are delivered in one transaction while the workers wait; seconds from
  that commit to the last session's, everything on this machine;
- latency: sessions are delivered at a steady rate, each in a transaction of its own; from its
  commit to that of its ability, by PostgreSQL's commit timestamps, with the trigger and without.

Every new session is of a student with a history, has 20 questions, and is parsed by the view
that dbt built.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psycopg
import sqlalchemy as sa

from irt_service.replay import replay
from irt_service.scorer import Scorer
from irt_service.settings import Settings
from irt_service.store import trigger
from warehouse.database import create_engine
from warehouse.schema import migrate
from warehouse.server import LocalServer

ROOT = Path(__file__).resolve().parent.parent
ITEMS = 2000
QUESTIONS = 20
TOPICS = 12
MARTS = ["+fct_sessions", "+fct_item_responses", "+dim_items"]
TARGETS = {"throughput": ">= 400/s", "told": "p50 <= 50 ms, p99 <= 1 s", "looking": "p50 <= 1 s"}

# A student's sessions lie days apart; every one asks 20 questions out of the whole bank.
_DELIVER = f"""
insert into exam.exam_results
    (session_id, user_id, exam_id, status, result_json, created_at, updated_at)
select
    %(prefix)s || session.number,
    'student_' || session.number %% %(students)s,
    'exam_' || session.number %% 40,
    'ready',
    jsonb_build_object('questions', (
        select jsonb_agg(jsonb_build_object(
            'question_id', 'q_' || (hashint8(session.number * 1000 + k + %(seed)s) & 1048575)
                %% {ITEMS},
            'is_correct', hashint8(session.number * 1000 + k + 7 + %(seed)s) & 1 = 1,
            'topic', 'topic_' || k %% {TOPICS},
            'time_spent_sec', 30 + k,
            'answered_at', session.at - interval '20 minutes' + interval '1 minute' * k
        ))
        from generate_series(1, {QUESTIONS}) as k
    )),
    session.at,
    session.at
from (
    select
        number,
        case when %(is_new)s then clock_timestamp() else
            now() - interval '1 day' * (80 - 75.0 * number / %(count)s) end as at
    from generate_series(%(first)s::bigint, %(first)s + %(count)s - 1) as number
) as session
"""  # noqa: S608 - constants

_LATENCIES = """
select extract(epoch from
    pg_xact_commit_timestamp(deliveries.xmin) - pg_xact_commit_timestamp(results.xmin))::float8
from exam.exam_results as results
inner join irt.deliveries as deliveries using (session_id)
inner join irt.mirt_ability as ability using (session_id)
where starts_with(session_id, %s) and deliveries.status = 'scored'
"""


def say(line: str) -> None:
    """Print at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class School:
    """A database with a scored history, on a server of its own."""

    def __init__(self, folder: Path, students: int, sessions: int) -> None:
        """Start the server; build what is not there yet."""
        self.server = LocalServer(folder / "server", settings={"track_commit_timestamp": "on"})
        self.server.start()
        self.engine = create_engine(self.server.url)
        self.url = self.server.url.set(drivername="postgresql").render_as_string()
        self.students = students
        migrate(self.engine, with_exam=True)
        with self.engine.connect() as connection:
            counting = sa.text("select count(*) from exam.exam_results")
            self.count: int = connection.execute(counting).scalar_one()
        if self.count == 0:
            self._build(students * sessions)

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        """A connection in autocommit."""
        return psycopg.connect(self.url, autocommit=True)

    def deliver(
        self,
        connection: psycopg.Connection[tuple[object, ...]],
        prefix: str,
        count: int,
        *,
        is_new: bool = True,
    ) -> None:
        """Deliver sessions of students in turn."""
        values = {
            "prefix": prefix, "students": self.students, "seed": 7 * self.count,
            "is_new": is_new, "first": self.count, "count": count,
        }  # fmt: skip
        connection.execute(_DELIVER.encode(), values)
        self.count += count

    def _build(self, sessions: int) -> None:
        say(f"delivering {sessions:,} sessions of {self.students:,} students ...")
        with self.connect() as connection:
            self.deliver(connection, "old_", sessions, is_new=False)
            connection.execute(
                "insert into irt.mirt_fit_meta (run_id, model, engine, status, prior_mean,"
                " prior_sd) values ('run_1', '2PL', 'given', 'accepted', 0, 1)"
            )
            connection.execute(
                "insert into irt.mirt_item_params (run_id, item_id, model, params,"
                " discrimination, difficulty) select 'run_1', 'q_' || j, '2PL', '{}',"
                " 0.7 + j %% 10 * 0.1, -2 + 4.0 * j / %(items)s"
                " from generate_series(0, %(items)s - 1) as j",
                {"items": ITEMS},
            )
            connection.execute(
                "insert into irt.publications (run_id, in_force_from)"
                " values ('run_1', '0001-01-01')"
            )
        subprocess.run(  # noqa: S603 - our own project
            [str(ROOT / ".venv/bin/dbt"), "--quiet", "run", "--select", *MARTS],
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": self.url},
            check=True,
        )
        replay(self.engine, Scorer(Settings()))
        with self.connect() as connection:
            connection.execute("vacuum analyze")

    @contextmanager
    def workers(self, count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
        """Run workers, ready before this returns; end them afterwards."""
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", "irt_service", "worker"],
                cwd=ROOT,
                env={**os.environ, "DATABASE_URL": self.url},
                stderr=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
            for _ in range(count)
        ]
        try:
            with self.connect() as connection:
                self.deliver(connection, f"warm_{self.count}_", 200)
                self.wait(connection)
            yield processes
        finally:
            for process in processes:
                process.send_signal(signal.SIGTERM)
            for process in processes:
                process.wait()

    def wait(self, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        """Wait until everything that was delivered is dealt with."""
        while True:
            row = connection.execute("select count(*) from irt.deliveries").fetchone()
            if row is not None and row[0] == self.count:
                return
            time.sleep(0.02)


def throughput(school: School, workers: int, count: int) -> float:
    """Sessions per second from a backlog that appears at once."""
    with school.workers(workers), school.connect() as connection:
        prefix = f"burst_{school.count}_"
        school.deliver(connection, prefix, count)
        begun = time.perf_counter()
        school.wait(connection)
        return count / (time.perf_counter() - begun)


def latency(
    school: School, workers: int, rate: int, seconds: float
) -> np.typing.NDArray[np.float64]:
    """Seconds from commit to visible of sessions that are delivered at a steady rate."""
    prefix = f"steady_{school.count}_"
    with school.workers(workers), school.connect() as connection:
        begun = time.perf_counter()
        for number in range(int(rate * seconds)):
            time.sleep(max(0.0, begun + number / rate - time.perf_counter()))
            school.deliver(connection, prefix, 1)
        sent = (number + 1) / (time.perf_counter() - begun)
        if sent < 0.95 * rate:
            say(f"  the generator reached {sent:.0f}/s only")
        school.wait(connection)
        rows = connection.execute(_LATENCIES.encode(), [prefix]).fetchall()
    return np.array([row[0] for row in rows], dtype=np.float64)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("--students", type=int, default=4000)
    parser.add_argument("--sessions", type=int, default=10, help="of each student, in the history")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--burst", type=int, default=6000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--rate", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--only-build", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-worker-") as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o711)
        school = School(folder, options.students, options.sessions)
        try:
            if not options.only_build:
                report(school, options)
        finally:
            school.server.stop()


def report(school: School, options: argparse.Namespace) -> None:
    """Print one line per measurement."""
    say(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    say(
        f"history of {options.students:,} students, {options.sessions} sessions of "
        f"{QUESTIONS} questions each; {options.workers} workers"
    )
    rates = [throughput(school, options.workers, options.burst) for _ in range(options.repeat)]
    listed = ", ".join(f"{rate:.0f}" for rate in rates)
    say(f"throughput  {np.median(rates):7.0f} sessions/s ({listed})   {TARGETS['throughput']}")
    for name in ("looking", "told"):
        with school.engine.begin() as connection:
            (trigger.install if name == "told" else trigger.remove)(connection)
        found = latency(school, options.workers, options.rate, options.seconds) * 1000
        p50, p99 = np.percentile(found, [50, 99])
        say(
            f"{name:<11} {len(found)} sessions at {options.rate}/s: p50 {p50:6.0f} ms, "
            f"p99 {p99:6.0f} ms, max {found.max():6.0f} ms   {TARGETS[name]}"
        )


if __name__ == "__main__":
    main()
