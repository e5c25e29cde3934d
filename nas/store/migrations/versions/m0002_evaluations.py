"""Evaluations apart from trials, one for each attempt, so that they outlive studies; the lease with a fence."""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Split the old evaluations into trials and evaluations; everything that was known stays."""
    connection = op.get_bind()
    old = sa.Table("nas_evaluations", sa.MetaData(), autoload_with=connection)
    rows = [dict(row) for row in connection.execute(sa.select(old)).mappings()]
    op.drop_table("nas_evaluations")
    trials, evaluations = _make_tables()
    for first in range(0, len(rows), 1000):
        part = rows[first : first + 1000]
        names = ("trial_id", "study_id", "number", "digest", "genome", "origin")
        connection.execute(trials.insert(), [{name: row[name] for name in names} for row in part])
        connection.execute(evaluations.insert(), [_evaluation(row) for row in part])
    _studies(connection)
    op.add_column("nas_architectures", sa.Column("kind", sa.String(16), nullable=False, server_default="architecture"))


def _evaluation(row: dict[str, Any]) -> dict[str, Any]:
    names = ("trial_id", "study_id", "number", "attempt", "digest", "state", "metrics", "curve")
    kept = {name: row[name] for name in (*names, "seconds", "host", "reason")}
    return {**kept, **json.loads(row["budget"]), "protocol": "", "source": "trained", "versions": "{}"}


def _studies(connection: sa.Connection) -> None:
    op.add_column("nas_studies", sa.Column("name", sa.String(512), nullable=False, server_default=""))
    op.add_column("nas_studies", sa.Column("pulse", sa.Float))
    op.add_column("nas_studies", sa.Column("written", sa.Integer, nullable=False, server_default="0"))
    op.add_column("nas_studies", sa.Column("wanted", sa.String(16), nullable=False, server_default=""))
    op.drop_column("nas_studies", "beat")
    names = "(SELECT study_name FROM studies WHERE studies.study_id = nas_studies.study_id)"
    connection.execute(sa.text(f"UPDATE nas_studies SET name = coalesce({names}, '')"))  # noqa: S608 - constants


def _make_tables() -> tuple[sa.Table, sa.Table]:
    trials = op.create_table(
        "nas_trials",
        sa.Column("trial_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("study_id", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("digest", sa.String(32), nullable=False),
        sa.Column("genome", sa.Text, nullable=False),
        sa.Column("origin", sa.String(32), nullable=False),
    )
    op.create_index("nas_trials_study", "nas_trials", ["study_id", "number"])
    evaluations = op.create_table(
        "nas_evaluations",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("trial_id", sa.Integer),
        sa.Column("study_id", sa.Integer),
        sa.Column("number", sa.Integer),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("digest", sa.String(32), nullable=False),
        sa.Column("protocol", sa.String(32), nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("reused_from", sa.Integer),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("start", sa.Integer, nullable=False),
        sa.Column("stop", sa.Integer, nullable=False),
        sa.Column("seed", sa.Integer, nullable=False),
        sa.Column("device", sa.String(64), nullable=False),
        sa.Column("checkpoint", sa.Text, nullable=False),
        sa.Column("metrics", sa.Text, nullable=False),
        sa.Column("curve", sa.Text, nullable=False),
        sa.Column("seconds", sa.Float),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("versions", sa.Text, nullable=False),
        sa.Column("began", sa.DateTime),
        sa.Column("ended", sa.DateTime),
    )
    op.create_index("nas_evaluations_study", "nas_evaluations", ["study_id", "number"])
    op.create_index("nas_evaluations_trial", "nas_evaluations", ["trial_id", "attempt"], unique=True)
    op.create_index("nas_evaluations_protocol", "nas_evaluations", ["protocol", "digest"])
    return trials, evaluations
