"""What was measured of networks before training, by device."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """A table of its own, empty."""
    op.create_table(
        "nas_latencies",
        sa.Column("digest", sa.String(32), primary_key=True),
        sa.Column("device", sa.String(255), primary_key=True),
        sa.Column("metrics", sa.Text, nullable=False),
        sa.Column("measured", sa.DateTime, nullable=False),
    )
