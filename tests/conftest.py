"""The real PostgreSQL that tests run on, a migrated database for each, and dbt on top.

One server serves all workers of a run. It is started by the first test that asks for a
database and stopped at the end of the run, by a watching process if the run is killed. With
DATABASE_URL set no server is started; databases are then made on that one.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psycopg
import pytest
from sqlalchemy.engine import URL, Engine, make_url

from tests.dbt_runner import DbtRunner
from warehouse.database import create_engine, parse_database_url
from warehouse.schema import migrate
from warehouse.server import LocalServer

ROOT = Path(__file__).resolve().parent.parent
# Set by the run's first process, inherited by its workers.
RUN_FOLDER = "SEEDTEST_TEST_FOLDER"
GIVEN_SERVER = "SEEDTEST_TEST_DATABASE_URL"
# Workers of a run share the cores; BLAS threads on top of them only wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# A test's database lives for seconds: nothing has to survive a power cut.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
# Before anything that tests deliver.
BUILT_ON_NOTHING = "2020-01-01"


@dataclass(frozen=True)
class Database:
    """A database of a test's own; `env` makes a subprocess use it."""

    url: str
    engine: Engine

    @property
    def name(self) -> str:
        """The database's name."""
        return str(self.engine.url.database)

    @property
    def env(self) -> dict[str, str]:
        """The environment of a subprocess that uses this database."""
        return {**os.environ, "DATABASE_URL": self.url}


class DatabaseFactory(Protocol):
    """Makes databases; they are dropped at the end of the test session."""

    def __call__(self, *, empty: bool = False) -> Database:
        """Return a new database: migrated with schema exam, or without anything."""


def pytest_configure(config: pytest.Config) -> None:
    """Prepare the run's folder, before workers are started."""
    given = os.environ.pop("DATABASE_URL", "").strip()
    if given:
        os.environ[GIVEN_SERVER] = given
    if not hasattr(config, "workerinput"):
        folder = Path(tempfile.mkdtemp(prefix="seedtest-tests-"))
        # The server's unprivileged user passes through.
        folder.chmod(0o711)
        os.environ[RUN_FOLDER] = str(folder)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the server after the last worker has ended."""
    if hasattr(config, "workerinput"):
        return
    folder = Path(os.environ.pop(RUN_FOLDER))
    given = os.environ.pop(GIVEN_SERVER, None)
    if given is not None:
        os.environ["DATABASE_URL"] = given
        for note in folder.glob("*.template"):
            _drop(parse_database_url(given), note.read_text())
    LocalServer(folder / "server").stop()
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _only_one(folder: Path, what: str = "server") -> Iterator[None]:
    with (folder / f"{what}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def server_url() -> URL:
    """The server of this run, as the URL of a database that exists on it."""
    given = os.environ.get(GIVEN_SERVER)
    if given is not None:
        return parse_database_url(given)
    folder = Path(os.environ[RUN_FOLDER])
    state = folder / "server"
    server = LocalServer(state, settings={**FAST, "max_connections": "200"})
    with _only_one(folder):
        if server.start():
            _watch(state)
    return server.url


def _watch(state: Path) -> None:
    # Workers are children of the run's first process; it is the one to outlive.
    run = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
    subprocess.Popen(
        [sys.executable, "-m", "tests.server_watch", str(run), str(state)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


@pytest.fixture(scope="session")
def template(server_url: URL) -> str:
    """The name of a migrated database with schema exam, which tests' databases copy."""
    folder = Path(os.environ[RUN_FOLDER])
    note = folder / "migrated.template"
    with _only_one(folder):
        if not note.exists():
            database = _create(server_url, "template1")
            migrate(database.engine, with_exam=True)
            database.engine.dispose()
            note.write_text(database.name)
    return note.read_text()


@pytest.fixture(scope="session")
def new_database(server_url: URL, template: str) -> Iterator[DatabaseFactory]:
    """A function that makes databases, for tests that want several or one per module."""
    with _copies(server_url) as copy:

        def make(*, empty: bool = False) -> Database:
            return copy("template0" if empty else template)

        yield make


@pytest.fixture
def database(server_url: URL, template: str) -> Iterator[Database]:
    """A fresh database: migrated, with the exam application's tables, empty."""
    with _copies(server_url) as copy:
        yield copy(template)


@pytest.fixture(scope="session")
def run_dbt(tmp_path_factory: pytest.TempPathFactory, new_database: DatabaseFactory) -> DbtRunner:
    """Runs dbt in this process: `run_dbt("build", "--select", "x", database=database)`."""
    run = Path(os.environ[RUN_FOLDER])
    return DbtRunner(
        root=ROOT,
        folder=tmp_path_factory.mktemp("dbt"),
        parsed=run / "parsed",
        only_one=lambda: _only_one(run, "parsing"),
        parse_database=new_database,
    )


@pytest.fixture(scope="session")
def new_warehouse(
    server_url: URL, template: str, run_dbt: DbtRunner
) -> Iterator[Callable[[], Database]]:
    """A function that makes databases in which everything was built before anything arrived.

    What arrives there is built incrementally from the start: a third of the time that the
    first build of a database takes.
    """
    run = Path(os.environ[RUN_FOLDER])
    note = run / "built.template"
    with _only_one(run, "building"):
        if not note.exists():
            source = _create(server_url, template)
            build = ("build", "--exclude-resource-type", "test", "unit_test")
            run_dbt(*build, database=source, vars={"as_of_date": BUILT_ON_NOTHING})
            note.write_text(source.name)
    with _copies(server_url) as copy:
        yield lambda: copy(note.read_text())


@pytest.fixture
def warehouse(new_warehouse: Callable[[], Database]) -> Database:
    """A database in which everything was built before anything arrived."""
    return new_warehouse()


@contextmanager
def _copies(server: URL) -> Iterator[Callable[[str], Database]]:
    """A function that copies the database it is told the name of; the copies are dropped."""
    made: list[Database] = []

    def copy(template: str) -> Database:
        database = _create(server, template)
        made.append(database)
        return database

    try:
        yield copy
    finally:
        for database in made:
            database.engine.dispose()
            _drop(server, database.name)


def _create(server: URL, template: str) -> Database:
    # All names are of one length: see DbtRunner.
    name = f"seedtest_test_{uuid.uuid4().hex[:12]}"
    _administer(server, f'create database "{name}" template "{template}"')
    url = server.set(database=name)
    return Database(
        url=url.set(drivername="postgresql").render_as_string(hide_password=False),
        engine=create_engine(url),
    )


def _administer(server: URL, statement: str) -> None:
    url = make_url(server).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


def _drop(server: URL, name: str) -> None:
    _administer(server, f'drop database if exists "{name}" with (force)')
