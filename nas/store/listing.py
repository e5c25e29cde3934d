"""Reading a study for the dashboard: every finished trial once, then only what is open or new.

A finished trial never changes in Optuna's tables, and trial ids of a study rise in the order in which they were
committed (whoever adds a trial has locked the study), so "above the highest id, or still open" is all there is to read.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Iterable, Mapping
from typing import Any

from optuna.storages._rdb import models
from sqlalchemy import ColumnElement, Connection, RowMapping, Select, Table, case, func, or_, select

from nas.store import lease, tables
from nas.store.database import connect
from nas.store.optuna_rows import INTERMEDIATE, PARAMS, STUDIES, SYSTEM_ATTRS, TRIALS, USER_ATTRS, VALUES
from nas.store.reading import OURS, driver_of
from nas.store.rows import read_candidate
from nas.store.settings import read_settings
from nas.store.trouble import translated

DIRECTIONS: Table = models.StudyDirectionModel.__table__
STUDY_USER_ATTRS: Table = models.StudyUserAttributeModel.__table__
STUDY_SYSTEM_ATTRS: Table = models.StudySystemAttributeModel.__table__
ENDED = frozenset({"COMPLETE", "PRUNED", "FAIL"})
MANY_OPEN = 5000  # from so many on the whole study is read: a statement takes only so many parameters


@dataclasses.dataclass(frozen=True)
class Header:
    """A study of ours without its trials.

    Attributes:
        directions: "maximize" or "minimize", one an objective.
        user_attrs, system_attrs: Optuna's.
        settings, version: as it was made. driver: who drives it now, or None.
    """

    study_id: int
    name: str
    directions: tuple[str, ...]
    user_attrs: Mapping[str, Any]
    system_attrs: Mapping[str, Any]
    settings: Mapping[str, Any]
    version: str
    driver: Mapping[str, Any] | None


@dataclasses.dataclass(frozen=True)
class Attempt:
    """An evaluation of a trial, as `nas_evaluations` holds it."""

    attempt: int
    state: str
    source: str
    start: int
    stop: int
    seed: int
    device: str
    metrics: Mapping[str, float]
    curve: Mapping[str, Mapping[str, float]]
    seconds: float | None
    host: str
    reason: str
    versions: str


@dataclasses.dataclass
class Row:
    """A trial as Optuna's tables hold it, and what ours add.

    Attributes:
        state: Optuna's, in capitals. started, ended: naive UTC, as it was written.
        params: (name, distribution as Optuna's JSON, value in Optuna's notation), as they were written.
        values: of the objectives; empty for none. steps: intermediate values; None stands for one that is no number.
        digest, origin, kind, body: of our rows; `kind` is "" for a candidate that is not kept, `body` None where the
            caller did not ask for it. attempts: empty for a trial that another program added.
    """

    trial_id: int
    number: int
    state: str
    started: datetime.datetime | None
    ended: datetime.datetime | None
    params: list[tuple[str, str, float]] = dataclasses.field(default_factory=list)
    values: list[float] = dataclasses.field(default_factory=list)
    steps: list[tuple[int, float]] = dataclasses.field(default_factory=list)
    user_attrs: dict[str, Any] = dataclasses.field(default_factory=dict)
    system_attrs: dict[str, Any] = dataclasses.field(default_factory=dict)
    digest: str = ""
    origin: str = ""
    kind: str = ""
    body: str | None = None
    attempts: list[Attempt] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Known:
    """What somebody who looked before has of a study.

    Attributes:
        name: the study's. ends: (id, end) of some finished trials, by which a study that was made anew is noticed.
        above: the highest trial id. open: the ids of the trials that had not ended. ours: how many have rows of ours.
    """

    name: str = ""
    ends: tuple[tuple[int, datetime.datetime | None], ...] = ()
    above: int = 0
    open: frozenset[int] = frozenset()
    ours: int = 0


@dataclasses.dataclass(frozen=True)
class Look:
    """A study at one moment: its header, and the trials that are new or were open; all of them if `whole`."""

    header: Header
    rows: tuple[Row, ...]
    whole: bool


class Reader:
    """A database to look at; for several threads."""

    def __init__(self, url: str) -> None:
        """Raises: InputError when there is no such database, StoreError when it cannot be used."""
        self._url, self._engine = url, connect(url, create=False, reading=True)

    def look(self, study_id: int, known: Known, *, drawn: int = 0) -> Look | None:
        """A study of ours by Optuna's id; None for any other. Raises: StoreError.

        Args:
            study_id: Optuna's.
            known: what the caller has.
            drawn: candidates come along for trials below this number, and for starting points.
        """
        with translated(self._url), self._engine.begin() as connection:
            header = _header(connection, study_id)
            if header is None:
                return None
            whole = len(known.open) > MANY_OPEN or not _goes_on(connection, header, known)
            new: ColumnElement[bool] = TRIALS.c.study_id == study_id
            if not whole:
                new &= or_(TRIALS.c.trial_id > known.above, TRIALS.c.trial_id.in_(sorted(known.open)))
            return Look(header, tuple(_rows(connection, new, drawn)), whole)

    def candidate(self, study_id: int, number: int) -> tuple[str, Any, Mapping[str, float]] | None:
        """A trial of ours: the study's name, the candidate, the metrics. None where there is none, or it is not kept.

        Raises: StoreError.
        """
        ours, bodies, evaluations = tables.trials, tables.architectures, tables.evaluations
        query = (
            select(STUDIES.c.study_name, bodies.c.kind, bodies.c.body, evaluations.c.metrics)
            .select_from(OURS)
            .join(ours, ours.c.study_id == STUDIES.c.study_id)
            .join(bodies, bodies.c.digest == ours.c.digest)
            .join(evaluations, evaluations.c.trial_id == ours.c.trial_id)
            .where(ours.c.study_id == study_id, ours.c.number == number)
            .order_by(evaluations.c.attempt.desc())
            .limit(1)
        )
        with translated(self._url), self._engine.begin() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        candidate = read_candidate(row.kind, row.body, f"trial {number}")
        return str(row.study_name), candidate, json.loads(row.metrics)

    def check(self) -> None:
        """Ask the database for next to nothing. Raises: StoreError when it cannot be read."""
        with translated(self._url), self._engine.begin() as connection:
            connection.execute(select(STUDIES.c.study_id).limit(1)).first()

    def close(self) -> None:
        """Let the connections go."""
        self._engine.dispose()


def _header(connection: Connection, study_id: int) -> Header | None:
    query = select(tables.studies, lease.clock(connection).label("now")).select_from(OURS)
    row = connection.execute(query.where(STUDIES.c.study_id == study_id)).mappings().first()
    if row is None:
        return None
    directions = select(DIRECTIONS.c.direction).where(DIRECTIONS.c.study_id == study_id)
    return Header(
        study_id=study_id,
        name=row["name"],
        directions=tuple(
            each.name.lower() for each in connection.execute(directions.order_by(DIRECTIONS.c.objective)).scalars()
        ),
        user_attrs=_study_attrs(connection, STUDY_USER_ATTRS, study_id),
        system_attrs=_study_attrs(connection, STUDY_SYSTEM_ATTRS, study_id),
        settings=read_settings(row["settings"]),
        version=row["version"],
        driver=driver_of(row),
    )


def _study_attrs(connection: Connection, table: Table, study_id: int) -> dict[str, Any]:
    found = connection.execute(select(table.c.key, table.c.value_json).where(table.c.study_id == study_id))
    return {key: json.loads(value) for key, value in found}


def _goes_on(connection: Connection, header: Header, known: Known) -> bool:
    """Whether the study is the one that was looked at before, and no finished trial of it became ours since."""
    if not known.ends or known.name != header.name:
        return False
    ids = [trial_id for trial_id, _ in known.ends]
    query = select(TRIALS.c.trial_id, TRIALS.c.datetime_complete).where(
        TRIALS.c.trial_id.in_(ids), TRIALS.c.study_id == header.study_id
    )
    ours = select(func.count()).select_from(tables.trials)
    ours = ours.where(tables.trials.c.study_id == header.study_id, tables.trials.c.trial_id <= known.above)
    ends = {int(row.trial_id): row.datetime_complete for row in connection.execute(query)}
    return ends == dict(known.ends) and connection.execute(ours).scalar() == known.ours


def _rows(connection: Connection, new: ColumnElement[bool], drawn: int) -> Iterable[Row]:
    query = select(TRIALS.c.trial_id, TRIALS.c.number, TRIALS.c.state, TRIALS.c.datetime_start).add_columns(
        TRIALS.c.datetime_complete
    )
    rows = {
        trial_id: Row(trial_id, number, state.name, started, ended)
        for trial_id, number, state, started, ended in connection.execute(query.where(new))
    }
    if not rows:
        return ()
    ids = select(TRIALS.c.trial_id).where(new)

    def of(table: Table, *columns: str) -> Select[Any]:
        named = [table.c[name] for name in ("trial_id", *columns)]
        return select(*named).where(table.c.trial_id.in_(ids))

    params = of(PARAMS, "param_name", "distribution_json", "param_value").order_by(PARAMS.c.param_id)
    for trial_id, *param in connection.execute(params):
        rows[trial_id].params.append((param[0], param[1], param[2]))
    stored = models.TrialValueModel.stored_repr_to_value
    values = of(VALUES, "value", "value_type").order_by(VALUES.c.objective)
    for trial_id, value, kind in connection.execute(values):
        rows[trial_id].values.append(stored(value, kind))
    seen = models.TrialIntermediateValueModel.stored_repr_to_intermediate_value
    steps = of(INTERMEDIATE, "step", "intermediate_value", "intermediate_value_type").order_by(INTERMEDIATE.c.step)
    for trial_id, step, value, kind in connection.execute(steps):
        rows[trial_id].steps.append((step, seen(value, kind)))
    for trial_id, key, value in connection.execute(of(USER_ATTRS, "key", "value_json")):
        rows[trial_id].user_attrs[key] = json.loads(value)
    for trial_id, key, value in connection.execute(of(SYSTEM_ATTRS, "key", "value_json")):
        rows[trial_id].system_attrs[key] = json.loads(value)
    _add_ours(connection, rows, ids, drawn)
    return sorted(rows.values(), key=lambda row: row.number)


def _add_ours(connection: Connection, rows: Mapping[int, Row], ids: Select[Any], drawn: int) -> None:
    ours, bodies, evaluations = tables.trials, tables.architectures, tables.evaluations
    wanted = case((or_(ours.c.number < drawn, ours.c.origin == "start"), bodies.c.body))
    query = select(ours.c.trial_id, ours.c.digest, ours.c.origin, bodies.c.kind, wanted)
    query = query.outerjoin(bodies, ours.c.digest == bodies.c.digest).where(ours.c.trial_id.in_(ids))
    for trial_id, digest, origin, kind, body in connection.execute(query):
        row = rows[trial_id]
        row.digest, row.origin, row.kind, row.body = digest, origin, kind or "", body
    names = [field.name for field in dataclasses.fields(Attempt)]
    columns = [evaluations.c[name] for name in ("trial_id", *names)]
    found = connection.execute(select(*columns).where(evaluations.c.trial_id.in_(ids)).order_by(evaluations.c.attempt))
    for attempt in found.mappings():
        rows[attempt["trial_id"]].attempts.append(_attempt(attempt))


def _attempt(row: RowMapping) -> Attempt:
    found = {field.name: row[field.name] for field in dataclasses.fields(Attempt)}
    return Attempt(**{**found, "metrics": json.loads(found["metrics"]), "curve": json.loads(found["curve"])})
