"""A small school, and the commands of the service run on it."""

import pytest

from irt_service.cli import main
from tests.conftest import Database
from tests.irt_service.school import Command, Done, build, deliver_school, open_school

N_STUDENTS = 300
N_ITEMS = 12


@pytest.fixture
def command(
    database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """The commands; a new process for each would spend the time on importing."""
    monkeypatch.setenv("DATABASE_URL", database.url)

    def run(*arguments: str) -> Done:
        capsys.readouterr()
        try:
            code = main(arguments)
        except SystemExit as ended:
            code = int(str(ended.code))
        return Done(code, *capsys.readouterr())

    return run


@pytest.fixture
def school(database: Database) -> Database:
    """A school that has been built and not calibrated."""
    open_school(database.engine)
    deliver_school(database.engine, N_STUDENTS, N_ITEMS)
    build(database.engine)
    return database
