"""Remember why and whether a student was erased."""

from warehouse.migrations.run_sql import run_sql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None
kind = "expand"


def upgrade() -> None:
    """Apply."""
    run_sql("0006_erasures.sql")


def downgrade() -> None:
    """Take back."""
    run_sql("0006_erasures_down.sql")
