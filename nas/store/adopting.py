"""Trials that others wrote into a study through Optuna: taken in where they are candidates of the space.

Complete, pruned and failed ones become trials of ours as they are; enqueued ones wait to be run; running ones are left
to whoever runs them and taken in once they have ended.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.trial import TrialState
from sqlalchemy import Connection, select

from nas.errors import ArchitectureError, InputError, SpaceError
from nas.feasible import Pricing
from nas.jobs import Budget
from nas.objectives import Objective
from nas.space import Space
from nas.store import rows
from nas.store.base import Wish
from nas.store.optuna_rows import FINITE, PARAMS, SYSTEM_ATTRS, TRIALS, VALUES
from nas.trial import Source, State, Trial

ENDED = {TrialState.COMPLETE: State.COMPLETE, TrialState.PRUNED: State.PRUNED, TrialState.FAIL: State.FAIL}
ORIGIN = "optuna"
NAMED = 500  # trials that are asked for by id; of more, the whole study is read
NOT_FINITE = "its values are not finite"  # what is complete for Optuna is then failed for us


@dataclasses.dataclass(frozen=True)
class Foreign:
    """A trial of Optuna's tables; parameters by name, and objective values, None for one that is not finite."""

    trial_id: int
    number: int
    state: TrialState
    params: Mapping[str, Any]
    values: tuple[float | None, ...]


def take_in(
    connection: Connection,
    study_id: int,
    ours: list[tuple[int, Trial]],
    pricing: Pricing,
    objectives: Sequence[Objective],
) -> tuple[list[tuple[int, Trial]], dict[int, str]]:
    """Bring ours up to Optuna's, where it moved on without us, and write what others did into our tables.

    Changes `ours` in place. Returns the trials taken in, and why others could not be, by number.
    """
    query = select(TRIALS.c.trial_id, TRIALS.c.state).where(TRIALS.c.study_id == study_id)
    states = {row.trial_id: row.state for row in connection.execute(query)}
    known = {trial_id for trial_id, _ in ours}
    moved = [trial_id for trial_id, trial in ours if not trial.ended and states.get(trial_id) in ENDED]
    new = [trial_id for trial_id, state in states.items() if trial_id not in known and state in ENDED]
    found = {foreign.trial_id: foreign for foreign in read_foreign(connection, study_id, {*moved, *new})}
    for index, (trial_id, trial) in enumerate(ours):
        if trial_id in moved:
            ours[index] = trial_id, _ended(connection, trial_id, trial, found[trial_id], objectives)
    return _adopt(connection, study_id, [found[trial_id] for trial_id in new], pricing, objectives)


def require_fit(connection: Connection, study_id: int, space: Space, name: str) -> None:
    """Raises: InputError when a study has trials that ended and none of them is a candidate of the space."""
    query = select(TRIALS.c.trial_id).where(TRIALS.c.study_id == study_id, TRIALS.c.state.in_(list(ENDED)))
    reasons = []
    for foreign in read_foreign(connection, study_id, set(connection.execute(query).scalars())):
        try:
            space.decode(space.genome(_active(space, foreign.params)))
        except (SpaceError, ArchitectureError) as error:
            reasons.append(f"trial {foreign.number}: {error}")
        else:
            return
    if reasons:
        raise InputError(
            f"study {name!r} was made by something else, and its trials do not fit this space ({reasons[0]}); "
            f"choose another --study"
        )


def _adopt(
    connection: Connection,
    study_id: int,
    new: Iterable[Foreign],
    pricing: Pricing,
    objectives: Sequence[Objective],
) -> tuple[list[tuple[int, Trial]], dict[int, str]]:
    adopted: list[tuple[int, Trial]] = []
    misfits: dict[int, str] = {}
    for foreign in new:
        if not foreign.params and foreign.state is TrialState.FAIL:
            continue  # it says nothing, as one that was enqueued and refused
        try:
            adopted.append((foreign.trial_id, _trial(foreign, pricing, objectives)))
        except (SpaceError, ArchitectureError) as error:
            misfits[foreign.number] = str(error)
    if adopted:
        rows.keep_candidates(connection, [trial for _, trial in adopted])
        ours = [rows.trial_row(trial_id, study_id, trial) for trial_id, trial in adopted]
        connection.execute(rows.INSERT_TRIAL, ours)
        attempts = [rows.evaluation_row(trial_id, study_id, trial, "") for trial_id, trial in adopted]
        connection.execute(rows.INSERT_EVALUATION, attempts)
    return adopted, misfits


def _ended(
    connection: Connection, trial_id: int, trial: Trial, foreign: Foreign, objectives: Sequence[Objective]
) -> Trial:
    """A running trial of ours that somebody ended through Optuna."""
    state, metrics, reason = outcome(foreign, objectives)
    trial = trial.moved(state, metrics={**trial.metrics, **metrics}, reason=reason, source=Source.ADOPTED)
    this = {"of_trial": trial_id, "of_attempt": trial.attempt}
    connection.execute(rows.UPDATE_EVALUATION, {**this, **rows.progress(trial), "source": trial.source.value})
    return trial


def _trial(foreign: Foreign, pricing: Pricing, objectives: Sequence[Objective]) -> Trial:
    space = pricing.space
    priced = pricing.price(space.genome(_active(space, foreign.params)))
    state, metrics, reason = outcome(foreign, objectives)
    return Trial(
        number=foreign.number,
        genome=priced.genome,
        candidate=priced.candidate,
        digest=space.identity(priced.candidate),
        state=state,
        origin=ORIGIN,
        attempt=1,
        metrics={**priced.costs, **metrics},
        budget=Budget(0, 0, 0, "", ""),
        reason=reason,
        source=Source.ADOPTED,
    )


def _active(space: Space, params: Mapping[str, Any]) -> dict[str, Any]:
    """Without those of genes that the others leave unused, which a fixed set of suggestions has too."""
    paths = {gene.path for gene in space.genes}
    if not paths.issuperset(params):
        return dict(params)  # `Space.genome` says which is unknown
    options = [gene.index(params[gene.path]) if gene.path in params else 0 for gene in space.genes]
    used = space.params(space.canonical(options))
    return {path: label for path, label in params.items() if path in used}


def outcome(foreign: Foreign, objectives: Sequence[Objective]) -> tuple[State, dict[str, float], str]:
    """Where it ended, its values by objective, and why it failed."""
    state = ENDED[foreign.state]
    if state is not State.COMPLETE:
        return state, {}, "it failed where Optuna ran it" if state is State.FAIL else ""
    if len(foreign.values) != len(objectives) or None in foreign.values:
        return State.FAIL, {}, NOT_FINITE
    named = zip(objectives, foreign.values, strict=True)
    return state, {objective.name: float(value) for objective, value in named if value is not None}, ""


def read_foreign(connection: Connection, study_id: int, wanted: Collection[int]) -> list[Foreign]:
    """Trials of a study by number, with their parameters and values."""
    if not wanted:
        return []
    these = TRIALS.c.study_id == study_id
    if len(wanted) <= NAMED:
        these &= TRIALS.c.trial_id.in_(list(wanted))
    found = {
        row.trial_id: row
        for row in connection.execute(select(TRIALS).where(these).order_by(TRIALS.c.number))
        if row.trial_id in wanted
    }
    params: dict[int, dict[str, Any]] = {trial_id: {} for trial_id in found}
    distributions: dict[str, BaseDistribution] = {}
    for row in connection.execute(select(PARAMS).join(TRIALS).where(these)):
        if row.trial_id in params:
            text = row.distribution_json
            if text not in distributions:
                distributions[text] = json_to_distribution(text)
            params[row.trial_id][row.param_name] = distributions[text].to_external_repr(row.param_value)
    values: dict[int, list[float | None]] = {trial_id: [] for trial_id in found}
    query = select(VALUES).join(TRIALS).where(these).order_by(VALUES.c.objective)
    for row in connection.execute(query):
        if row.trial_id in values:
            finite = row.value_type == FINITE and row.value is not None and math.isfinite(row.value)
            values[row.trial_id].append(float(row.value) if finite else None)
    return [
        Foreign(trial_id, row.number, row.state, params[trial_id], tuple(values[trial_id]))
        for trial_id, row in found.items()
    ]


# -- enqueued trials ---------------------------------------------------------------------------------------------------


def any_waiting(connection: Connection, study_id: int, known: Collection[int]) -> bool:
    """Whether trials are enqueued whose numbers are not known yet."""
    waiting = (TRIALS.c.study_id == study_id) & (TRIALS.c.state == TrialState.WAITING)
    return any(number not in known for number in connection.execute(select(TRIALS.c.number).where(waiting)).scalars())


def read_wishes(connection: Connection, study_id: int, skip: Collection[int]) -> list[tuple[int, Wish]]:
    """Enqueued trials by number with their ids, but for those to skip (ids)."""
    waiting = (TRIALS.c.study_id == study_id) & (TRIALS.c.state == TrialState.WAITING)
    query = select(TRIALS.c.trial_id, TRIALS.c.number).where(waiting).order_by(TRIALS.c.number)
    ids = {row.trial_id: row.number for row in connection.execute(query) if row.trial_id not in skip}
    fixed = {foreign.trial_id: dict(foreign.params) for foreign in read_foreign(connection, study_id, ids)}
    given = select(SYSTEM_ATTRS).where(SYSTEM_ATTRS.c.key == "fixed_params", SYSTEM_ATTRS.c.trial_id.in_(list(ids)))
    for row in connection.execute(given):
        fixed[row.trial_id] = json.loads(row.value_json)
    return [(trial_id, Wish(number, fixed.get(trial_id, {}))) for trial_id, number in ids.items()]
