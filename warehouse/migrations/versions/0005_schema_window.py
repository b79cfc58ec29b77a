"""Note how old code may be that works with the schema."""

from warehouse.migrations.run_sql import run_sql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None
kind = "expand"


def upgrade() -> None:
    """Apply."""
    run_sql("0005_schema_window.sql")


def downgrade() -> None:
    """Take back."""
    run_sql("0005_schema_window_down.sql")
