"""Create the table of calibrations that clients poll for."""

from warehouse.migrations.run_sql import run_sql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None
kind = "expand"


def upgrade() -> None:
    """Apply."""
    run_sql("0004_requested_runs.sql")


def downgrade() -> None:
    """Take back."""
    run_sql("0004_requested_runs_down.sql")
