"""Which schema versions this code knows, which the database is at, and whether they agree.

Each migration says whether it expands (it only adds: code that was written before it goes on
working) or contracts (it takes away or changes what older code uses). A database may be ahead of
the code by steps that expand, so that a new version can be rolled out, and back, while the old one
serves. How far back that reaches is written into the database by whoever migrates it.
"""

from collections.abc import Iterable
from functools import cache
from pathlib import Path

import sqlalchemy as sa
from alembic.config import Config
from alembic.script import Script, ScriptDirectory
from sqlalchemy.engine import Connection

from warehouse.errors import SchemaAheadError, SchemaVersionError

WAREHOUSE = "warehouse"
EXAM = "exam"
VERSION_TABLE = "ops.schema_version"
EXPAND = "expand"
CONTRACT = "contract"


def configuration(connection: Connection | None) -> Config:
    """Return Alembic's configuration for a connection."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


@cache
def scripts(branch: str) -> tuple[Script, ...]:
    """Return the migrations of a branch, the newest first."""
    directory = ScriptDirectory.from_config(configuration(None))
    return tuple(directory.iterate_revisions(f"{branch}@head", "base"))


def branch_of(name: str) -> set[str]:
    """Return the revisions of a branch."""
    return {script.revision for script in scripts(name)}


def known() -> set[str]:
    """Return every revision that this code knows."""
    return branch_of(WAREHOUSE) | branch_of(EXAM)


def head(branch: str) -> str:
    """Return the newest revision of a branch."""
    return str(scripts(branch)[0].revision)


def kind_of(script: Script) -> str:
    """Return `expand` or `contract`, as the migration says."""
    return str(script.module.kind)


def oldest_code(branch: Iterable[Script]) -> str:
    """Return the revision that code has to know to work with a database at this branch's head.

    That is the last one that contracts, else the first of all.
    """
    steps = list(branch)
    contracting = [step.revision for step in steps if kind_of(step) == CONTRACT]
    return str(contracting[0] if contracting else steps[-1].revision)


def read_revisions(connection: Connection) -> set[str]:
    """Return the revisions that the database is at, one per branch; none when it is empty."""
    if not _exists(connection, VERSION_TABLE):
        return set()
    rows = connection.execute(sa.text(f"select version_num from {VERSION_TABLE}"))  # noqa: S608 - a constant
    return set(rows.scalars())


def write_window(connection: Connection) -> None:
    """Note in the database how old code may be that still works with it."""
    connection.execute(
        sa.text(
            """
            insert into ops.schema_window (is_only, oldest_code) values (true, :oldest_code)
            on conflict (is_only) do update set oldest_code = excluded.oldest_code
            where schema_window.oldest_code <> excluded.oldest_code
            """
        ),
        {"oldest_code": oldest_code(scripts(WAREHOUSE))},
    )


def is_ahead(connection: Connection, found: set[str]) -> bool:
    """Say whether the database is ahead of this code, by steps that this code works with.

    Raises SchemaAheadError when it is ahead by a step that it does not work with.
    """
    unknown = found - known()
    if not unknown:
        return False
    oldest = None
    if _exists(connection, "ops.schema_window"):
        oldest = connection.execute(
            sa.text("select oldest_code from ops.schema_window")
        ).scalar_one_or_none()
    if oldest not in branch_of(WAREHOUSE):
        raise SchemaAheadError(
            f"the database is at {', '.join(sorted(unknown))}, which is newer than this code "
            f"({head(WAREHOUSE)}) and no longer works with it: update the code"
        )
    return True


def require(connection: Connection, place: str) -> None:
    """Raise SchemaVersionError unless this code works with the database at `place`."""
    found = read_revisions(connection)
    if is_ahead(connection, found):
        return
    needed = head(WAREHOUSE)
    if needed not in found:
        here = ", ".join(sorted(found & branch_of(WAREHOUSE))) or "no version"
        raise SchemaVersionError(
            f"the database at {place} is at {here}, the code needs {needed}: "
            "run python -m warehouse migrate"
        )


def _exists(connection: Connection, table: str) -> bool:
    found: bool = connection.execute(
        sa.text("select to_regclass(:name) is not null"), {"name": table}
    ).scalar_one()
    return found
