"""Which instances the archive no longer holds, and which are about to be removed."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

INDEX = "ix_instances_removed_at_received_at"
COLUMNS = ("removing_at", "removed_at")


def upgrade() -> None:
    """Apply the change."""
    for name in COLUMNS:
        moment = sa.Column(name, sa.DateTime(timezone=True), nullable=True)
        op.add_column("instances", moment)
    op.create_index(INDEX, "instances", ["removed_at", "received_at"])


def downgrade() -> None:
    """Take the change back."""
    op.drop_index(INDEX, "instances")
    for name in COLUMNS:
        op.drop_column("instances", name)
