"""Every single call of the database, one after the other, fails or does its work and fails then: nothing shows of it."""

import dataclasses
import sqlite3
import threading
from contextlib import suppress

import psycopg
import pytest
from evaluations import macs
from faults import ledger
from faults.driver import SPACE, Search, points, value_of
from sqlalchemy.engine.default import DefaultDialect

from nas.errors import StoreError
from nas.feasible import Pricing
from nas.fidelity import Rungs
from nas.jobs import Finished, Lost
from nas.objectives import objectives_from
from nas.plan import Plan
from nas.samplers import make_sampler
from nas.store import outbox
from nas.store.database import connect
from nas.store.opening import open_study
from nas.study import Study
from nas.trial import State

ONE, TWO = ("accuracy:max",), ("accuracy:max", "macs:min")
EXECUTE = ("do_execute", "do_executemany", "do_execute_no_params")


@pytest.fixture
def searched(database, tmp_path, monkeypatch):
    monkeypatch.setattr(outbox, "PAUSES_S", (0.0, 0.05))
    connect(database, create=True).dispose()
    return Search(database, tmp_path, trials=6)


@pytest.fixture(scope="module")
def locked(tmp_path_factory):
    """Raises what SQLite raises where somebody else holds its lock."""
    path = tmp_path_factory.mktemp("locked") / "db"
    holder = sqlite3.connect(path, isolation_level=None)
    other = sqlite3.connect(path, isolation_level=None, timeout=0)
    holder.execute("BEGIN EXCLUSIVE")
    yield lambda: other.execute("BEGIN IMMEDIATE")
    holder.close()
    other.close()


class Trouble:
    """The `nth` call of a kind fails as when the server goes away, or the file is locked; `hits` counts them.

    at: "commit" (done, and then an error), "execute" (not done). Calls of other threads, and those before `armed` is
        set, are left alone.
    """

    def __init__(self, monkeypatch, locked, at, nth, *, armed=True):
        self._locked, self._nth, self.armed, self.hits = locked, nth, armed, 0
        for name in ("do_commit",) if at == "commit" else EXECUTE:
            monkeypatch.setattr(DefaultDialect, name, self._wrapped(getattr(DefaultDialect, name), at))

    def _wrapped(self, really, at):
        def call(dialect, what, *arguments, **more):
            counted = self.armed and threading.current_thread() is threading.main_thread()
            self.hits += counted
            now = counted and self.hits == self._nth
            if at == "commit" or not now:
                really(dialect, what, *arguments, **more)
            if now:
                self._fail(what.driver_connection if at == "commit" else what.connection)

        return call

    def _fail(self, connection):
        if isinstance(connection, sqlite3.Connection):
            self._locked()
        connection.close()
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    @property
    def struck(self):
        return self.hits >= self._nth


def require_same(search, calm, at, nth):
    """It has the trials of an undisturbed search of the same seed, each evaluated once."""
    assert ledger.faults(search) == [], f"{at} {nth}"
    assert ledger.outcome(search) == ledger.outcome(calm), f"{at} {nth}"
    assert search.evaluated() == calm.evaluated(), f"{at} {nth}"


@pytest.mark.soak_when("postgres-execute", "sqlite-commit")
@pytest.mark.parametrize(
    ("at", "objectives"), [("commit", TWO), ("execute", ONE)], ids=["commit, two objectives", "execute, one objective"]
)
@pytest.mark.slow
def test_a_call_that_fails_once_changes_nothing_of_a_search(searched, at, objectives, monkeypatch, locked):
    calm = dataclasses.replace(searched, study="calm", objectives=objectives)
    calm.run()

    for nth in points():
        search = dataclasses.replace(searched, study=f"s{nth}", objectives=objectives)
        with monkeypatch.context() as patch:
            trouble = Trouble(patch, locked, at, nth, armed=False)
            search.run(watch=lambda _, trouble=trouble: setattr(trouble, "armed", True))
        if not trouble.struck:
            break
        require_same(search, calm, at, nth)
    assert nth > 6


@pytest.mark.soak_when("postgres-execute", "sqlite-commit")
@pytest.mark.parametrize("at", ["commit", "execute"])
def test_a_call_that_fails_while_a_search_opens_its_study_is_one_line_and_the_same_command_goes_on(
    searched, at, monkeypatch, locked
):
    """Started again from the same process, as from a notebook."""
    calm = dataclasses.replace(searched, study="calm")
    calm.run()

    for nth in points():
        search = dataclasses.replace(searched, study=f"s{nth}")
        with monkeypatch.context() as patch:
            trouble = Trouble(patch, locked, at, nth)
            with suppress(StoreError):  # nothing else, as an AssertionError
                search.run(watch=lambda _, trouble=trouble: setattr(trouble, "armed", False))
        if not trouble.struck:
            break
        search.run()
        require_same(search, calm, at, nth)
    assert nth > 3


def opened(search, trials):
    """A study that is driven by hand, as a runner with several workers does."""
    goals = objectives_from(search.objectives)
    facts = {"objectives": [*map(str, goals)], "limits": [], "epochs": (4, 4)}
    store = open_study(search.url, search.study, facts, SPACE, goals)
    plan = Plan(trials=trials, rungs=Rungs(4, 4), checkpoints=search.folder / "checkpoints")
    sampler = make_sampler("random", SPACE, goals, 0)
    study = Study(plan=plan, pricing=Pricing(SPACE, macs, []), objectives=goals, sampler=sampler, store=store)
    return study, store


def finish(study, job):
    value = value_of(SPACE.decode(job.genome))
    study.handle(Finished(job.number, job.attempt, {"accuracy": value}, 1.0, "here"))


@pytest.mark.parametrize("wanted", [1, 2], ids=["as many jobs as before", "more jobs than before"])
def test_jobs_whose_beginning_was_written_but_answered_by_an_error_are_begun_once(
    searched, wanted, monkeypatch, locked
):
    """A result comes in between, so that the next batch has something else to write, too."""
    study, store = opened(searched, 6)
    first, second = study.jobs(2)
    finish(study, first)
    with monkeypatch.context() as patch:
        Trouble(patch, locked, "commit", 1)
        assert study.jobs(1) == []
    finish(study, second)
    study.flush()

    jobs = study.jobs(wanted)
    while jobs:
        for job in jobs:
            finish(study, job)
        jobs = study.jobs(2)
    assert study.flush()
    store.close()

    assert ledger.faults(searched) == []


@pytest.mark.soak_when("postgres-execute")
@pytest.mark.parametrize("at", ["commit", "execute"])
def test_a_call_that_fails_with_several_jobs_in_flight_begins_none_twice(searched, at, monkeypatch, locked):
    for nth in points():
        search = dataclasses.replace(searched, study=f"s{nth}")
        study, store = opened(search, 6)
        with monkeypatch.context() as patch:
            trouble, running = Trouble(patch, locked, at, nth), study.jobs(3)
            lost = False
            while not study.over:
                for job in running[-1:]:
                    running.remove(job)
                    if job.number == 1 and not lost:
                        lost = True
                        study.handle(Lost(job.number, job.attempt, "its worker ended"))
                    else:
                        finish(study, job)
                running += study.jobs(3 - len(running))
                study.flush()
            store.close()
        if not trouble.struck:
            break
        assert ledger.faults(search) == [], f"{at} {nth}"
        assert all(trial.state is State.COMPLETE for trial in study.trials.values()), f"{at} {nth}"
        assert {number: len(rows) for number, rows in ledger.evaluations(search).items()}[1] == 2, f"{at} {nth}"
    assert nth > 6
