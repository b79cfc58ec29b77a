"""Create the exam application's tables, for local use."""

from warehouse.migrations.run_sql import run_sql

revision = "exam_0001"
down_revision = None
branch_labels = ("exam",)
depends_on = None
kind = "expand"


def upgrade() -> None:
    """Apply."""
    run_sql("exam_0001.sql")


def downgrade() -> None:
    """Take back."""
    run_sql("exam_0001_down.sql")
