"""A PostgreSQL that may be crashed, and a warehouse on it whose nights are spoilt one by one."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import BUILT_ON_NOTHING, FAST, Database
from tests.dbt.sequences import BUILD
from tests.dbt_runner import DbtRunner
from tests.drills.nights import Night, new_database
from warehouse.schema import migrate
from warehouse.server import LocalServer

SEED = 3


@pytest.fixture(scope="session")
def fragile_server() -> Iterator[LocalServer]:
    """A server that is not shared with other tests."""
    folder = Path(tempfile.mkdtemp(prefix="seedtest-drill-"))
    # The server's unprivileged user passes through.
    folder.chmod(0o711)
    settings = {**FAST, "shared_buffers": "128MB", "max_connections": "30"}
    server = LocalServer(folder / "server", settings=settings)
    server.start()
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def built_on_nothing(fragile_server: LocalServer, run_dbt: DbtRunner) -> Database:
    """A warehouse on that server in which everything was built before anything arrived."""
    database = new_database(fragile_server)
    migrate(database.engine, with_exam=True)
    run_dbt(*BUILD, database=database, vars={"as_of_date": BUILT_ON_NOTHING})
    database.engine.dispose()
    return database


@pytest.fixture(scope="session")
def nights(
    fragile_server: LocalServer,
    built_on_nothing: Database,
    run_dbt: DbtRunner,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Night]:
    """A school that was built, and that holds the rows of a full refresh after all drills."""
    folder = tmp_path_factory.mktemp("scratch")
    nights = Night(fragile_server, built_on_nothing, run_dbt, folder, seed=SEED)
    yield nights
    assert nights.differences() == []


@pytest.fixture
def night(nights: Night) -> Night:
    """The evening of a day full of arrivals."""
    nights.begin()
    return nights
