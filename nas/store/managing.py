"""Studies as a whole: listing them, deleting one, asking its driver to end, enqueueing a candidate."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.storages._rdb import models
from optuna.trial import TrialState
from sqlalchemy import Connection, Float, Select, case, cast, delete, func, select, update

from nas.errors import InputError
from nas.objectives import objectives_from
from nas.store import lease, tables
from nas.store.database import connect, optuna_storage, quiet
from nas.store.opening import sweep
from nas.store.optuna_rows import STUDIES, SYSTEM_ATTRS, TRIALS, VALUES
from nas.store.reading import OURS, driver_of, locked_row, study_row
from nas.store.trouble import translated
from nas.trial import State

STATES = ("waiting", "running", "paused", "complete", "pruned", "fail")  # in the order in which they are shown


@dataclasses.dataclass(frozen=True)
class Summary:
    """A study in one line.

    Attributes:
        name, objectives: as it was made. counts: trials by state, in lower case; "waiting" are those
            that somebody enqueued.
        best: the best value of the first objective within the limits; None when there is none.
        driver: who has it now, or None.
    """

    name: str
    objectives: tuple[str, ...]
    counts: Mapping[str, int]
    best: float | None
    driver: str | None


def summaries(url: str) -> list[Summary]:
    """The studies of ours in a database, oldest first. Raises: InputError, StoreError."""
    engine = connect(url, create=False, reading=True)
    with translated(url), engine.begin() as connection:
        query = select(tables.studies, lease.clock(connection).label("now")).select_from(OURS)
        rows = list(connection.execute(query.order_by(STUDIES.c.study_id)).mappings())
        found = [_summary(connection, row) for row in rows]
    engine.dispose()
    return found


def _summary(connection: Connection, row: Any) -> Summary:
    this = TRIALS.c.study_id == row["study_id"]
    query = select(TRIALS.c.state, func.count().label("count")).where(this).group_by(TRIALS.c.state)
    counts = {found.state.name.lower(): found[1] for found in connection.execute(query)}
    if paused := connection.execute(_paused(row["study_id"])).scalar():
        counts = {"paused": paused, **counts, "running": counts["running"] - paused}
    counts = {state: counts[state] for state in STATES if counts.get(state)}
    objectives = objectives_from(json.loads(row["settings"])["objectives"])
    extreme = func.max if objectives[0].maximize else func.min
    of_limit = SYSTEM_ATTRS.c.key.like("constraints:%")  # the only ones that are numbers for certain
    over = select(SYSTEM_ATTRS.c.trial_id).where(
        SYSTEM_ATTRS.c.trial_id == TRIALS.c.trial_id,
        case((of_limit, cast(SYSTEM_ATTRS.c.value_json, Float)), else_=0.0) > 0,
    )
    values = (
        select(extreme(VALUES.c.value))
        .join(TRIALS)
        .where(this, VALUES.c.objective == 0, TRIALS.c.state == TrialState.COMPLETE, ~over.exists())
    )
    driver = driver_of(row)
    return Summary(
        row["name"],
        tuple(map(str, objectives)),
        counts,
        connection.execute(values).scalar(),
        lease.holder_of(driver) if driver else None,
    )


def _paused(study_id: int) -> Select[Any]:
    """How many trials are set aside at a rung; to Optuna they run."""
    evaluations = tables.evaluations
    set_aside = evaluations.c.state == State.PAUSED.value
    query = select(func.count()).select_from(evaluations.join(TRIALS, TRIALS.c.trial_id == evaluations.c.trial_id))
    return query.where(evaluations.c.study_id == study_id, set_aside, TRIALS.c.state == TrialState.RUNNING)


def delete_study(url: str, name: str) -> list[Path]:
    """Delete a study with its trials; its complete evaluations stay for `--reuse`.

    Returns the directories that hold its checkpoints, which stay too. Raises: InputError when it is being driven.
    """
    engine = connect(url, create=False)
    with translated(url), engine.begin() as connection:
        row = locked_row(connection, name, url)
        if driver := driver_of(row):
            raise InputError(f"study {name!r} is being driven by {lease.holder_of(driver)}; `nas studies stop` ends it")
        evaluations = tables.evaluations
        query = select(evaluations.c.checkpoint).where(evaluations.c.study_id == row["study_id"]).distinct()
        roots = {Path(path).parent for path in connection.execute(query).scalars() if path}
        _delete_optunas(connection, row["study_id"])
        sweep(connection)
    engine.dispose()
    return sorted(root for root in roots if root.name == name and root.is_dir())


def _delete_optunas(connection: Connection, study_id: int) -> None:
    """In bulk; Optuna itself loads every row of every trial first."""
    trials = select(TRIALS.c.trial_id).where(TRIALS.c.study_id == study_id)
    for table in reversed(models.BaseModel.metadata.sorted_tables):
        if "trial_id" in table.c and table is not TRIALS:
            connection.execute(delete(table).where(table.c.trial_id.in_(trials)))
    for table in reversed(models.BaseModel.metadata.sorted_tables):
        if "study_id" in table.c:
            connection.execute(delete(table).where(table.c.study_id == study_id))


def stop_study(url: str, name: str) -> str:
    """Ask the driver of a study to end; who that is. Raises: InputError when nobody drives it."""
    engine = connect(url, create=False)
    with translated(url), engine.begin() as connection:
        row = study_row(connection, name, url)
        driver = driver_of(row)
        if driver is None:
            raise InputError(f"nobody drives study {name!r}")
        this = tables.studies.c.study_id == row["study_id"]
        connection.execute(update(tables.studies).where(this).values(wanted="stop"))
    engine.dispose()
    return lease.holder_of(driver)


def driver_now(url: str, name: str) -> str | None:
    """Who drives a study now. Raises: InputError for an unknown one."""
    engine = connect(url, create=False, reading=True)
    with translated(url), engine.begin() as connection:
        driver = driver_of(study_row(connection, name, url))
    engine.dispose()
    return lease.holder_of(driver) if driver else None


def enqueue(url: str, name: str, params: Mapping[str, Any]) -> int:
    """Enqueue a candidate by its parameters, as Optuna does; its number. Raises: InputError, StoreError."""
    with translated(url), quiet():
        storage = optuna_storage(url)
        try:
            study = optuna.load_study(storage=storage, study_name=name)
            study.enqueue_trial(dict(params))
            found = study.get_trials(deepcopy=False)
        finally:
            storage.engine.dispose()
    return max(trial.number for trial in found if trial.system_attrs.get("fixed_params") == dict(params))
