"""What a verdict rests on besides the clusters."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

COLUMNS = ("tag_probability", "neighbors", "hints", "defects", "facts")


def upgrade() -> None:
    """Apply the change."""
    with op.batch_alter_table("verdicts") as table:
        first, *others = COLUMNS
        table.add_column(sa.Column(first, sa.LargeBinary(), nullable=True))
        for name in others:
            table.add_column(sa.Column(name, sa.JSON(), nullable=True))


def downgrade() -> None:
    """Take the change back."""
    with op.batch_alter_table("verdicts") as table:
        for name in COLUMNS:
            table.drop_column(name)
