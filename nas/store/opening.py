"""Making a study, or taking it over: one driver each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from sqlalchemy import Connection, RowMapping, delete, select, update

from nas.checked import canonical_json
from nas.errors import InputError
from nas.objectives import Objective
from nas.space import Space
from nas.store import adopting, lease, tables
from nas.store.database import connect, optuna_storage, quiet
from nas.store.optuna_rows import LOCK_STUDY, STUDIES, TRIALS, USER_ATTRS
from nas.store.settings import read_settings
from nas.store.sql import SqlStore
from nas.store.trouble import translated
from nas.trial import State
from nas.version import __version__


def open_study(
    url: str,
    name: str,
    settings: Mapping[str, Any],
    space: Space,
    objectives: Sequence[Objective],
    *,
    protocol: str = "",
    measured_on: str = "",
) -> SqlStore:
    """The store of the study called `name`, made if need be, and this process as its driver.

    A study that Optuna made is taken over if its objectives are these and its trials are candidates of the space.
    `protocol` is the digest of data and training, which makes its evaluations comparable with those of other studies;
    empty: with none. `measured_on` is the device whose latencies are read and kept; empty: none are.

    Raises: InputError when the study exists with other settings (naming the fields that differ) or has a living
    driver (naming it), StoreError when the database cannot be used.
    """
    engine = connect(url, create=True)
    holder = lease.lease_text(lease.this_process())
    with translated(url), quiet():
        storage = optuna_storage(url)
        try:
            study, made = _optunas(storage, name, objectives)
            study_id = storage.get_study_id_from_name(name)
            with engine.begin() as connection:
                connection.execute(LOCK_STUDY, {"study": study_id})
                anew = made and not _taken(connection, study_id)
                sweep(connection, new=study_id if anew else None)
                found = _row(connection, study_id)
                if found is not None and _is_another(connection, study_id):
                    sweep(connection, new=study_id)
                    found = None
                if found is not None:
                    _take_over(connection, found, dict(settings), space.digest, holder)
                else:
                    if not made:
                        _check_theirs(study, name, objectives)
                        adopting.require_fit(connection, study_id, space, name)
                    _begin(connection, study_id, name, settings, space.digest, holder)
            if study.metric_names is None:
                study.set_metric_names([objective.name for objective in objectives])
        except BaseException:
            lease.disown(holder)
            engine.dispose()
            raise
        finally:
            storage.engine.dispose()
    clean, batch = (True, 0) if found is None else (found["driver"] is None, found["written"])
    return SqlStore(
        url,
        engine,
        study_id,
        objectives,
        holder=holder,
        batch=batch,
        clean=clean,
        protocol=protocol,
        measured_on=measured_on,
    )


def sweep(connection: Connection, new: int | None = None) -> None:
    """Part our rows from studies that are gone, since SQLite gives their ids to new ones (as to `new`, just made).

    Complete evaluations stay, without a study; the rest goes.
    """
    studies, evaluations = tables.studies, tables.evaluations
    alive = select(studies.c.study_id).join(
        STUDIES, (STUDIES.c.study_id == studies.c.study_id) & (STUDIES.c.study_name == studies.c.name)
    )
    if new is not None:
        alive = alive.where(studies.c.study_id != new)
    gone = evaluations.c.study_id.is_not(None) & evaluations.c.study_id.not_in(alive)
    kept = gone & (evaluations.c.state == State.COMPLETE.value) & (evaluations.c.protocol != "")
    connection.execute(update(evaluations).where(kept).values(study_id=None, trial_id=None, number=None))
    connection.execute(delete(evaluations).where(gone))
    connection.execute(delete(tables.trials).where(tables.trials.c.study_id.not_in(alive)))
    connection.execute(delete(studies).where(studies.c.study_id.not_in(alive)))


def _is_another(connection: Connection, study_id: int) -> bool:
    """Whether Optuna deleted our study and made one of its id and name: then no trial bears the digest we wrote."""
    trials = tables.trials
    written = (USER_ATTRS.c.trial_id == trials.c.trial_id) & (USER_ATTRS.c.key == "digest")
    query = (
        select(trials.c.digest, USER_ATTRS.c.value_json)
        .outerjoin(USER_ATTRS, written)
        .where(trials.c.study_id == study_id, trials.c.origin != adopting.ORIGIN)
    )
    found = list(connection.execute(query))
    return bool(found) and not any(text is not None and json.loads(text) == digest for digest, text in found)


def _optunas(storage: RDBStorage, name: str, objectives: Sequence[Objective]) -> tuple[optuna.Study, bool]:
    """Optuna's study of that name, and whether it was made just now."""
    try:
        return optuna.create_study(storage=storage, study_name=name, directions=_directions(objectives)), True
    except optuna.exceptions.DuplicatedStudyError:
        return optuna.load_study(storage=storage, study_name=name), False


def _directions(objectives: Sequence[Objective]) -> list[StudyDirection]:
    return [StudyDirection.MAXIMIZE if goal.maximize else StudyDirection.MINIMIZE for goal in objectives]


def _check_theirs(study: optuna.Study, name: str, objectives: Sequence[Objective]) -> None:
    """Raises: InputError when a study that Optuna made has other objectives."""
    names = study.metric_names or [objective.name for objective in objectives]
    if study.directions == _directions(objectives) and names == [objective.name for objective in objectives]:
        return
    theirs = zip_longest(study.metric_names or (), study.directions, fillvalue="?")
    shown = ", ".join(f"{metric}:{str(getattr(way, 'name', way)).lower()[:3]}" for metric, way in theirs)
    raise InputError(
        f"study {name!r}, which Optuna made, has the objectives {shown}; here they are "
        f"{', '.join(map(str, objectives))}: choose another --study"
    )


def _row(connection: Connection, study_id: int) -> RowMapping | None:
    query = select(tables.studies, lease.clock(connection).label("now")).where(tables.studies.c.study_id == study_id)
    return connection.execute(query).mappings().first()


def _taken(connection: Connection, study_id: int) -> bool:
    """Whether somebody else took Optuna's study between its making and now."""
    found = _row(connection, study_id)
    if found is None or not found["driver"]:
        return connection.execute(select(TRIALS.c.trial_id).where(TRIALS.c.study_id == study_id)).first() is not None
    return lease.living(json.loads(found["driver"]), lease.silence(found["pulse"], found["now"])) is not None


def _begin(
    connection: Connection, study_id: int, name: str, settings: Mapping[str, Any], space_digest: str, holder: str
) -> None:
    row = {
        "study_id": study_id,
        "name": name,
        "settings": canonical_json(dict(settings)),
        "space_digest": space_digest,
        "version": __version__,
        "driver": holder,
        "pulse": lease.clock(connection),
        "written": 0,
        "wanted": "",
    }
    connection.execute(tables.studies.insert().values(row))


def _take_over(
    connection: Connection, found: RowMapping, settings: dict[str, Any], space_digest: str, holder: str
) -> None:
    name, before = found["name"], read_settings(found["settings"])
    differ = _differences(before, settings)
    if differ or found["space_digest"] != space_digest:
        shown = "; ".join(differ) or "space: its definition changed"
        raise InputError(f"study {name!r} was made with other settings ({shown}); choose another --study")
    if found["driver"]:
        other = lease.living(json.loads(found["driver"]), lease.silence(found["pulse"], found["now"]))
        if other:
            raise InputError(f"study {name!r} is being driven by {other}; wait for it, or stop it first")
    this = tables.studies.c.study_id == found["study_id"]
    us = {"driver": holder, "pulse": lease.clock(connection), "wanted": ""}
    connection.execute(update(tables.studies).where(this).values(us))


def _differences(there: Mapping[str, Any], here: Mapping[str, Any], path: str = "") -> list[str]:
    """What differs, each by its path: where both have a table, what differs within it."""
    told = []
    for key in sorted(key for key in there.keys() | here.keys() if there.get(key) != here.get(key)):
        theirs, ours = there.get(key), here.get(key)
        if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
            told += _differences(theirs, ours, f"{path}{key}.")
        else:
            told.append(f"{path}{key}: {_short(theirs)} there, {_short(ours)} here")
    return told


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
