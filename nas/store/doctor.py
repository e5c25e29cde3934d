"""What a study promises, checked by reading; and the repairs that are safe."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from optuna.trial import TrialState
from sqlalchemy import Connection, RowMapping, delete, select, text, update

from nas.errors import NasError, StoreError
from nas.objectives import objectives_from
from nas.store import tables
from nas.store.adopting import ENDED, NOT_FINITE
from nas.store.database import connect
from nas.store.files import File, broken_files
from nas.store.optuna_rows import TRIALS, VALUES
from nas.store.reading import driver_of, locked_row, study_row
from nas.store.rows import LOST, fruitless, read_candidate
from nas.store.trouble import translated
from nas.trial import ATTEMPTS, Source, State

OPEN = {State.RUNNING.value, State.PAUSED.value, LOST}
STATE = {theirs: ours.value for theirs, ours in ENDED.items()}


@dataclasses.dataclass(frozen=True)
class Finding:
    """A broken promise: of which trial (None: of the study), what was found, and whether `repair` mends it."""

    promise: str
    trial: int | None
    found: str
    repairable: bool = False


@dataclasses.dataclass(frozen=True)
class Report:
    """What an examination found.

    Attributes:
        study: its name. trials: how many it has. findings: broken promises.
        notes: what is no fault but good to know, as trials that wait for the search to go on.
        driven: whether a living driver has it, which rules repairs out.
    """

    study: str
    trials: int
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    driven: bool


@dataclasses.dataclass(frozen=True)
class _Read:
    """The rows of a study as they were at one moment."""

    row: RowMapping
    theirs: dict[int, Any]  # Optuna's trials by id
    values: dict[int, list[float]]
    ours: dict[int, RowMapping]  # nas_trials by id
    attempts: dict[int, list[RowMapping]]
    bodies: dict[str, tuple[str, str]]
    driven: bool


def examine(url: str, name: str) -> Report:
    """Read a study and check every promise. Raises: InputError for an unknown study, StoreError."""
    engine = connect(url, create=False, reading=True)
    with translated(url), engine.begin() as connection:
        read = _read(connection, study_row(connection, name, url))
        damaged = _integrity(connection)
    engine.dispose()
    findings = [*damaged, *(finding for check in CHECKS for finding in check(read))]
    findings += [_of_file(file) for file in _files(read)]
    return Report(name, len(read.theirs), tuple(findings), tuple(_notes(read)), read.driven)


def repair(url: str, name: str) -> tuple[list[str], Report]:
    """Do what is safe; what was done, and the examination after it.

    Raises: StoreError while a driver has the study, InputError.
    """
    engine = connect(url, create=False)
    done: list[str] = []
    with translated(url), engine.begin() as connection:
        read = _read(connection, locked_row(connection, name, url))
        if read.driven:
            raise StoreError(f"study {name!r} is being driven; repair it when that has ended")
        done += _delete_orphans(connection, read)
        if read.row["driver"] and not any(trial.state is TrialState.RUNNING for trial in read.theirs.values()):
            this = tables.studies.c.study_id == read.row["study_id"]
            connection.execute(update(tables.studies).where(this).values(driver=None))
            done.append("the lease of a dead driver given up")
    engine.dispose()
    done += [file.mend() for file in _files(read) if file.mendable]
    return done, examine(url, name)


def _read(connection: Connection, row: RowMapping) -> _Read:
    study_id = row["study_id"]
    theirs = connection.execute(select(TRIALS).where(TRIALS.c.study_id == study_id).order_by(TRIALS.c.number))
    values: dict[int, list[float]] = {}
    query = select(VALUES).join(TRIALS).where(TRIALS.c.study_id == study_id).order_by(VALUES.c.objective)
    for value in connection.execute(query):
        values.setdefault(value.trial_id, []).append(math.nan if value.value is None else value.value)
    ours = connection.execute(select(tables.trials).where(tables.trials.c.study_id == study_id)).mappings()
    evaluations, attempts = tables.evaluations, dict[int, list[RowMapping]]()
    query = select(evaluations).where(evaluations.c.study_id == study_id).order_by(evaluations.c.attempt)
    for attempt in connection.execute(query).mappings():
        attempts.setdefault(attempt["trial_id"], []).append(attempt)
    bodies = {body.digest: (body.kind, body.body) for body in connection.execute(select(tables.architectures))}
    return _Read(
        row,
        {trial.trial_id: trial for trial in theirs},
        values,
        {trial["trial_id"]: trial for trial in ours},
        attempts,
        bodies,
        driver_of(row) is not None,
    )


def _integrity(connection: Connection) -> list[Finding]:
    if connection.dialect.name != "sqlite":
        return []
    said = [str(row[0]) for row in connection.execute(text("PRAGMA integrity_check")) if row[0] != "ok"]
    return [Finding("the database file is sound", None, line) for line in said[:5]]


# -- promises ----------------------------------------------------------------------------------------------------------


def _numbers(read: _Read) -> Iterator[Finding]:
    counts = Counter(trial.number for trial in read.theirs.values())
    for number, count in counts.items():
        if count > 1:
            yield Finding("numbers are unique", number, f"{count} trials have this number")
    missing = sorted(set(range(max(counts, default=-1) + 1)) - counts.keys())
    if missing:
        yield Finding("numbers are consecutive", missing[0], f"{len(missing)} number(s) are missing")


def _one_state(read: _Read) -> Iterator[Finding]:
    for trial_id, trial in read.theirs.items():
        attempts = read.attempts.get(trial_id)
        if trial_id not in read.ours or not attempts or _not_finite(attempts):
            continue
        ours, theirs = attempts[-1]["state"], STATE.get(trial.state)
        if theirs is None and ours not in OPEN:
            yield Finding("a trial is in one state", trial.number, f"{ours} for us, {trial.state.name} for Optuna")
        elif theirs is not None and ours not in (theirs, *OPEN):
            yield Finding("a trial is in one state", trial.number, f"{ours} for us, {theirs} for Optuna")


def _not_finite(attempts: Sequence[RowMapping]) -> bool:
    """Complete for Optuna, and taken in as failed."""
    return bool(attempts) and attempts[-1]["reason"] == NOT_FINITE


def _ended_elsewhere(trial: Any, attempts: Sequence[RowMapping]) -> bool:
    """A trial that our driver left running and somebody ended through Optuna: the next search takes that in."""
    return bool(attempts) and trial.state in STATE and attempts[-1]["state"] in OPEN - {LOST}


def _one_winner(read: _Read) -> Iterator[Finding]:
    promise = "a complete trial has one complete evaluation, any other none"
    for trial_id, trial in read.theirs.items():
        winners = sum(attempt["state"] == State.COMPLETE.value for attempt in read.attempts.get(trial_id, ()))
        attempts = read.attempts.get(trial_id, [])
        wanted = int(trial.state is TrialState.COMPLETE and not _not_finite(attempts))
        if trial_id in read.ours and winners != wanted and not _ended_elsewhere(trial, attempts):
            yield Finding(promise, trial.number, f"{winners} complete evaluation(s), {wanted} expected")


def _attempts(read: _Read) -> Iterator[Finding]:
    promise = (
        f"attempts are counted from 1, at most {ATTEMPTS} in a row without a new epoch, and only the last may be open"
    )
    for trial_id, trial in read.ours.items():
        attempts = read.attempts.get(trial_id, [])
        numbers = [attempt["attempt"] for attempt in attempts]
        if not attempts:
            yield Finding("every trial has an evaluation", trial["number"], "it has none")
        elif numbers != list(range(1, len(numbers) + 1)) or fruitless(attempts) > ATTEMPTS:
            yield Finding(promise, trial["number"], f"attempts {', '.join(map(str, numbers))}")
        elif any(attempt["state"] != LOST for attempt in attempts[:-1]):
            yield Finding(promise, trial["number"], f"an earlier attempt is {attempts[0]['state']}")


def _values(read: _Read) -> Iterator[Finding]:
    objectives = objectives_from(json.loads(read.row["settings"])["objectives"])
    promise = "the values of a complete trial are finite and the same for Optuna and for us"
    for trial_id, trial in read.theirs.items():
        attempts = read.attempts.get(trial_id, [])
        if trial.state is not TrialState.COMPLETE or not attempts or _not_finite(attempts):
            continue
        if _ended_elsewhere(trial, attempts):
            continue
        metrics = json.loads(read.attempts[trial_id][-1]["metrics"])
        ours = [metrics.get(objective.name) for objective in objectives]
        theirs = read.values.get(trial_id, [])
        if ours != theirs or not all(map(math.isfinite, theirs)):
            yield Finding(promise, trial.number, f"{ours} for us, {theirs} for Optuna")


def _candidates(read: _Read) -> Iterator[Finding]:
    promise = "the architecture of a trial is kept and is the one that its digest names"
    sound: dict[str, str] = {}
    for trial in read.ours.values():
        digest = trial["digest"]
        if digest not in sound:
            sound[digest] = _body_fault(digest, read.bodies.get(digest))
        if sound[digest]:
            yield Finding(promise, trial["number"], sound[digest])


def _body_fault(digest: str, body: tuple[str, str] | None) -> str:
    if body is None:
        return ""  # a candidate that JSON does not hold is known by its genome
    try:
        candidate = read_candidate(*body, digest)
    except (NasError, StoreError) as error:
        return str(error)
    own = getattr(candidate, "digest", digest)
    return "" if own == digest else f"digest {digest}, but what is kept has {own}"


def _trained_once(read: _Read) -> Iterator[Finding]:
    seen: dict[str, int] = {}
    for trial_id, trial in sorted(read.ours.items(), key=lambda item: int(item[1]["number"])):
        won = [
            attempt
            for attempt in read.attempts.get(trial_id, ())
            if attempt["state"] == State.COMPLETE.value and attempt["source"] == Source.TRAINED.value
        ]
        if won and trial["digest"] in seen:
            first = seen[trial["digest"]]
            yield Finding("no network is trained twice", trial["number"], f"the same network as trial {first}")
        elif won:
            seen[trial["digest"]] = trial["number"]


def _orphans(read: _Read) -> Iterator[Finding]:
    for trial_id, trial in read.ours.items():
        if trial_id not in read.theirs:
            yield Finding("every row belongs to a trial", trial["number"], "Optuna has no such trial", repairable=True)
    for trial_id, attempts in read.attempts.items():
        if trial_id not in read.ours:
            yield Finding(
                "every row belongs to a trial", attempts[0]["number"], "an evaluation without a trial", repairable=True
            )


def _lease(read: _Read) -> Iterator[Finding]:
    running = any(trial.state is TrialState.RUNNING for trial in read.theirs.values())
    if read.row["driver"] and not read.driven and not running:
        pid = json.loads(read.row["driver"])["pid"]
        yield Finding("a driver that is gone holds no lease", None, f"process {pid} held it", repairable=True)


CHECKS: Sequence[Callable[[_Read], Iterator[Finding]]] = (
    _numbers,
    _one_state,
    _one_winner,
    _attempts,
    _values,
    _candidates,
    _trained_once,
    _orphans,
    _lease,
)


def _notes(read: _Read) -> Iterator[str]:
    running = sum(trial.state is TrialState.RUNNING and key in read.ours for key, trial in read.theirs.items())
    if running and not read.driven:
        yield f"{running} trial(s) were running when the driver ended: the same `nas search` goes on with them"
    waiting = sum(trial.state is TrialState.WAITING for trial in read.theirs.values())
    if waiting:
        yield f"{waiting} enqueued trial(s) wait for `nas search`"
    foreign = sum(
        trial_id not in read.ours and trial.state is not TrialState.WAITING for trial_id, trial in read.theirs.items()
    )
    if foreign:
        yield f"{foreign} trial(s) were written by other programs; `nas search` takes in those that fit the space"
    lost = sum(attempt["state"] == LOST for attempts in read.attempts.values() for attempt in attempts)
    if lost:
        yield f"{lost} attempt(s) were lost with their worker or driver"


# -- repairs -----------------------------------------------------------------------------------------------------------


def _delete_orphans(connection: Connection, read: _Read) -> list[str]:
    gone = [trial_id for trial_id in read.ours if trial_id not in read.theirs]
    loose = [trial_id for trial_id in read.attempts if trial_id not in read.ours or trial_id in gone]
    if gone:
        connection.execute(delete(tables.trials).where(tables.trials.c.trial_id.in_(gone)))
    if loose:
        this = (tables.evaluations.c.trial_id.in_(loose)) & (tables.evaluations.c.study_id == read.row["study_id"])
        connection.execute(delete(tables.evaluations).where(this))
    return [f"{len({*gone, *loose})} row(s) without a trial deleted"] if gone or loose else []


def _files(read: _Read) -> list[File]:
    """What is wrong with the checkpoints; nothing is said of those that a living driver may be writing."""
    folders: dict[Path, tuple[int, bool]] = {}
    for trial_id, attempts in read.attempts.items():
        last = attempts[-1]
        if last["checkpoint"] and trial_id in read.theirs:
            is_open = read.theirs[trial_id].state is TrialState.RUNNING
            folders[Path(last["checkpoint"])] = last["number"], is_open
    for root in {folder.parent for folder in folders}:  # also of trials whose evaluations are gone
        for trial in read.theirs.values():
            folders.setdefault(root / str(trial.number), (trial.number, False))
    return [] if read.driven else broken_files(read.row["name"], folders)


def _of_file(file: File) -> Finding:
    return Finding(file.promise, file.trial, f"{file.path}: {file.found}", repairable=file.mendable)
