"""Create the table of the HTTP service's tokens."""

from warehouse.migrations.run_sql import run_sql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None
kind = "expand"


def upgrade() -> None:
    """Apply."""
    run_sql("0002_api_tokens.sql")


def downgrade() -> None:
    """Take back."""
    run_sql("0002_api_tokens_down.sql")
