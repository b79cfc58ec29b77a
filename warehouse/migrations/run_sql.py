"""Runs a file of several SQL statements inside a migration."""

from pathlib import Path

from alembic import op

_FOLDER = Path(__file__).resolve().parent / "sql"


def run_sql(name: str) -> None:
    """Run `sql/<name>` as it is: no parameters, so that `%` and `:` mean themselves."""
    statements = (_FOLDER / name).read_text(encoding="utf-8")
    connection = op.get_bind().connection.dbapi_connection
    if connection is None:
        raise RuntimeError("migrations need a live connection; there is no offline mode")
    cursor = connection.cursor()
    try:
        cursor.execute(statements)
    finally:
        cursor.close()
