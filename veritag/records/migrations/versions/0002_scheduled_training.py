"""Training that starts by itself: why, whether it lives, and what the gate said."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

MOMENT = sa.DateTime(timezone=True)
COLUMNS = ("trigger", "reason", "heartbeat_at", "champion_id", "gate", "outcome")


def upgrade() -> None:
    """Apply the change."""
    with op.batch_alter_table("training_runs") as table:
        table.add_column(sa.Column("trigger", sa.String(length=16), nullable=True))
        table.add_column(sa.Column("reason", sa.Text(), nullable=True))
        table.add_column(sa.Column("heartbeat_at", MOMENT, nullable=True))
        table.add_column(sa.Column("champion_id", sa.String(length=64), nullable=True))
        table.add_column(sa.Column("gate", sa.JSON(), nullable=True))
        table.add_column(sa.Column("outcome", sa.String(length=16), nullable=True))


def downgrade() -> None:
    """Take the change back."""
    with op.batch_alter_table("training_runs") as table:
        for column in COLUMNS:
            table.drop_column(column)
