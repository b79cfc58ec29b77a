"""${message}."""

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}
kind = "expand"


def upgrade() -> None:
    """Apply."""


def downgrade() -> None:
    """Take back."""
