"""Create the tables of item fit, DIF, drift and what else a calibration is judged by."""

from warehouse.migrations.run_sql import run_sql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None
kind = "expand"


def upgrade() -> None:
    """Apply."""
    run_sql("0003_diagnostics.sql")


def downgrade() -> None:
    """Take back; refuses while something else depends on these tables."""
    run_sql("0003_diagnostics_down.sql")
