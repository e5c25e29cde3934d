"""Reading studies: for resume, and for the commands that only look."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from optuna.distributions import json_to_distribution
from sqlalchemy import ColumnElement, Connection, RowMapping, Table, select

from nas.errors import StoreError, unknown
from nas.fidelity import Rungs
from nas.objectives import Limit, Objective, limits_from, objectives_from
from nas.space import Space
from nas.store import lease, tables
from nas.store.database import connect
from nas.store.optuna_rows import LOCK_STUDY, PARAMS, STUDIES
from nas.store.rows import LOST, read_candidate, trial_of
from nas.store.settings import read_settings
from nas.store.trouble import redact, translated
from nas.trial import Trial

OURS = STUDIES.join(
    tables.studies,
    (STUDIES.c.study_id == tables.studies.c.study_id) & (STUDIES.c.study_name == tables.studies.c.name),
)

NAMED = 500  # trials that are asked for by number; of more, the whole study is read
RUNG_FIELDS = {"rung_subset": "share", "rung_scale": "scale"}  # of `Rungs`, by their names in the settings


@dataclasses.dataclass(frozen=True)
class StudyRecord:
    """A study as it is in the database, read at one moment.

    Attributes:
        name, settings, version: as it was made. driver: who drives it now, or None.
        trials: by number; the candidate of an architecture study is its `Architecture`, of others its parameters.
        finished: those that have ended, in the order in which they did.
    """

    name: str
    settings: Mapping[str, Any]
    version: str
    driver: Mapping[str, Any] | None
    trials: tuple[Trial, ...]
    finished: tuple[Trial, ...]

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """What it searches for."""
        return objectives_from(self.settings["objectives"])

    @property
    def limits(self) -> tuple[Limit, ...]:
        """What its best keep."""
        return limits_from(self.settings["limits"])

    @property
    def rungs(self) -> Rungs:
        """The budgets of its trials."""
        told = self.settings.get("rungs") or {}
        return Rungs(*self.settings["epochs"], **{RUNG_FIELDS.get(name, name): value for name, value in told.items()})


def study_names(url: str) -> list[str]:
    """The studies of ours in a database, oldest first. Raises: InputError, StoreError."""
    engine = connect(url, create=False, reading=True)
    with translated(url), engine.begin() as connection:
        query = select(STUDIES.c.study_name).select_from(OURS).order_by(STUDIES.c.study_id)
        names = [str(row[0]) for row in connection.execute(query)]
    engine.dispose()
    return names


def read_study(url: str, name: str) -> StudyRecord:
    """A study by name. Raises: InputError naming the nearest studies, StoreError."""
    engine = connect(url, create=False, reading=True)
    with translated(url), engine.begin() as connection:
        record = read_record(connection, name, url)
    engine.dispose()
    return record


def read_record(connection: Connection, name: str, url: str) -> StudyRecord:
    """The same within the caller's transaction."""
    row = study_row(connection, name, url)
    return record_of(connection, row, trials_of(connection, row["study_id"]))


def record_of(connection: Connection, row: RowMapping, trials: Sequence[Trial]) -> StudyRecord:
    """A study of its row, with the database's time as `now`, and its trials by number."""
    order = _order(connection, row["study_id"])
    ended = sorted((trial for trial in trials if trial.ended), key=lambda trial: order.get(trial.number, -1))
    return StudyRecord(
        row["name"], read_settings(row["settings"]), row["version"], driver_of(row), tuple(trials), tuple(ended)
    )


def trials_of(connection: Connection, study_id: int, numbers: Collection[int] | None = None) -> list[Trial]:
    """The trials of a study by number, as they are shown; only those of these numbers, if given."""
    return [trial for _, trial in read_trials(connection, study_id, None, numbers)]


def _order(connection: Connection, study_id: int) -> dict[int, int]:
    """The place of each trial by number, in the order in which their last attempts ended."""
    evaluations = tables.evaluations
    query = select(evaluations.c.number).where(evaluations.c.study_id == study_id, evaluations.c.ended.is_not(None))
    numbers = connection.execute(query.order_by(evaluations.c.ended, evaluations.c.number)).scalars()
    return {number: place for place, number in enumerate(numbers)}


def study_row(connection: Connection, name: str, url: str) -> RowMapping:
    """Our row of a study, with the database's time as `now`. Raises: InputError naming the nearest studies."""
    query = select(tables.studies, lease.clock(connection).label("now")).select_from(OURS)
    row = connection.execute(query.where(STUDIES.c.study_name == name)).mappings().first()
    if row is None:
        names = select(STUDIES.c.study_name).select_from(OURS)
        raise unknown("study", name, [*connection.execute(names).scalars()] or [f"none yet in {redact(url)}"])
    return row


def locked_row(connection: Connection, name: str, url: str) -> RowMapping:
    """The same, while no driver can take the study before the transaction ends. Raises: InputError."""
    if connection.dialect.name != "sqlite":  # there the whole database is ours
        connection.execute(LOCK_STUDY, {"study": study_row(connection, name, url)["study_id"]})
    return study_row(connection, name, url)


def driver_of(row: RowMapping) -> Mapping[str, Any] | None:
    """Who drives a study now, of its row with the database's time as `now`."""
    driver: Mapping[str, Any] | None = json.loads(row["driver"]) if row["driver"] else None
    if driver is None or lease.living(driver, lease.silence(row["pulse"], row["now"])) is None:
        return None
    return driver


def read_trials(
    connection: Connection, study_id: int, space: Space | None, numbers: Collection[int] | None = None
) -> list[tuple[int, Trial]]:
    """(Optuna's trial id, trial) by number. Without a space, candidates are rebuilt from what the tables hold.

    With `numbers`, only of those; of many, everything is read and the others left out.
    """
    evaluations, ours, bodies = tables.evaluations, tables.trials, tables.architectures
    few = numbers if numbers is not None and len(numbers) <= NAMED else None

    def wanted(table: Table) -> ColumnElement[bool]:
        this = table.c.study_id == study_id
        return this if few is None else this & table.c.number.in_(few)

    attempts: dict[int, list[RowMapping]] = {}
    query = select(evaluations).where(wanted(evaluations)).order_by(evaluations.c.attempt)
    for row in connection.execute(query).mappings():
        attempts.setdefault(row["trial_id"], []).append(row)
    rows = connection.execute(
        select(ours, bodies.c.kind, bodies.c.body)
        .outerjoin(bodies, ours.c.digest == bodies.c.digest)
        .where(wanted(ours))
        .order_by(ours.c.number)
    ).mappings()
    known: dict[str, Any] = {}
    found = []
    for row in rows:
        if numbers is not None and row["number"] not in numbers:
            continue
        if row["trial_id"] not in attempts:
            raise StoreError(f"trial {row['number']} has no evaluation; `nas doctor` says what else is broken")
        try:
            if row["digest"] not in known:
                known[row["digest"]] = _candidate(connection, row, space)
            trial = trial_of(row, attempts[row["trial_id"]], known[row["digest"]])
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"trial {row['number']} cannot be read ({error}): its rows were changed or damaged"
            ) from error
        found.append((int(row["trial_id"]), trial))
    return found


def read_lost(connection: Connection, study_id: int) -> frozenset[int]:
    """The numbers of the trials whose last attempt was lost and that wait for the next."""
    evaluations = tables.evaluations
    query = select(evaluations.c.number, evaluations.c.state).where(evaluations.c.study_id == study_id)
    last = {row.number: row.state for row in connection.execute(query.order_by(evaluations.c.attempt))}
    return frozenset(number for number, state in last.items() if state == LOST)


def _candidate(connection: Connection, row: RowMapping, space: Space | None) -> Any:
    if space is not None:
        return space.decode(json.loads(row["genome"]))
    if row["body"] is not None:
        return read_candidate(row["kind"], row["body"], f"trial {row['number']}")
    found = connection.execute(select(PARAMS).where(PARAMS.c.trial_id == row["trial_id"]))
    return {
        param.param_name: json_to_distribution(param.distribution_json).to_external_repr(param.param_value)
        for param in found
    }
