"""Many writers, workers that are killed and a server that is restarted, all at once.

Everything is real: a PostgreSQL of its own in a scratch folder, `python -m irt_service worker`
as processes, kill -9. What the writers do is drawn from a seed; when it happens is not.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Lock, Thread

import psycopg
from psycopg.types.json import Jsonb

from tests.ports import free_port
from warehouse.errors import ServerError
from warehouse.server import LocalServer

ROOT = Path(__file__).resolve().parent.parent.parent
DAY_ONE = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
OLD = datetime(2020, 1, 1, tzinfo=UTC)
WRITERS = 8
ITEMS = {f"q_{j}": (0.8 + 0.02 * j, -1.2 + 0.05 * j, 0.1 * (j % 2)) for j in range(48)}
TOPICS = ("algebra", "geometry", "numbers")
PATIENCE_SECONDS = 120.0
BUSY_WITHIN_SECONDS = 3.0

_UPSERT = """
insert into exam.exam_results (session_id, user_id, status, result_json, created_at, updated_at)
values (%s, %s, %s, %s, %s, %s)
on conflict (session_id) do update set
    user_id = excluded.user_id,
    status = excluded.status,
    result_json = excluded.result_json,
    updated_at = excluded.updated_at
"""

_HAS_CLAIMS = """
select exists (
    select 1
    from pg_locks as held
    inner join pg_stat_activity as activity using (pid)
    where
        held.locktype = 'advisory'
        and held.mode = 'ExclusiveLock'
        and activity.application_name = %s
        and activity.xact_start is not null
)
"""


# What the workers inside the service call themselves.
SERVICE = "irt-worker"


@dataclass(frozen=True)
class Plan:
    """How large a storm is.

    Attributes:
        sessions: so many finished sessions, besides those delivered again.
        hold_seconds: so long one writer keeps its transaction open.
        pause_seconds: mean pause of a writer between two transactions.
        kill_every_seconds: mean time between two kills of a worker.
        kills: at least so many, and every process once; deliveries go on until then.
        restarts: of PostgreSQL.
        workers: processes that only score.
        services: HTTP services with a worker inside, killed like the workers.
    """

    sessions: int
    hold_seconds: float
    pause_seconds: float
    kill_every_seconds: float
    kills: int
    restarts: int
    workers: int = 2
    services: int = 0
    seed: int = 11

    @property
    def students(self) -> int:
        """Few enough that sessions of one student meet."""
        return max(10, self.sessions // 15)


@dataclass
class Storm:
    """A storm over one database."""

    plan: Plan
    server: LocalServer
    url: str
    folder: Path
    kills: int = 0
    killed: set[str] = field(default_factory=set)
    restarts: int = 0
    written: int = 0
    errors: list[BaseException] = field(default_factory=list)
    _is_over: Event = field(default_factory=Event)
    _lock: Lock = field(default_factory=Lock)
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def blow(self, midway: Callable[[], None]) -> None:
        """Write everything, with kills and restarts; `midway` is called at half of it."""
        writers = [
            Thread(target=self._guarded, args=(self._write, number)) for number in range(WRITERS)
        ]
        killer = Thread(target=self._guarded, args=(self._keep_killing,))
        count = self.plan.workers + self.plan.services
        self._processes = [self._start(number) for number in range(count)]
        for thread in (*writers, killer):
            thread.start()
        steps = self.plan.restarts + 1
        for number in range(1, steps):
            self._wait_until_written(number / steps)
            if number == 1:
                midway()
            self._restart()
        for thread in writers:
            thread.join()
        self._is_over.set()
        killer.join()
        if self.errors:
            raise self.errors[0]

    def calm(self) -> None:
        """Let a last worker finish what is left, and end all of them."""
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
        for process in self._processes:
            process.wait(60)
        last = self._run("last", "worker", "--once", "--retry-parked")
        if last.wait(PATIENCE_SECONDS) != 0:
            raise AssertionError((self.folder / "workers.log").read_text()[-2000:])

    def _guarded(self, task: Callable[..., None], *arguments: object) -> None:
        try:
            task(*arguments)
        except BaseException as error:  # noqa: BLE001 - raised in the test's own thread
            self.errors.append(error)

    def _name(self, number: int) -> str:
        return f"worker_{number}" if number < self.plan.workers else SERVICE

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        """Start the process of this number: a worker, or a service with one."""
        if number < self.plan.workers:
            return self._run(self._name(number), "worker")
        options = ("--local", "--with-worker", "--port", str(free_port()))
        return self._run(SERVICE, "serve", *options)

    def _run(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        url = f"{self.url}{'&' if '?' in self.url else '?'}application_name={name}"
        with (self.folder / "workers.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "irt_service", *command],
                cwd=ROOT,
                env={**os.environ, "DATABASE_URL": url},
                stdout=log,
                stderr=log,
            )

    def _keep_killing(self) -> None:
        """Kill workers at random, in the middle of a transaction, and start others instead."""
        chance = random.Random(self.plan.seed)  # noqa: S311 - no secret
        while not self._is_over.wait(chance.expovariate(1 / self.plan.kill_every_seconds)):
            self._start_what_ended()
            number = chance.randrange(len(self._processes))
            if self._wait_until_busy(self._name(number)):
                time.sleep(chance.uniform(0.0, 0.02))
                self._processes[number].kill()
                self._processes[number].wait()
                self.kills += 1
                self.killed.add(self._name(number))
                self._processes[number] = self._start(number)

    def _start_what_ended(self) -> None:
        """Do as a supervisor does: a worker that starts while PostgreSQL does not run ends."""
        for number, process in enumerate(self._processes):
            if process.poll() is not None:
                self._processes[number] = self._start(number)

    def _wait_until_busy(self, worker: str) -> bool:
        """Wait until a worker has claimed sessions, for some seconds at most."""
        deadline = time.monotonic() + BUSY_WITHIN_SECONDS
        while time.monotonic() < deadline and not self._is_over.is_set():
            try:
                with psycopg.connect(self.url, autocommit=True) as connection:
                    while time.monotonic() < deadline and not self._is_over.is_set():
                        row = connection.execute(_HAS_CLAIMS, [worker]).fetchone()
                        if row is not None and row[0]:
                            return True
            except psycopg.OperationalError:
                time.sleep(0.1)
        return False

    def _restart(self) -> None:
        """Stop PostgreSQL and start it again; every other time without a word."""
        self.restarts += 1
        pid = self.server.pid()
        if self.restarts % 2 == 0 and pid is not None:
            os.kill(pid, signal.SIGQUIT)  # leaves as after a crash
        else:
            self.server.stop()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                self.server.start()
                return
            except ServerError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def _wait_until_written(self, share: float) -> None:
        while self.written < share * self.plan.sessions and not self.errors:
            time.sleep(0.02)

    def _write(self, number: int) -> None:
        """Deliver a writer's share in transactions of one to six sessions."""
        chance = random.Random(self.plan.seed * 1000 + number)  # noqa: S311 - no secret
        left = list(range(number, self.plan.sessions, WRITERS))
        done: list[int] = []
        is_to_hold = number == 0
        while left:
            batch, left = left[: (count := chance.randint(1, 6))], left[count:]
            again = [chance.choice(done)] if done and chance.random() < 0.15 else []
            hold = self.plan.hold_seconds if is_to_hold and len(done) > len(left) / 3 else 0.0
            results = [self._result(chance, number, session) for session in batch + again]
            self._commit(results, hold)
            is_to_hold = is_to_hold and hold == 0.0
            done += batch
            with self._lock:
                self.written += len(batch)
            time.sleep(chance.expovariate(1 / self.plan.pause_seconds))
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._has_killed_enough() and time.monotonic() < deadline and not self.errors:
            self._commit([self._result(chance, number, chance.choice(done))], 0.0)
            time.sleep(chance.expovariate(1 / self.plan.pause_seconds))

    def _has_killed_enough(self) -> bool:
        return self.kills >= self.plan.kills and len(self.killed) == len(self._processes)

    def _result(self, chance: random.Random, writer: int, session: int) -> tuple[object, ...]:
        """A result: of a random student and day, so that many come late or move."""
        at = DAY_ONE + timedelta(minutes=chance.randrange(120 * 24 * 60))
        questions = [
            {
                "question_id": item,
                "is_correct": chance.random() < 0.6,
                "topic": chance.choice(TOPICS),
                "answered_at": (at + timedelta(seconds=30 * position)).isoformat(),
            }
            for position, item in enumerate(chance.sample(sorted(ITEMS), 8))
        ]
        status = "failed" if chance.random() < 0.03 else "ready"
        # One writer loads rows that say they are old.
        updated_at = OLD if writer == 1 else datetime.now(UTC)
        student = f"student_{chance.randrange(self.plan.students)}"
        return (
            f"s_{session}", student, status, Jsonb({"questions": questions}),
            at + timedelta(hours=1), updated_at,
        )  # fmt: skip

    def _commit(self, results: list[tuple[object, ...]], hold_seconds: float) -> None:
        """Write a transaction; one that a restart has broken is written again."""
        results = sorted(results, key=lambda row: str(row[0]))
        deadline = time.monotonic() + PATIENCE_SECONDS + hold_seconds
        while True:
            try:
                with psycopg.connect(self.url) as connection:
                    for row in results:
                        connection.execute(_UPSERT, row)
                    time.sleep(hold_seconds)
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
