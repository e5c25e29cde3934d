"""Our tables beside Optuna's. No foreign keys to Optuna's, so that its own `delete_study` still works.

Every change here comes with a migration in `nas/store/migrations` and a kept database file in the tests.
"""

from __future__ import annotations

from sqlalchemy import Column, DateTime, Float, Index, Integer, MetaData, String, Table, Text

metadata = MetaData()

studies = Table(
    "nas_studies",
    metadata,
    Column("study_id", Integer, primary_key=True, autoincrement=False),  # Optuna's, of the study of this name
    Column("name", String(512), nullable=False),
    Column("settings", Text, nullable=False),  # JSON: what the study is, for resume and for the commands
    Column("space_digest", String(32), nullable=False),
    Column("version", String(32), nullable=False),  # of mixer-nas
    Column("driver", Text),  # JSON: who drives it now, see nas.store.lease
    Column("pulse", Float),  # seconds on the database's clock, when the driver last gave a sign of life
    Column("written", Integer, nullable=False),  # batches written so far: the fence
    Column("wanted", String(16), nullable=False),  # "stop": the driver shall end
)

architectures = Table(
    "nas_architectures",
    metadata,
    Column("digest", String(32), primary_key=True),
    Column("body", Text, nullable=False),  # canonical JSON
    Column("kind", String(16), nullable=False),  # "architecture", "network" in a mapping, "value" for others
)

trials = Table(
    "nas_trials",
    metadata,
    Column("trial_id", Integer, primary_key=True, autoincrement=False),  # Optuna's
    Column("study_id", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("digest", String(32), nullable=False),
    Column("genome", Text, nullable=False),  # JSON list of option indices
    Column("origin", String(32), nullable=False),
    Column("parent", Integer),  # number of the trial whose weights it began with; none: from scratch
    Index("nas_trials_study", "study_id", "number"),
)

latencies = Table(
    "nas_latencies",
    metadata,
    Column("digest", String(32), primary_key=True),
    Column("device", String(255), primary_key=True),  # and all else that a measurement depends on
    Column("metrics", Text, nullable=False),  # JSON
    Column("measured", DateTime, nullable=False),  # UTC
)

evaluations = Table(
    "nas_evaluations",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("trial_id", Integer),  # this and the next two: none once the study is deleted
    Column("study_id", Integer),
    Column("number", Integer),
    Column("attempt", Integer, nullable=False),
    Column("digest", String(32), nullable=False),
    Column("protocol", String(32), nullable=False),  # digest of data and training; empty: comparable with nothing
    Column("source", String(16), nullable=False),  # trained, reused or adopted
    Column("reused_from", Integer),  # id of the evaluation whose metrics these are
    Column("state", String(16), nullable=False),  # of a trial, or "lost"
    Column("start", Integer, nullable=False),  # epochs
    Column("stop", Integer, nullable=False),
    Column("seed", Integer, nullable=False),
    Column("device", String(64), nullable=False),
    Column("checkpoint", Text, nullable=False),
    Column("metrics", Text, nullable=False),  # JSON: known costs, then what was measured
    Column("curve", Text, nullable=False),  # JSON: step -> metrics
    Column("seconds", Float),
    Column("host", String(255), nullable=False),
    Column("reason", Text, nullable=False),
    Column("versions", Text, nullable=False),  # JSON: of Python, torch, Optuna and mixer-nas
    Column("began", DateTime),  # UTC
    Column("ended", DateTime),
    Index("nas_evaluations_study", "study_id", "number"),
    Index("nas_evaluations_trial", "trial_id", "attempt", unique=True),
    Index("nas_evaluations_protocol", "protocol", "digest"),
)
