"""Rows of Optuna's own tables, written in bulk through SQLAlchemy Core.

What Optuna would write parameter by parameter, each in its own transaction, is written here in one; a contract test
holds the outcome against a study that Optuna wrote. Constraints are written twice: in Optuna 5's notation, and in the
old list, which is all that Optuna Dashboard 0.21 reads.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution, distribution_to_json
from optuna.storages._rdb import models
from optuna.trial import TrialState
from sqlalchemy import Connection, Table, func, select, update

from nas.nodes import Gene

TRIALS: Table = models.TrialModel.__table__
PARAMS: Table = models.TrialParamModel.__table__
VALUES: Table = models.TrialValueModel.__table__
INTERMEDIATE: Table = models.TrialIntermediateValueModel.__table__
USER_ATTRS: Table = models.TrialUserAttributeModel.__table__
SYSTEM_ATTRS: Table = models.TrialSystemAttributeModel.__table__
FINITE = models.TrialValueModel.TrialValueType.FINITE
FINITE_STEP = models.TrialIntermediateValueModel.TrialIntermediateValueType.FINITE


def distribution(gene: Gene) -> BaseDistribution:
    """How a gene shows in SQL: evenly spaced whole numbers as an integer range, everything else as categories."""
    options = gene.options
    if gene.ordered and all(isinstance(option, int) for option in options):
        numbers = [int(option) for option in options if isinstance(option, int)]
        steps = {b - a for a, b in pairwise(numbers)}
        if len(steps) == 1:
            return IntDistribution(numbers[0], numbers[-1], step=steps.pop())
    return CategoricalDistribution(options)


def _now() -> datetime.datetime:
    """Naive UTC, as Optuna stores it."""
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)


def insert_running(
    connection: Connection,
    study_id: int,
    params: Mapping[str, Any],
    genes: Mapping[str, Gene],
    attrs: Mapping[str, Any],
) -> tuple[int, int]:
    """A running trial with all its parameters; returns its id and its number, taken inside the transaction."""
    taken = connection.execute(select(func.max(TRIALS.c.number)).where(TRIALS.c.study_id == study_id)).scalar()
    number = 0 if taken is None else taken + 1
    row = {"number": number, "study_id": study_id, "state": TrialState.RUNNING, "datetime_start": _now()}
    trial_id = int(connection.execute(TRIALS.insert().values(row)).inserted_primary_key[0])  # type: ignore[index]
    rows = []
    for path, label in params.items():
        dist = distribution(genes[path])
        rows.append(
            {
                "trial_id": trial_id,
                "param_name": path,
                "param_value": dist.to_internal_repr(label),
                "distribution_json": distribution_to_json(dist),
            }
        )
    if rows:
        connection.execute(PARAMS.insert(), rows)
    _insert_attrs(connection, USER_ATTRS, trial_id, attrs)
    return trial_id, number


def insert_steps(connection: Connection, rows: Sequence[tuple[int, int, float]]) -> None:
    """Intermediate values as (trial id, step, value); a step written before is replaced."""
    for trial_id, step, _ in rows:
        connection.execute(
            INTERMEDIATE.delete().where(INTERMEDIATE.c.trial_id == trial_id).where(INTERMEDIATE.c.step == step)
        )
    if rows:
        connection.execute(
            INTERMEDIATE.insert(),
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
    values: Sequence[float] | None,
    excesses: Mapping[str, float],
    attrs: Mapping[str, Any],
) -> bool:
    """End a running trial; False, and nothing written, when it is not running."""
    state = TrialState.FAIL if values is None else TrialState.COMPLETE
    ended = connection.execute(
        update(TRIALS)
        .where(TRIALS.c.trial_id == trial_id, TRIALS.c.state == TrialState.RUNNING)
        .values(state=state, datetime_complete=_now())
    )
    if not ended.rowcount:
        return False
    if values is not None:
        connection.execute(
            VALUES.insert(),
            [
                {"trial_id": trial_id, "objective": objective, "value": value, "value_type": FINITE}
                for objective, value in enumerate(values)
            ],
        )
    if excesses:
        both = {f"constraints:{name}": value for name, value in excesses.items()}
        _insert_attrs(connection, SYSTEM_ATTRS, trial_id, {**both, "constraints": list(excesses.values())})
    _insert_attrs(connection, USER_ATTRS, trial_id, attrs)
    return True


def _insert_attrs(connection: Connection, table: Table, trial_id: int, attrs: Mapping[str, Any]) -> None:
    if attrs:
        rows = [{"trial_id": trial_id, "key": key, "value_json": json.dumps(value)} for key, value in attrs.items()]
        connection.execute(table.insert(), rows)
