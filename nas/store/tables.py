"""Our tables beside Optuna's. No foreign keys to Optuna's, so that its own `delete_study` still works."""

from __future__ import annotations

from sqlalchemy import Column, DateTime, Float, Index, Integer, MetaData, String, Table, Text

SCHEMA = 1  # raised with every change of the tables below; an unknown number is refused

metadata = MetaData()

schema = Table("nas_schema", metadata, Column("version", Integer, primary_key=True, autoincrement=False))

studies = Table(
    "nas_studies",
    metadata,
    Column("study_id", Integer, primary_key=True, autoincrement=False),
    Column("settings", Text, nullable=False),  # JSON: what the study is, for resume and for the commands
    Column("space_digest", String(32), nullable=False),
    Column("version", String(32), nullable=False),  # of mixer-nas
    Column("driver", Text),  # JSON: host, pid and boot of who drives it now
    Column("beat", DateTime),  # UTC, when the driver last wrote
)

architectures = Table(
    "nas_architectures",
    metadata,
    Column("digest", String(32), primary_key=True),
    Column("body", Text, nullable=False),  # canonical JSON
)

evaluations = Table(
    "nas_evaluations",
    metadata,
    Column("trial_id", Integer, primary_key=True, autoincrement=False),
    Column("study_id", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("digest", String(32), nullable=False),
    Column("genome", Text, nullable=False),  # JSON list of option indices
    Column("origin", String(32), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("budget", Text, nullable=False),  # JSON
    Column("metrics", Text, nullable=False),  # JSON: known costs, then what was measured
    Column("curve", Text, nullable=False),  # JSON: step -> metrics
    Column("seconds", Float),
    Column("host", String(255), nullable=False),
    Column("reason", Text, nullable=False),
    Index("nas_evaluations_study", "study_id", "number"),
    Index("nas_evaluations_digest", "digest"),
)
