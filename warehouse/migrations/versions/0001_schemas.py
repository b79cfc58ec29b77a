"""Create the schemas irt, reports and ops."""

from warehouse.migrations.run_sql import run_sql

revision = "0001"
down_revision = None
branch_labels = ("warehouse",)
depends_on = None
kind = "expand"


def upgrade() -> None:
    """Apply."""
    run_sql("0001_irt.sql")
    run_sql("0001_reports_ops.sql")


def downgrade() -> None:
    """Take back; refuses while something else depends on these tables."""
    run_sql("0001_irt_down.sql")
    run_sql("0001_reports_ops_down.sql")
