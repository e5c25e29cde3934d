"""Whose weights a trial began with."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """No trial of before has a parent."""
    op.add_column("nas_trials", sa.Column("parent", sa.Integer))
