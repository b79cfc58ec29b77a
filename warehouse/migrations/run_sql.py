"""Runs a file of several SQL statements inside a migration."""

from pathlib import Path

from alembic import op

_FOLDER = Path(__file__).resolve().parent / "sql"


def run_sql(name: str) -> None:
    """Run `sql/<name>` as it is: no parameters, so that `%` and `:` mean themselves."""
    statements = (_FOLDER / name).read_text(encoding="utf-8")
    op.get_bind().exec_driver_sql(statements, execution_options={"no_parameters": True})
