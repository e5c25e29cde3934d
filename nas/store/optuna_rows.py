"""Rows of Optuna's own tables, written in bulk through SQLAlchemy Core.

What Optuna would write parameter by parameter, each in its own transaction, is written here in one; a contract test
holds the outcome against a study that Optuna wrote. Constraints are written twice: in Optuna 5's notation, and in the
old list, which is all that Optuna Dashboard 0.21 reads.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution, distribution_to_json
from optuna.storages._rdb import models
from optuna.trial import TrialState
from sqlalchemy import Connection, Insert, Table, bindparam, select, update
from sqlalchemy.dialects import postgresql, sqlite

from nas.nodes import Gene
from nas.store.rows import utc_now

STUDIES: Table = models.StudyModel.__table__
TRIALS: Table = models.TrialModel.__table__
PARAMS: Table = models.TrialParamModel.__table__
VALUES: Table = models.TrialValueModel.__table__
INTERMEDIATE: Table = models.TrialIntermediateValueModel.__table__
USER_ATTRS: Table = models.TrialUserAttributeModel.__table__
SYSTEM_ATTRS: Table = models.TrialSystemAttributeModel.__table__
FINITE = models.TrialValueModel.TrialValueType.FINITE
FINITE_STEP = models.TrialIntermediateValueModel.TrialIntermediateValueType.FINITE


def distribution(gene: Gene) -> BaseDistribution:
    """How a gene shows in SQL: whole numbers that rise evenly as an integer range, everything else as categories."""
    options = gene.options
    if gene.ordered and all(isinstance(option, int) and not isinstance(option, bool) for option in options):
        numbers = [int(option) for option in options if isinstance(option, int)]
        steps = {b - a for a, b in pairwise(numbers)}
        if len(steps) == 1 and min(steps) > 0:
            return IntDistribution(numbers[0], numbers[-1], step=steps.pop())
    return CategoricalDistribution(options)


# made once: building a statement costs more than running it
LOCK_STUDY = select(STUDIES.c.study_id).where(STUDIES.c.study_id == bindparam("study")).with_for_update()
LATEST_NUMBER = (
    select(TRIALS.c.number).where(TRIALS.c.study_id == bindparam("study")).order_by(TRIALS.c.trial_id.desc()).limit(1)
)
INSERT_TRIAL = TRIALS.insert()
INSERT_TRIALS = TRIALS.insert().returning(TRIALS.c.trial_id, sort_by_parameter_order=True)
INSERT_PARAMS, INSERT_VALUES, INSERT_STEP = PARAMS.insert(), VALUES.insert(), INTERMEDIATE.insert()
DELETE_STEP = INTERMEDIATE.delete().where(
    INTERMEDIATE.c.trial_id == bindparam("trial"), INTERMEDIATE.c.step == bindparam("at")
)
END_TRIAL = (
    update(TRIALS)
    .where(TRIALS.c.trial_id == bindparam("trial"), TRIALS.c.state == TrialState.RUNNING)
    .values(state=bindparam("end"), datetime_complete=bindparam("now"))
)

Columns = Mapping[str, tuple[BaseDistribution, str]]
"""How each gene shows in SQL: its distribution, and that as Optuna's JSON."""


def columns_of(genes: Sequence[Gene]) -> Columns:
    """The columns of a space, by the path of the gene."""
    found = {gene.path: distribution(gene) for gene in genes}
    return {path: (dist, distribution_to_json(dist)) for path, dist in found.items()}


@dataclasses.dataclass(frozen=True)
class NewTrial:
    """A trial about to be written: its number, its active genes with the option taken, and its user attributes."""

    number: int
    params: Mapping[str, Any]
    attrs: Mapping[str, Any]


def free_number(connection: Connection, study_id: int) -> int:
    """The number of the next trial; nobody else gives it away before this transaction ends (Optuna locks alike)."""
    if connection.dialect.name != "sqlite":  # there the whole database is ours
        connection.execute(LOCK_STUDY, {"study": study_id})
    latest = connection.execute(LATEST_NUMBER, {"study": study_id}).scalar()
    return 0 if latest is None else int(latest) + 1


def insert_running(connection: Connection, study_id: int, new: Sequence[NewTrial], columns: Columns) -> list[int]:
    """Running trials with all their parameters; returns their ids."""
    now = utc_now()
    rows = [
        {"number": trial.number, "study_id": study_id, "state": TrialState.RUNNING, "datetime_start": now}
        for trial in new
    ]
    ids = _insert_trials(connection, rows)
    _insert_params(connection, dict(zip(ids, new, strict=True)), columns)
    return ids


def insert_ended(
    connection: Connection,
    study_id: int,
    new: Sequence[NewTrial],
    values: Sequence[Sequence[float]],
    excesses: Sequence[Mapping[str, float]],
    columns: Columns,
) -> list[int]:
    """Complete trials with their objective values and constraints; returns their ids."""
    now = utc_now()
    rows = [
        {
            "number": trial.number,
            "study_id": study_id,
            "state": TrialState.COMPLETE,
            "datetime_start": now,
            "datetime_complete": now,
        }
        for trial in new
    ]
    ids = _insert_trials(connection, rows)
    _insert_params(connection, dict(zip(ids, new, strict=True)), columns)
    for trial_id, found, limits in zip(ids, values, excesses, strict=True):
        _insert_values(connection, trial_id, found)
        _insert_constraints(connection, trial_id, limits)
    return ids


def begin_waiting(connection: Connection, trial_id: int, new: NewTrial, columns: Columns) -> bool:
    """A trial that was enqueued runs now; False, and nothing written, when it does not wait any more."""
    moved = connection.execute(
        update(TRIALS)
        .where(TRIALS.c.trial_id == trial_id, TRIALS.c.state == TrialState.WAITING)
        .values(state=TrialState.RUNNING, datetime_start=utc_now())
    )
    if not moved.rowcount:
        return False
    connection.execute(PARAMS.delete().where(PARAMS.c.trial_id == trial_id))
    _insert_params(connection, {trial_id: new}, columns)
    return True


def refuse_waiting(connection: Connection, trial_id: int, reason: str) -> None:
    """A trial that was enqueued cannot be run."""
    moved = connection.execute(
        update(TRIALS)
        .where(TRIALS.c.trial_id == trial_id, TRIALS.c.state == TrialState.WAITING)
        .values(state=TrialState.FAIL, datetime_start=utc_now(), datetime_complete=utc_now())
    )
    if moved.rowcount:
        _insert_attrs(connection, USER_ATTRS, trial_id, {"reason": reason})


def _insert_trials(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> list[int]:
    if len(rows) == 1:
        return [int(connection.execute(INSERT_TRIAL, rows[0]).inserted_primary_key[0])]  # type: ignore[index]
    return [int(trial_id) for trial_id in connection.execute(INSERT_TRIALS, [*rows]).scalars()]


def _insert_params(connection: Connection, new: Mapping[int, NewTrial], columns: Columns) -> None:
    rows = []
    for trial_id, trial in new.items():
        for path, label in trial.params.items():
            dist, text = columns[path]
            rows.append(
                {
                    "trial_id": trial_id,
                    "param_name": path,
                    "param_value": dist.to_internal_repr(label),
                    "distribution_json": text,
                }
            )
    if rows:
        connection.execute(INSERT_PARAMS, rows)
    attrs = [
        {"trial_id": trial_id, "key": key, "value_json": json.dumps(value)}
        for trial_id, trial in new.items()
        for key, value in trial.attrs.items()
    ]
    if attrs:
        connection.execute(_put(USER_ATTRS, connection.dialect.name), attrs)


def insert_steps(connection: Connection, rows: Sequence[tuple[int, int, float]]) -> None:
    """Intermediate values as (trial id, step, value); a step written before is replaced."""
    if rows:
        connection.execute(DELETE_STEP, [{"trial": trial_id, "at": step} for trial_id, step, _ in rows])
        connection.execute(
            INSERT_STEP,
            [
                {
                    "trial_id": trial_id,
                    "step": step,
                    "intermediate_value": value,
                    "intermediate_value_type": FINITE_STEP,
                }
                for trial_id, step, value in rows
            ],
        )


def finish(
    connection: Connection,
    trial_id: int,
    state: TrialState,
    values: Sequence[float] | None,
    excesses: Mapping[str, float],
    attrs: Mapping[str, Any],
) -> bool:
    """End a running trial; False, and nothing written, when it is not running."""
    ended = connection.execute(END_TRIAL, {"trial": trial_id, "end": state, "now": utc_now()})
    if not ended.rowcount:
        return False
    if values is not None:
        _insert_values(connection, trial_id, values)
    _insert_constraints(connection, trial_id, excesses)
    _insert_attrs(connection, USER_ATTRS, trial_id, attrs)
    return True


def _insert_constraints(connection: Connection, trial_id: int, excesses: Mapping[str, float]) -> None:
    if excesses:
        both = {f"constraints:{name}": value for name, value in excesses.items()}
        _insert_attrs(connection, SYSTEM_ATTRS, trial_id, {**both, "constraints": list(excesses.values())})


def _insert_values(connection: Connection, trial_id: int, values: Sequence[float]) -> None:
    connection.execute(
        INSERT_VALUES,
        [
            {"trial_id": trial_id, "objective": objective, "value": value, "value_type": FINITE}
            for objective, value in enumerate(values)
        ],
    )


@functools.cache
def _put(table: Table, dialect: str) -> Insert:
    """An attribute of this name may be there: others write some through Optuna."""
    statement = (postgresql.insert if dialect == "postgresql" else sqlite.insert)(table)
    return statement.on_conflict_do_update(
        index_elements=["trial_id", "key"], set_={"value_json": statement.excluded.value_json}
    )


def _insert_attrs(connection: Connection, table: Table, trial_id: int, attrs: Mapping[str, Any]) -> None:
    if attrs:
        rows = [{"trial_id": trial_id, "key": key, "value_json": json.dumps(value)} for key, value in attrs.items()]
        connection.execute(_put(table, connection.dialect.name), rows)
