"""Starts the service as its own process and fills a database for it to serve."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from irt_service.api.tokens import SCOPES, hash_token, new_token
from irt_service.scorer import Scorer
from irt_service.settings import Settings
from irt_service.store.tokens import insert_token
from irt_service.worker import Worker
from tests.conftest import ROOT, Database
from tests.irt_service.school import Answer, deliver, open_school, publish_parameters
from tests.ports import free_port
from tests.warehouse.waiting import wait_until

SHARED_TOKEN = "a-secret-that-service-and-clients-share"  # noqa: S105 - of these tests
ITEMS = {
    "q_1": (1.0, 0.0, 0.0),
    "q_2": (1.5, 0.5, 0.0),
    "q_3": (0.8, -1.0, 0.2),
    "q_4": (1.2, 0.3, 0.0),
    "q_5": (0.9, -0.4, 0.0),
}
WORKED_ANSWERS: list[Answer] = [("q_1", True), ("q_2", False), ("q_3", True)]
# The specification's worked value of an EAP: prior N(0, 1), three items, responses 1, 0, 1.
WORKED_THETA = 0.086935
WORKED_STANDARD_ERROR = 0.763518
SIX_DECIMALS = 5e-7
# Abilities older than 90 days do not count, so these sessions are of the last days.
NOW = datetime.now(UTC).replace(microsecond=0)
_PATIENCE_SECONDS = 120.0


class ServiceProcess:
    """`python -m irt_service serve` in a process of its own."""

    def __init__(self, database: Database, folder: Path, *options: str, **environment: str) -> None:
        """Start it; `ready` waits until it answers."""
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log_file = folder / f"service-{self.port}.log"
        env = {
            **database.env,
            "R_IRT_INTERNAL_TOKEN": SHARED_TOKEN,
            "REPORTS_DIR": str(folder),
            **environment,
        }
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "irt_service", "serve", "--port", str(self.port), *options],
                cwd=ROOT,
                env={name: value for name, value in env.items() if value},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )

    def ready(self) -> "ServiceProcess":
        """Wait until it answers."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                httpx.get(f"{self.url}/healthz", timeout=2.0)
            except httpx.TransportError:
                time.sleep(0.05)
            else:
                return self
        raise AssertionError(f"the service does not answer: {self.log_file.read_text()}")

    def log(self) -> list[dict[str, Any]]:
        """Its log lines; each is a JSON object."""
        whole, _, _ = self.log_file.read_text().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    def logged(self, field: str, value: str) -> dict[str, Any]:
        """The log line with this value of a field, once it is written."""

        def found() -> list[dict[str, Any]]:
            return [line for line in self.log() if line.get(field) == value]

        wait_until(lambda: found() != [])
        [line] = found()
        return line

    def stop(self) -> int:
        """Ask it to stop; returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(_PATIENCE_SECONDS)


@dataclass
class Site:
    """A service with what it serves.

    Attributes:
        tokens: by name: all (everything, all organisations), north and south (one each).
    """

    database: Database
    service: ServiceProcess
    folder: Path
    tokens: dict[str, str]

    @property
    def engine(self) -> Engine:
        """The database's."""
        return self.database.engine

    def ask(
        self, method: str, path: str, who: str | None = "all", **options: Any
    ) -> httpx.Response:
        """Send a request with one of the tokens, or without."""
        headers = dict(options.pop("headers", {}))
        if who is not None:
            headers.setdefault("Authorization", f"Bearer {self.tokens.get(who, who)}")
        return httpx.request(
            method, self.service.url + path, headers=headers, timeout=60.0, **options
        )

    def post(self, path: str, content: object, **options: Any) -> httpx.Response:
        """Send JSON, or bytes as they are."""
        if isinstance(content, bytes):
            headers = {"Content-Type": "application/json", **options.pop("headers", {})}
            return self.ask("POST", path, content=content, headers=headers, **options)
        return self.ask("POST", path, json=content, **options)


def make_token(
    engine: Engine,
    org_id: str | None = None,
    scopes: Iterable[str] = SCOPES,
    lives: timedelta | None = None,
) -> tuple[str, str]:
    """Store a token; returns it with its id."""
    token, token_id = new_token()
    with engine.begin() as connection:
        insert_token(
            connection,
            token_id,
            hash_token(token),
            "test",
            org_id,
            [one for one in scopes if org_id is None or one != "publish"],
            None if lives is None else datetime.now(UTC) + lives,
        )
    return token, token_id


def deliver_for(
    engine: Engine,
    session: str,
    student: str,
    org: str | None,
    answers: list[Answer] = WORKED_ANSWERS,
    at: datetime = NOW - timedelta(days=1),
) -> None:
    """Deliver a result that a student sat for an organisation."""
    with engine.begin() as connection:
        deliver(connection, session, student, at, answers)
        connection.execute(
            sa.text("update exam.exam_results set org_id = :org where session_id = :session"),
            {"org": org, "session": session},
        )


def score_deliveries(engine: Engine) -> None:
    """Let a worker do what there is to do."""
    Worker(engine, Scorer(Settings())).drain()


def open_site(database: Database, folder: Path) -> Site:
    """Fill a database and start a service on it."""
    engine = database.engine
    open_school(engine)
    publish_parameters(engine, "run_1", ITEMS)
    deliver_for(engine, "s_kim", "kim", "north")
    deliver_for(engine, "s_kim_2", "kim", "north", [("q_4", True), ("q_5", True)], NOW)
    deliver_for(engine, "s_lee", "lee", "south")
    deliver_for(engine, "s_old", "old", "north", at=NOW - timedelta(days=95))
    score_deliveries(engine)
    tokens = {
        "all": make_token(engine)[0],
        "north": make_token(engine, "north")[0],
        "south": make_token(engine, "south")[0],
    }
    return Site(database, ServiceProcess(database, folder).ready(), folder, tokens)
