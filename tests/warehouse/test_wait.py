"""Programs wait for the schema they were written for, and say what they wait for."""

import subprocess
import sys
from collections.abc import Sequence

import pytest

from tests.conftest import ROOT, Database, DatabaseFactory
from warehouse import schema

NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"


def _start(url: str, arguments: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env={"DATABASE_URL": url, "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_wait_ends_when_the_schema_is_there(new_database: DatabaseFactory) -> None:
    database = new_database(empty=True)
    waiting = _start(database.url, ["warehouse", "wait", "--timeout", "120"])
    assert waiting.stderr is not None
    assert "run python -m warehouse migrate" in waiting.stderr.readline()
    schema.migrate(database.engine)
    out, err = waiting.communicate()
    assert (waiting.returncode, err) == (0, "")
    assert out.startswith("ready: ")


def test_wait_gives_up_and_says_why(new_database: DatabaseFactory) -> None:
    empty = new_database(empty=True)
    for url, reason in ((empty.url, "at no version, the code needs"), (NOWHERE, "no database")):
        waiting = _start(url, ["warehouse", "wait", "--timeout", "0"])
        _, err = waiting.communicate()
        assert waiting.returncode == 1
        assert reason in err


@pytest.mark.parametrize(
    "arguments",
    [
        ("warehouse", "step", "dbt-build", "--", "true"),
        ("irt_service", "worker", "--once"),
        ("irt_service", "serve", "--local", "--port", "0"),
        ("report_runner", "weekly"),
    ],
    ids=" ".join,
)
def test_programs_refuse_to_start_on_an_older_schema(
    older: Database, arguments: Sequence[str]
) -> None:
    program = _start(older.url, arguments)
    _, err = program.communicate()
    assert program.returncode == 1
    assert "run python -m warehouse migrate" in err
    assert "Traceback" not in err


@pytest.fixture(scope="module")
def older(new_database: DatabaseFactory) -> Database:
    """A database whose last migration has not been applied yet."""
    database = new_database()
    with database.engine.begin() as connection:
        connection.exec_driver_sql(
            "update ops.schema_version set version_num = '0004' where version_num <> 'exam_0001'"
        )
    return database
