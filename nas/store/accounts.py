"""All that a report tells of a study, read at one moment: trials, the options they took, and each attempt."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Mapping
from typing import Any

from optuna.distributions import CategoricalDistribution, json_to_distribution
from sqlalchemy import Connection, select

from nas.companions import BASELINE, CONFIRM, PUBLISHED
from nas.store import tables
from nas.store.database import connect
from nas.store.optuna_rows import PARAMS, STUDIES, TRIALS
from nas.store.reading import OURS, StudyRecord, read_record, study_row
from nas.store.trouble import translated
from nas.template import Scalar

ENDINGS = (BASELINE, PUBLISHED, CONFIRM, BASELINE + CONFIRM)


@dataclasses.dataclass(frozen=True)
class Choice:
    """A gene as SQL knows it: its path, the options that it may take, and whether they are numbers that rise."""

    path: str
    options: tuple[Scalar, ...]
    ordered: bool


@dataclasses.dataclass(frozen=True)
class Attempt:
    """One attempt at a trial.

    Attributes:
        number, attempt: of the trial, and from 1. state: in which it ended or is, or "lost".
        seed, device, host: as it was told, and where it ran. seconds: wall time; None before the end.
        began, ended: UTC. versions: of the programs that ran it, by name.
    """

    number: int
    attempt: int
    state: str
    seed: int
    device: str
    host: str
    seconds: float | None
    began: datetime.datetime | None
    ended: datetime.datetime | None
    versions: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Account:
    """A study, told in full.

    Attributes:
        record: the study. choices: its genes, in the order in which trials name them.
        taken: by number, the active genes of a trial with the option that each took.
        attempts: by trial and attempt.
        companions: the studies of the same name with an ending, as `nas.companions` has them, by that ending.
    """

    record: StudyRecord
    choices: tuple[Choice, ...]
    taken: Mapping[int, Mapping[str, Scalar]]
    attempts: tuple[Attempt, ...]
    companions: Mapping[str, StudyRecord]


def read_account(url: str, name: str) -> Account:
    """A study by name with those beside it. Raises: InputError naming the nearest studies, StoreError."""
    engine = connect(url, create=False, reading=True)
    with translated(url), engine.begin() as connection:
        record = read_record(connection, name, url)
        study_id = study_row(connection, name, url)["study_id"]
        names = {f"{name}{ending}": ending for ending in ENDINGS}
        query = select(STUDIES.c.study_name).select_from(OURS).where(STUDIES.c.study_name.in_(names))
        beside = [str(found) for found in connection.execute(query).scalars()]
        companions = {names[found]: read_record(connection, found, url) for found in beside}
        choices, taken = _taken(connection, study_id)
        attempts = _attempts(connection, study_id)
    engine.dispose()
    return Account(record, choices, taken, attempts, companions)


def _taken(connection: Connection, study_id: int) -> tuple[tuple[Choice, ...], dict[int, dict[str, Scalar]]]:
    query = (
        select(TRIALS.c.number, PARAMS.c.param_name, PARAMS.c.param_value, PARAMS.c.distribution_json)
        .join(PARAMS, PARAMS.c.trial_id == TRIALS.c.trial_id)
        .where(TRIALS.c.study_id == study_id)
        .order_by(TRIALS.c.number, PARAMS.c.param_id)
    )
    kinds: dict[str, Any] = {}
    labels: dict[tuple[str, float], Scalar] = {}
    genes: dict[str, str] = {}
    taken: dict[int, dict[str, Scalar]] = {}
    for number, path, value, told in connection.execute(query):
        if (told, value) not in labels:
            kinds.setdefault(told, json_to_distribution(told))
            labels[told, value] = kinds[told].to_external_repr(value)
        genes.setdefault(path, told)
        taken.setdefault(number, {})[path] = labels[told, value]
    seen: dict[str, set[Scalar]] = {path: set() for path in genes}
    for options in taken.values():
        for path, option in options.items():
            seen[path].add(option)
    return tuple(_choice(path, kinds[told], seen[path]) for path, told in genes.items()), taken


def _choice(path: str, kind: Any, seen: set[Scalar]) -> Choice:
    """Of a range without steps only what was taken is an option."""
    if isinstance(kind, CategoricalDistribution):
        options: tuple[Any, ...] = tuple(kind.choices)
        numbers = all(isinstance(option, int | float) and not isinstance(option, bool) for option in options)
        return Choice(path, options, numbers and list(options) == sorted(options))
    return Choice(path, tuple(sorted(seen, key=lambda option: float(option or 0))), ordered=True)


def _attempts(connection: Connection, study_id: int) -> tuple[Attempt, ...]:
    rows = tables.evaluations.c
    names = ("number", "attempt", "state", "seed", "device", "host", "seconds", "began", "ended")
    query = (
        select(*(rows[name] for name in names), rows.versions)
        .where(rows.study_id == study_id)
        .order_by(rows.number, rows.attempt)
    )
    known: dict[str, Mapping[str, str]] = {}
    found = []
    for row in connection.execute(query):
        if row.versions not in known:
            known[row.versions] = json.loads(row.versions)
        found.append(Attempt(**{name: getattr(row, name) for name in names}, versions=known[row.versions]))
    return tuple(found)
