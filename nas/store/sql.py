"""The store on a database: one study, one driver, short transactions."""

from __future__ import annotations

import dataclasses
import json
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.study import StudyDirection
from sqlalchemy import Connection, Engine, Update, select, update

from nas.architecture import Architecture
from nas.checked import canonical_json
from nas.errors import InputError, StoreError
from nas.jobs import Metrics
from nas.objectives import Objective
from nas.space import Space
from nas.store import lease, optuna_rows, tables
from nas.store.database import connect, optuna_storage, translated
from nas.store.optuna_rows import TRIALS
from nas.store.reading import read_trials
from nas.trial import State, Trial
from nas.version import __version__

HOLD_S = 1.0  # reports are held back at most so long


class SqlStore:
    """The trials of one study in a database (see `nas.store.base.Store` for the contract)."""

    def __init__(
        self, url: str, engine: Engine, study_id: int, objectives: Sequence[Objective], *, holder: str, clean: bool
    ) -> None:
        """Use `open_study`, which makes the study or takes it over."""
        self._url, self._engine, self._study_id, self._holder, self.clean = url, engine, study_id, holder, clean
        self._objectives = tuple(objectives)
        self._trial_ids: dict[int, int] = {}
        self._held: list[tuple[int, int, float]] = []
        self._curves: dict[int, Trial] = {}
        self._written = time.monotonic()
        self._heart = lease.Heart(self._beat)

    def load(self, space: Space) -> Sequence[Trial]:
        """All trials by number. Raises: StoreError when numbers are missing, which no study of ours has."""
        with translated(self._url), self._engine.begin() as connection:
            rows = read_trials(connection, self._study_id, space)
        self._trial_ids = {trial.number: trial_id for trial_id, trial in rows}
        if sorted(self._trial_ids) != list(range(len(rows))):
            raise StoreError(
                f"study {self._study_id}: it holds trials that mixer-nas did not write; start another study"
            )
        return [trial for _, trial in rows]

    def begin(self, space: Space, trial: Trial) -> Trial:
        """One transaction: Optuna's rows, the architecture, our row."""
        genes = {gene.path: gene for gene in space.genes}
        attrs = {"digest": trial.digest, "origin": trial.origin, **trial.metrics}
        with self._transaction() as connection:
            trial_id, number = optuna_rows.insert_running(
                connection, self._study_id, space.params(trial.genome), genes, attrs
            )
            trial = dataclasses.replace(trial, number=number)
            if isinstance(trial.candidate, Architecture):
                _keep_architecture(connection, trial.digest, trial.candidate.to_json())
            row = {"trial_id": trial_id, "study_id": self._study_id, "number": number, **_row(trial)}
            connection.execute(tables.evaluations.insert().values(row))
        self._trial_ids[number] = trial_id
        return trial

    def again(self, trial: Trial) -> None:
        """Count the attempt."""
        with self._transaction() as connection:
            self._update(connection, trial)

    def report(self, trial: Trial, step: int, metrics: Metrics) -> None:
        """The first objective as Optuna's intermediate value, where there is one objective and it was reported."""
        value = metrics.get(self._objectives[0].name)
        if len(self._objectives) == 1 and value is not None:
            self._held.append((self._trial_ids[trial.number], step, float(value)))
        self._curves[trial.number] = trial
        if time.monotonic() - self._written > HOLD_S:
            with self._transaction():
                pass

    def finish(self, trial: Trial, values: Sequence[float] | None, excesses: Mapping[str, float]) -> None:
        """One transaction: state, values, constraints, and our row."""
        attrs: dict[str, Any] = {"seconds": trial.seconds}
        if trial.reason:
            attrs["reason"] = trial.reason
        with self._transaction() as connection:
            if not optuna_rows.finish(connection, self._trial_ids[trial.number], values, excesses, attrs):
                raise StoreError(f"trial {trial.number} is not running in the database: somebody else ended it")
            self._update(connection, trial)

    def close(self) -> None:
        """Write what was held back and give up the study, unless another driver has it already."""
        self._heart.stop()
        try:
            with self._transaction() as connection:
                connection.execute(self._study_row().values(driver=None))
        except lease.Lost:
            pass
        finally:
            self._engine.dispose()

    def _beat(self) -> None:
        with translated(self._url), self._engine.begin() as connection:
            lease.renew(connection, self._study_id, self._holder)

    def _update(self, connection: Connection, trial: Trial) -> None:
        trial_id = self._trial_ids[trial.number]
        connection.execute(
            update(tables.evaluations).where(tables.evaluations.c.trial_id == trial_id).values(_row(trial))
        )

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """A transaction that also writes the reports held back, which are forgotten once it is committed."""
        with translated(self._url), self._engine.begin() as connection:
            lease.renew(connection, self._study_id, self._holder)
            latest = {(trial_id, step): value for trial_id, step, value in self._held}
            optuna_rows.insert_steps(connection, [(*key, value) for key, value in latest.items()])
            for trial in self._curves.values():
                self._update(connection, trial)
            yield connection
        self._held.clear()
        self._curves.clear()
        self._written = time.monotonic()

    def _study_row(self) -> Update:
        return update(tables.studies).where(tables.studies.c.study_id == self._study_id)


def open_study(
    url: str, name: str, settings: Mapping[str, Any], space_digest: str, objectives: Sequence[Objective]
) -> SqlStore:
    """The store of the study called `name`, made if need be, and this process as its driver.

    Raises: InputError when the study exists with other settings (naming the fields that differ) or has a living
    driver (naming it), StoreError when the database cannot be used.
    """
    engine = connect(url, create=True)
    with translated(url):
        storage = optuna_storage(url)
        directions = [StudyDirection.MAXIMIZE if goal.maximize else StudyDirection.MINIMIZE for goal in objectives]
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        try:
            study = optuna.create_study(storage=storage, study_name=name, directions=directions)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                study.set_metric_names([objective.name for objective in objectives])
            made = True
        except optuna.exceptions.DuplicatedStudyError:
            study = optuna.load_study(storage=storage, study_name=name)
            made = False
        finally:
            optuna.logging.set_verbosity(verbosity)
        study_id = storage.get_study_id_from_name(name)
        storage.engine.dispose()
        holder = lease.lease_text(lease.this_process())
        with engine.begin() as connection:
            clean = _take_over(connection, study_id, name, dict(settings), space_digest, holder, made=made)
    return SqlStore(url, engine, study_id, objectives, holder=holder, clean=clean)


def _take_over(
    connection: Connection,
    study_id: int,
    name: str,
    settings: dict[str, Any],
    space_digest: str,
    holder: str,
    *,
    made: bool,
) -> bool:
    """Make the study's row or take its lease; whether the driver before us let go of it in order."""
    us = {"driver": holder, "beat": lease.utc_now()}
    if made:  # SQLite gives the id of a study deleted through Optuna to the next one
        for table in (tables.studies, tables.evaluations):
            connection.execute(table.delete().where(table.c.study_id == study_id))
    found = connection.execute(select(tables.studies).where(tables.studies.c.study_id == study_id)).mappings().first()
    if found is None:
        first = connection.execute(select(TRIALS.c.trial_id).where(TRIALS.c.study_id == study_id)).first()
        if not made and first is not None:
            raise InputError(
                f"study {name!r} is in this database, but mixer-nas did not make it; choose another --study"
            )
        row = {
            "study_id": study_id,
            "settings": canonical_json(settings),
            "space_digest": space_digest,
            "version": __version__,
        }
        connection.execute(tables.studies.insert().values({**row, **us}))
        return True
    before = json.loads(found["settings"])
    differ = sorted(key for key in before.keys() | settings.keys() if before.get(key) != settings.get(key))
    if differ or found["space_digest"] != space_digest:
        shown = "; ".join(f"{key}: {_short(before.get(key))} there, {_short(settings.get(key))} here" for key in differ)
        shown = shown or "space: its definition changed"
        raise InputError(f"study {name!r} was made with other settings ({shown}); choose another --study")
    if found["driver"] and (other := lease.living(json.loads(found["driver"]), found["beat"])):
        raise InputError(f"study {name!r} is being driven by {other}; wait for it, or stop it first")
    connection.execute(update(tables.studies).where(tables.studies.c.study_id == study_id).values(us))
    return found["driver"] is None


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _row(trial: Trial) -> dict[str, Any]:
    return {
        "digest": trial.digest,
        "genome": json.dumps(list(trial.genome)),
        "origin": trial.origin,
        "attempt": trial.attempt,
        "state": trial.state.value,
        "budget": canonical_json(dataclasses.asdict(trial.budget)),
        "metrics": canonical_json(dict(trial.metrics)),
        "curve": canonical_json({str(step): dict(metrics) for step, metrics in trial.curve.items()}),
        "seconds": trial.seconds,
        "host": trial.host,
        "reason": trial.reason if trial.state is State.FAIL else "",
    }


def _keep_architecture(connection: Connection, digest: str, body: str) -> None:
    known = connection.execute(
        select(tables.architectures.c.digest).where(tables.architectures.c.digest == digest)
    ).first()
    if known is None:
        connection.execute(tables.architectures.insert().values(digest=digest, body=body))
