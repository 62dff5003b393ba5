"""Series found by their UID alone: one UID may have come in several studies."""

from alembic import op

revision = "0005"
down_revision = "0004"

INDEX = "ix_series_series_instance_uid"


def upgrade() -> None:
    """Apply the change."""
    op.create_index(INDEX, "series", ["series_instance_uid"])


def downgrade() -> None:
    """Take the change back."""
    op.drop_index(INDEX, "series")
