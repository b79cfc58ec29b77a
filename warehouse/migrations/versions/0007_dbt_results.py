"""Keep what dbt says of each node."""

from warehouse.migrations.run_sql import run_sql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None
kind = "expand"


def upgrade() -> None:
    """Apply."""
    run_sql("0007_dbt_results.sql")


def downgrade() -> None:
    """Take back."""
    run_sql("0007_dbt_results_down.sql")
