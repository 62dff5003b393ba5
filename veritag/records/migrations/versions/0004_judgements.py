"""What the model said of each tag of a series, and series by station."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "judgements",
        sa.Column("id", ID, nullable=False),
        sa.Column("series_id", ID, nullable=False),
        sa.Column("bundle_id", sa.String(64), nullable=False),
        sa.Column("tag", sa.String(64), nullable=False),
        sa.Column("observed", sa.Text(), nullable=False),
        sa.Column("shows", sa.Text(), nullable=True),
        sa.Column("probability_wrong", sa.Float(), nullable=True),
        sa.Column("score", sa.Float(), nullable=True),
        sa.Column("flagged", sa.Boolean(), nullable=False),
        sa.Column("withheld", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_judgements")),
        sa.ForeignKeyConstraint(
            ["series_id"], ["series.id"], name=op.f("fk_judgements_series_id")
        ),
        sa.UniqueConstraint("series_id", "tag", name="uq_judgements_series_id_tag"),
    )
    op.create_index(
        "ix_series_station_name_manufacturer",
        "series",
        ["station_name", "manufacturer"],
    )


def downgrade() -> None:
    """Take the change back."""
    op.drop_index("ix_series_station_name_manufacturer", "series")
    op.drop_table("judgements")
