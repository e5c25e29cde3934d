"""Reading studies: for resume, and for the commands that only look."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
from collections.abc import Mapping
from typing import Any

import sqlalchemy
from optuna.storages._rdb import models
from sqlalchemy import Connection, RowMapping, select

from nas.architecture import Architecture
from nas.errors import StoreError, unknown
from nas.jobs import Budget
from nas.objectives import Objective, objectives_from
from nas.space import Space
from nas.store import tables
from nas.store.database import connect, translated
from nas.store.lease import living
from nas.trial import State, Trial

STUDIES = models.StudyModel.__table__


@dataclasses.dataclass(frozen=True)
class StudyRecord:
    """A study as it is in the database, read at one moment.

    Attributes:
        name, settings, version: as it was made. driver: who drives it now, or None.
        trials: by number; the candidate of an architecture study is its `Architecture`, of others its parameters.
    """

    name: str
    settings: Mapping[str, Any]
    version: str
    driver: Mapping[str, Any] | None
    trials: tuple[Trial, ...]

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """What it searches for."""
        return objectives_from(self.settings["objectives"])


def study_names(url: str) -> list[str]:
    """The studies of ours in a database, oldest first. Raises: InputError, StoreError."""
    engine = connect(url, create=False)
    with translated(url), engine.begin() as connection:
        joined = STUDIES.join(tables.studies, STUDIES.c.study_id == tables.studies.c.study_id)
        rows = connection.execute(select(STUDIES.c.study_name).select_from(joined).order_by(STUDIES.c.study_id))
        return [str(row[0]) for row in rows]


def read_study(url: str, name: str) -> StudyRecord:
    """A study by name. Raises: InputError naming the nearest studies, StoreError."""
    engine = connect(url, create=False)
    with translated(url), engine.begin() as connection:
        joined = STUDIES.join(tables.studies, STUDIES.c.study_id == tables.studies.c.study_id)
        row = (
            connection.execute(select(tables.studies).select_from(joined).where(STUDIES.c.study_name == name))
            .mappings()
            .first()
        )
        if row is not None:
            trials = [trial for _, trial in read_trials(connection, row["study_id"], None)]
    if row is None:
        raise unknown("study", name, study_names(url) or ["none yet"])
    driver = json.loads(row["driver"]) if row["driver"] else None
    if driver is not None and not _drives(driver, row["beat"]):
        driver = None
    return StudyRecord(name, json.loads(row["settings"]), row["version"], driver, tuple(trials))


def _drives(driver: Mapping[str, Any], beat: datetime.datetime | None) -> bool:
    return driver["pid"] == os.getpid() or living(driver, beat) is not None


def read_trials(connection: Connection, study_id: int, space: Space | None) -> list[tuple[int, Trial]]:
    """(Optuna's trial id, trial) by number. Without a space, candidates are rebuilt from what the tables hold."""
    rows = connection.execute(
        select(tables.evaluations, tables.architectures.c.body)
        .outerjoin(tables.architectures, tables.evaluations.c.digest == tables.architectures.c.digest)
        .where(tables.evaluations.c.study_id == study_id)
        .order_by(tables.evaluations.c.number)
    ).mappings()
    known: dict[str, Any] = {}
    return [(int(row["trial_id"]), _trial(connection, row, space, known)) for row in rows]


def _trial(connection: Connection, row: RowMapping, space: Space | None, known: dict[str, Any]) -> Trial:
    genome = tuple(json.loads(row["genome"]))
    if row["digest"] not in known:
        known[row["digest"]] = _candidate(connection, row, genome, space)
    return Trial(
        number=row["number"],
        genome=genome,
        candidate=known[row["digest"]],
        digest=row["digest"],
        state=State(row["state"]),
        origin=row["origin"],
        attempt=row["attempt"],
        metrics=json.loads(row["metrics"]),
        budget=Budget(**json.loads(row["budget"])),
        curve={int(step): metrics for step, metrics in json.loads(row["curve"]).items()},
        seconds=row["seconds"],
        host=row["host"],
        reason=row["reason"],
    )


def _candidate(connection: Connection, row: RowMapping, genome: tuple[int, ...], space: Space | None) -> Any:
    if space is not None:
        return space.decode(genome)
    if row["body"] is not None:
        try:
            return Architecture.from_json(row["body"])
        except Exception as error:
            raise StoreError(f"trial {row['number']}: its architecture cannot be read: {error}") from error
    params = sqlalchemy.Table("trial_params", sqlalchemy.MetaData(), autoload_with=connection)
    found = connection.execute(select(params).where(params.c.trial_id == row["trial_id"])).mappings()
    from optuna.distributions import json_to_distribution

    return {
        param["param_name"]: json_to_distribution(param["distribution_json"]).to_external_repr(param["param_value"])
        for param in found
    }
