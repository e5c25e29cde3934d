"""Rows of our own tables: from trials and back."""

from __future__ import annotations

import datetime
import functools
import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from sqlalchemy import Connection, Insert, RowMapping, Table, bindparam, select, update
from sqlalchemy.dialects import postgresql, sqlite

from nas.architecture import Architecture
from nas.checked import canonical_json
from nas.errors import NasError, StoreError
from nas.jobs import Budget
from nas.replicates import NETWORK
from nas.store import tables
from nas.trial import Source, State, Trial

LOST = "lost"  # state of an attempt whose worker or driver died
ENDS = frozenset({State.COMPLETE, State.PRUNED, State.FAIL})


def utc_now() -> datetime.datetime:
    """Naive UTC, as the tables hold it."""
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)


@functools.cache
def versions() -> str:
    """What this process runs, as JSON."""
    found = {"python": platform.python_version()}
    for package in ("mixer-nas", "torch", "optuna", "ray"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return canonical_json(found)


INSERT_TRIAL, INSERT_EVALUATION = tables.trials.insert(), tables.evaluations.insert()
UPDATE_EVALUATION = update(tables.evaluations).where(
    tables.evaluations.c.trial_id == bindparam("of_trial"), tables.evaluations.c.attempt == bindparam("of_attempt")
)


def trial_row(trial_id: int, study_id: int, trial: Trial) -> dict[str, Any]:
    """What stays the same over attempts."""
    return {
        "trial_id": trial_id,
        "study_id": study_id,
        "number": trial.number,
        "digest": trial.digest,
        "genome": json.dumps(list(trial.genome)),
        "origin": trial.origin,
        "parent": trial.parent,
    }


def evaluation_row(trial_id: int, study_id: int, trial: Trial, protocol: str) -> dict[str, Any]:
    """A new attempt."""
    budget = trial.budget
    return {
        "trial_id": trial_id,
        "study_id": study_id,
        "number": trial.number,
        "attempt": trial.attempt,
        "digest": trial.digest,
        "protocol": protocol,
        "source": trial.source.value,
        "seed": budget.seed,
        "device": budget.device,
        "checkpoint": budget.checkpoint,
        "versions": versions(),
        "began": utc_now(),
        **progress(trial),
    }


def progress(trial: Trial) -> dict[str, Any]:
    """What changes while an attempt runs and when it ends."""
    return {
        "state": trial.state.value,
        "start": trial.budget.start,
        "stop": trial.budget.stop,
        "metrics": canonical_json(dict(trial.metrics)),
        "curve": canonical_json({str(step): dict(metrics) for step, metrics in trial.curve.items()}),
        "seconds": trial.seconds,
        "host": trial.host,
        "reason": trial.reason,
        "ended": utc_now() if trial.state in ENDS else None,
    }


def keep_candidates(connection: Connection, trials: Iterable[Trial]) -> None:
    """Write the candidates that the database does not know yet."""
    bodies = {trial.digest: body for trial in trials if (body := _body(trial.candidate)) is not None}
    if not bodies:
        return
    rows = [{"digest": digest, "kind": kind, "body": body} for digest, (kind, body) in bodies.items()]
    connection.execute(_insert_new(connection.dialect.name), rows)


@functools.cache
def _insert_new(dialect: str, table: Table = tables.architectures) -> Insert:
    """Rows are told apart by their primary key; the first stays."""
    maker = postgresql.insert if dialect == "postgresql" else sqlite.insert
    return maker(table).on_conflict_do_nothing()


def read_measured(connection: Connection, device: str) -> dict[str, Mapping[str, float]]:
    """What was measured on a device, by the digest of the network."""
    found = connection.execute(select(tables.latencies).where(tables.latencies.c.device == device))
    return {row.digest: json.loads(row.metrics) for row in found}


def keep_measured(connection: Connection, digest: str, device: str, metrics: str) -> None:
    """`metrics` as JSON."""
    row = {"digest": digest, "device": device, "metrics": metrics, "measured": utc_now()}
    connection.execute(_insert_new(connection.dialect.name, tables.latencies), row)


def _body(candidate: Any) -> tuple[str, str] | None:
    """None for what JSON does not hold as it is; such a candidate is known by its genome alone."""
    if isinstance(candidate, Architecture):
        return "architecture", candidate.to_json()
    if isinstance(candidate, Mapping) and isinstance(candidate.get(NETWORK), Architecture):
        return NETWORK, canonical_json({**candidate, NETWORK: candidate[NETWORK].as_json()})
    try:
        body = canonical_json(candidate)
    except (TypeError, ValueError):
        return None
    return ("value", body) if json.loads(body) == candidate else None


def read_candidate(kind: str, body: str, where: str) -> Any:
    """A candidate as it was kept. Raises: StoreError naming where it stands."""
    try:
        if kind == "architecture":
            return Architecture.from_json(body)
        found = json.loads(body)
        return {**found, NETWORK: Architecture.from_json(json.dumps(found[NETWORK]))} if kind == NETWORK else found
    except (NasError, ValueError, KeyError) as error:
        raise StoreError(f"{where}: its architecture cannot be read: {error}") from error


def _epochs(attempt: RowMapping) -> int:
    return max(map(int, json.loads(attempt["curve"])), default=0)


def fruitless(attempts: Sequence[RowMapping]) -> int:
    """How many of the last attempts, in a row, brought no new epoch."""
    count = most = 0
    for attempt in attempts:
        count = 0 if _epochs(attempt) > most else count + 1
        most = max(most, _epochs(attempt))
    return count


def trial_of(row: RowMapping, attempts: list[RowMapping], candidate: Any) -> Trial:
    """A trial from its row and its attempts, the last of which tells where it stands."""
    last = attempts[-1]
    curve: dict[int, Mapping[str, float]] = {}
    for attempt in attempts:
        curve.update({int(step): metrics for step, metrics in json.loads(attempt["curve"]).items()})
    lost = last["state"] == LOST
    return Trial(
        number=row["number"],
        genome=tuple(json.loads(row["genome"])),
        candidate=candidate,
        digest=row["digest"],
        state=State.RUNNING if lost else State(last["state"]),
        origin=row["origin"],
        parent=row["parent"],
        attempt=last["attempt"],
        metrics=json.loads(last["metrics"]),
        budget=Budget(last["start"], last["stop"], last["seed"], last["device"], last["checkpoint"]),
        curve=curve,
        seconds=last["seconds"],
        host=last["host"],
        reason="" if lost else last["reason"],
        source=Source(last["source"]),
        vain=fruitless(attempts[:-1]),
        since=max(map(_epochs, attempts[:-1]), default=0),
    )
