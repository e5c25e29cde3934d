"""The store on a database: one study, one driver, one short transaction for all that waits."""

from __future__ import annotations

import dataclasses
import functools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, update

from nas.checked import canonical_json
from nas.errors import StoreError
from nas.feasible import Pricing
from nas.jobs import Metrics
from nas.objectives import Objective
from nas.space import Space
from nas.store import adopting, lease, optuna_rows, reusing, rows, tables
from nas.store.base import PATIENCE_S, Answer, Away, Known, NumbersTaken, Wish, WishTaken
from nas.store.database import hurry
from nas.store.optuna_rows import NewTrial
from nas.store.outbox import Outbox
from nas.store.reading import read_lost, read_trials
from nas.store.signs import Signs
from nas.store.trouble import redact, translated
from nas.store.watchdog import Watchdog
from nas.trial import Source, State, Trial

log = logging.getLogger(__name__)

HOLD_S = 1.0  # reports are held back at most so long
STATES = {ours: theirs for theirs, ours in adopting.ENDED.items()}


class SqlStore:
    """The trials of one study in a database (see `nas.store.base.Store` for the contract)."""

    def __init__(
        self,
        url: str,
        engine: Engine,
        study_id: int,
        objectives: Sequence[Objective],
        *,
        holder: str,
        batch: int,
        clean: bool,
        protocol: str,
        measured_on: str = "",
    ) -> None:
        """Use `nas.store.opening.open_study`, which makes the study or takes it over."""
        self.clean = clean
        self.misfits: Mapping[int, str] = {}
        self.lost: frozenset[int] = frozenset()
        self._url, self._engine, self._study_id = url, engine, study_id
        self._objectives, self._protocol, self._holder = tuple(objectives), protocol, holder
        self._trial_ids, self._attempts = dict[int, int](), dict[int, int]()
        self._waiting = dict[int, int]()  # enqueued trials that the study was told of: number to Optuna's id
        self._columns: optuna_rows.Columns = {}
        self._known: tuple[str, ...] = ()
        self._overruled = dict[int, Trial]()
        self._measured_on, self._measured = measured_on, dict[str, Metrics]()
        self._steps = dict[tuple[int, int], float]()  # intermediate values held back, by Optuna's id and epochs
        self._curves = dict[int, Trial]()
        self._written = time.monotonic()
        self._hurries = False
        self._outbox = Outbox(url, engine, study_id, holder, batch)
        self._signs = Signs(url, engine, study_id, holder, self._waiting)

    # -- reading ---------------------------------------------------------------------------------------------------

    @property
    def pending(self) -> int:
        """Results that wait."""
        return self._outbox.results

    @property
    def away_s(self) -> float | None:
        """How long the database has been away."""
        return None if self._outbox.away_since is None else time.monotonic() - self._outbox.away_since

    def load(self, pricing: Pricing) -> Sequence[Trial]:
        """All trials by number; those that others wrote become ours here. Raises: StoreError."""
        self._columns, self._known = optuna_rows.columns_of(pricing.space.genes), pricing.known
        found: list[tuple[int, Trial]] = []

        def step(connection: Connection) -> None:
            ours = read_trials(connection, self._study_id, pricing.space)
            adopted, self.misfits = adopting.take_in(connection, self._study_id, ours, pricing, self._objectives)
            found[:] = sorted([*ours, *adopted], key=lambda pair: pair[1].number)
            self.lost = read_lost(connection, self._study_id)
            if self._measured_on:
                self._measured = rows.read_measured(connection, self._measured_on)

        self._outbox.write(step)
        self._trial_ids = {trial.number: trial_id for trial_id, trial in found}
        self._attempts = {trial.number: trial.attempt for _, trial in found}
        self._signs.enqueued = True
        return [trial for _, trial in found]

    def reusable(self, stop: int) -> Sequence[Known]:
        """None without a protocol."""
        with translated(self._url), self._engine.begin() as connection:
            return reusing.read_known(connection, self._study_id, self._protocol, stop)

    def measured(self, digest: str) -> Metrics | None:
        """From memory: what the table holds was read with the trials."""
        return self._measured.get(digest)

    def wishes(self) -> Sequence[Wish]:
        """Looks only when the heart has seen some."""
        if not self._signs.enqueued or self.away_s is not None:
            return ()
        self._signs.enqueued = False
        try:
            with translated(self._url), Watchdog(self._engine) as watchdog, self._engine.begin() as connection:
                watchdog.over(connection)
                found = adopting.read_wishes(connection, self._study_id, skip=self._waiting.values())
        except Away:
            self._signs.enqueued = True  # the next look finds them
            return ()
        self._waiting.update({wish.number: trial_id for trial_id, wish in found})
        return [wish for _, wish in found]

    # -- writing ---------------------------------------------------------------------------------------------------

    def begin(self, space: Space, new: Sequence[Trial], again: Sequence[Trial]) -> None:
        """Optuna's rows, the candidates, our rows; or the next attempt of trials that have them."""
        if not self._hurries:
            self._hurries = True
            hurry(self._engine)

        def last(connection: Connection) -> None:
            if new:
                self._insert(space, new, connection)
            self._retry(again, connection)

        self._write(last, tuple((trial.number, trial.attempt) for trial in (*new, *again)))
        self._attempts.update({trial.number: trial.attempt for trial in (*new, *again)})

    def record(self, space: Space, answers: Sequence[Answer]) -> None:
        """Optuna's rows and ours, complete at once."""
        self._write(functools.partial(self._insert_complete, space, answers), "record")

    def refuse(self, wish: Wish, reason: str) -> None:
        """Optuna shows it as failed."""
        trial_id = self._waiting[wish.number]
        self._outbox.add(lambda connection: optuna_rows.refuse_waiting(connection, trial_id, reason))

    def keep_measured(self, digest: str, metrics: Metrics) -> None:
        """With the next batch; nothing is written without a name of the device."""
        self._measured[digest] = metrics
        if self._measured_on:
            row = digest, self._measured_on, canonical_json(dict(metrics))
            self._outbox.add(lambda connection: rows.keep_measured(connection, *row))

    def report(self, trial: Trial, step: int, metrics: Metrics) -> None:
        """The first objective as Optuna's intermediate value, where there is one objective and it was reported.

        With several objectives Optuna's samplers break on pruned trials that have intermediate values.
        """
        value = metrics.get(self._objectives[0].name)
        if len(self._objectives) == 1 and value is not None:
            self._steps[self._trial_ids[trial.number], step] = float(value)
        self._curves[trial.number] = trial

    def pause(self, trial: Trial) -> None:
        """Our row of the attempt says so; to Optuna the trial still runs."""
        self._curves.pop(trial.number, None)
        self._take_reports()
        row = rows.progress(trial)
        self._outbox.add(lambda connection: self._update(connection, trial, row), results=1)

    def lose(self, trial: Trial, reason: str) -> None:
        """Our row of the attempt says so; to Optuna the trial still runs."""
        self._take_reports()
        row = {**rows.progress(trial), "state": rows.LOST, "reason": reason, "ended": rows.utc_now()}
        self._outbox.add(lambda connection: self._update(connection, trial, row))

    def finish(self, trial: Trial, values: Sequence[float] | None, excesses: Mapping[str, float]) -> None:
        """State, values, constraints, and our row."""
        self._curves.pop(trial.number, None)
        self._take_reports()
        self._outbox.add(functools.partial(self._end, trial, values, dict(excesses)), results=1)

    def overruled(self) -> Sequence[Trial]:
        """Told once."""
        found, self._overruled = list(self._overruled.values()), {}
        return found

    def flush(self) -> bool:
        """Reports alone wait for HOLD_S. Raises: StoreError, Lost, Terminated when somebody asked for the end."""
        self._signs.check()
        waits = not self._outbox.empty or (bool(self._curves) and time.monotonic() - self._written > HOLD_S)
        if waits and self._outbox.due:
            try:
                self._write()
            except Away:
                return False
        return self._outbox.empty

    def close(self, patience_s: float = PATIENCE_S) -> None:
        """Write what waits, wait for a database that is away, and give up the study, unless another driver has it."""
        self._signs.stop()
        let_go = update(tables.studies).where(tables.studies.c.study_id == self._study_id)
        values = {"driver": None, "wanted": ""}
        deadline = time.monotonic() + patience_s
        hopeless = self.away_s is not None and patience_s < PATIENCE_S
        try:
            while hopeless or not self._given_up(lambda connection: _execute(connection, let_go.values(values))):
                if hopeless or time.monotonic() > deadline:
                    raise StoreError(
                        f"database {redact(self._url)} has been away for {self.away_s or 0.0:.0f} s; {self.pending} "
                        f"result(s) could not be written: the same command goes on from their checkpoints"
                    )
                time.sleep(0.05)
        except lease.Lost:
            pass
        finally:
            lease.disown(self._holder)
            self._engine.dispose()

    def _given_up(self, let_go: Callable[[Connection], None]) -> bool:
        if not self._outbox.due:
            return False
        try:
            self._write(let_go, "close")
        except Away:
            return False
        return True

    def _write(self, last: Callable[[Connection], None] | None = None, key: Any = None) -> None:
        self._take_reports()
        self._written = time.monotonic()
        self._outbox.write(last, key)

    def _take_reports(self) -> None:
        """Reports become a step of their own before anything that comes after them."""
        if self._curves or self._steps:
            running = [(trial, rows.progress(trial)) for trial in self._curves.values()]
            values = [(*key, value) for key, value in self._steps.items()]
            self._curves, self._steps = {}, {}

            def step(connection: Connection) -> None:
                optuna_rows.insert_steps(connection, values)
                for trial, row in running:
                    self._update(connection, trial, row)

            self._outbox.add(step)

    # -- steps -----------------------------------------------------------------------------------------------------

    def _insert(self, space: Space, trials: Sequence[Trial], connection: Connection) -> None:
        new = [trial for trial in trials if trial.number not in self._waiting]
        self._check_numbers(connection, new)
        ids = {trial.number: self._waiting[trial.number] for trial in trials if trial.number in self._waiting}
        for trial in trials:
            if trial.number in ids and not optuna_rows.begin_waiting(
                connection, ids[trial.number], _new(space, trial), self._columns
            ):
                raise WishTaken(trial.number)
        if new:
            fresh = [_new(space, trial) for trial in new]
            inserted = optuna_rows.insert_running(connection, self._study_id, fresh, self._columns)
            ids.update(zip((trial.number for trial in new), inserted, strict=True))
        self._insert_ours(connection, trials, ids, {})

    def _insert_complete(self, space: Space, answers: Sequence[Answer], connection: Connection) -> None:
        trials = [answer.trial for answer in answers]
        self._check_numbers(connection, trials)
        new = [_new(space, answer.trial, reused=answer.evaluation) for answer in answers]
        values, excesses = [answer.values for answer in answers], [answer.excesses for answer in answers]
        inserted = optuna_rows.insert_ended(connection, self._study_id, new, values, excesses, self._columns)
        ids = dict(zip((trial.number for trial in trials), inserted, strict=True))
        self._insert_ours(connection, trials, ids, {answer.trial.number: answer.evaluation for answer in answers})

    def _insert_ours(
        self, connection: Connection, trials: Sequence[Trial], ids: Mapping[int, int], reused: Mapping[int, int]
    ) -> None:
        rows.keep_candidates(connection, trials)
        ours = [rows.trial_row(ids[trial.number], self._study_id, trial) for trial in trials]
        connection.execute(rows.INSERT_TRIAL, ours)
        attempts = [
            {
                **rows.evaluation_row(ids[trial.number], self._study_id, trial, self._protocol),
                "reused_from": reused.get(trial.number),
            }
            for trial in trials
        ]
        connection.execute(rows.INSERT_EVALUATION, attempts)
        self._trial_ids.update(ids)

    def _check_numbers(self, connection: Connection, trials: Sequence[Trial]) -> None:
        if trials:
            first = optuna_rows.free_number(connection, self._study_id)
            if first != trials[0].number:
                raise NumbersTaken(first)

    def _retry(self, trials: Sequence[Trial], connection: Connection) -> None:
        for trial in trials:
            if self._attempts[trial.number] == trial.attempt:
                self._update(connection, trial, rows.progress(trial))  # it was stopped in order, or at a rung
                continue
            evaluations, trial_id = tables.evaluations, self._trial_ids[trial.number]
            before = (evaluations.c.trial_id == trial_id) & (evaluations.c.state == State.RUNNING.value)
            lost = {"state": rows.LOST, "reason": "its driver ended", "ended": rows.utc_now()}
            connection.execute(update(evaluations).where(before).values(lost))
            row = rows.evaluation_row(trial_id, self._study_id, trial, self._protocol)
            connection.execute(evaluations.insert().values(row))

    def _end(
        self, trial: Trial, values: Sequence[float] | None, excesses: Mapping[str, float], connection: Connection
    ) -> None:
        attrs: dict[str, Any] = {"seconds": trial.seconds}
        if trial.reason:
            attrs["reason"] = trial.reason
        state, trial_id = STATES[trial.state], self._trial_ids[trial.number]
        row = rows.progress(trial)
        if not optuna_rows.finish(connection, trial_id, state, values, excesses, attrs):
            log.warning("trial %d was ended by somebody else, whose word stands", trial.number)
            trial = self._theirs(connection, trial_id, trial)
            self._overruled[trial.number] = trial
            row = {**rows.progress(trial), "source": trial.source.value}
        self._update(connection, trial, row)

    def _theirs(self, connection: Connection, trial_id: int, trial: Trial) -> Trial:
        (foreign,) = adopting.read_foreign(connection, self._study_id, {trial_id})
        state, metrics, reason = adopting.outcome(foreign, self._objectives)
        known = {*self._known, *self._measured.get(trial.digest, ())}
        costs = {name: value for name, value in trial.metrics.items() if name in known}
        return dataclasses.replace(
            trial, state=state, metrics={**costs, **metrics}, reason=reason, source=Source.ADOPTED
        )

    def _update(self, connection: Connection, trial: Trial, row: Mapping[str, Any]) -> None:
        this = {"of_trial": self._trial_ids[trial.number], "of_attempt": trial.attempt}
        connection.execute(rows.UPDATE_EVALUATION, {**this, **row})


def _new(space: Space, trial: Trial, **more: Any) -> NewTrial:
    attrs = {**trial.metrics, "digest": trial.digest, "origin": trial.origin, **more}
    if trial.parent is not None:
        attrs["parent"] = trial.parent
    return NewTrial(trial.number, space.params(trial.genome), attrs)


def _execute(connection: Connection, statement: Any) -> None:
    connection.execute(statement)
