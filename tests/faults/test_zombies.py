"""Two drivers at once: one that was paused past its lease, repeated events, clocks that jump, and races to begin."""

import contextlib
import dataclasses
import datetime
import os
import signal
import sqlite3
import time

import pytest
from evaluations import macs
from faults import ledger
from faults.driver import FORKS, SPACE, Search, said, started, value_of, wait_until

from nas.errors import InputError, StoreError
from nas.feasible import Pricing
from nas.fidelity import Rungs
from nas.jobs import Failed, Finished, Lost, Reported
from nas.objectives import objectives_from
from nas.plan import Plan
from nas.samplers import make_sampler
from nas.store import lease, schema
from nas.store.database import connect
from nas.store.opening import open_study
from nas.study import Study

LEASE_S, BEAT_S = 1.0, 0.2
TRIES = int(os.environ.get("NAS_FAULT_TRIES", "5"))  # of each race; 50 before a release


# -- a driver that was taken for dead ---------------------------------------------------------------------------------


def pause(process, database):
    """Not while it writes: a paused process keeps its locks in the database, and nobody gets past them."""
    for _ in range(100):
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(0.02)
        if not writing(database):
            return
        os.kill(process.pid, signal.SIGCONT)
        time.sleep(0.02)
    raise AssertionError("it never stops writing")


def writing(database):
    if not database.startswith("sqlite"):
        query = "SELECT count(*) FROM pg_stat_activity WHERE xact_start IS NOT NULL AND pid <> pg_backend_pid() "
        return ledger.rows(database, query + "AND datname = current_database()") != [(0,)]
    with contextlib.closing(sqlite3.connect(database.removeprefix("sqlite:///"), timeout=0)) as other:
        try:
            other.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
    return False


def test_a_driver_that_was_paused_past_its_lease_ends_and_leaves_everything_to_the_one_that_took_over(
    database, tmp_path
):
    """It is paused in the middle of two trials; the other does them again and finishes the search before it wakes."""
    search = Search(
        database, tmp_path, trials=6, runner="local", workers=2, seconds=0.4, lease_s=LEASE_S, beat_s=BEAT_S
    )
    first = started(search)
    wait_until(lambda: len(search.evaluated()) >= 2)
    pause(first, database)
    try:
        time.sleep(LEASE_S * 1.5)
        second = dataclasses.replace(search, folder=tmp_path / "second")
        second.folder.mkdir()
        other = started(second)
        other.join(30)
        assert other.exitcode == 0, said(second)
        after = ledger.everything(database)
        done = set(search.evaluated())
    finally:
        os.kill(first.pid, signal.SIGCONT)
    woken = time.monotonic()
    first.join(30)

    assert first.exitcode == 2
    assert time.monotonic() - woken < 5
    assert "this driver has lost its study: it is driven by" in said(search)
    assert "nothing more was written" in said(search)
    assert "Traceback" not in said(search)
    assert ledger.everything(database) == after
    assert ledger.faults(search) == []
    assert done | set(second.evaluated()) == set(range(6))


@pytest.mark.soak_when("postgres")
def test_a_driver_that_is_paused_for_less_than_its_lease_is_not_replaced_and_goes_on(database, tmp_path):
    search = Search(database, tmp_path, trials=6, runner="local", workers=2, seconds=0.4, lease_s=20, beat_s=BEAT_S)
    first = started(search)
    wait_until(search.evaluated)
    pause(first, database)
    try:
        with pytest.raises(InputError, match=f"being driven by process {first.pid} on "):
            dataclasses.replace(search, runner="inline", workers=None, lease_s=None, beat_s=None).run()
    finally:
        os.kill(first.pid, signal.SIGCONT)
    first.join(30)

    assert first.exitcode == 0, said(search)
    assert ledger.faults(search) == []


# -- events that come twice -------------------------------------------------------------------------------------------


@pytest.fixture
def by_hand(database, tmp_path):
    """A study that is driven by hand, with its store and a running job."""
    goals = objectives_from(["accuracy:max"])
    facts = {"objectives": ["accuracy:max"], "limits": [], "epochs": (4, 4)}
    search = Search(database, tmp_path, trials=1)
    store = open_study(database, "s", facts, SPACE, goals)
    study = Study(
        plan=Plan(trials=1, rungs=Rungs(4, 4), checkpoints=tmp_path / "checkpoints"),
        pricing=Pricing(SPACE, macs, []),
        objectives=goals,
        sampler=make_sampler("random", SPACE, goals, 0),
        store=store,
    )
    yield search, study, store
    store.close()


def finished(job, accuracy=None):
    value = value_of(SPACE.decode(job.genome)) if accuracy is None else accuracy
    return Finished(job.number, job.attempt, {"accuracy": value}, 1.0, "here")


def test_an_event_that_is_delivered_twice_counts_once_and_the_first_result_stands(by_hand):
    search, study, store = by_hand
    job = study.next()
    once = [Reported(job.number, job.attempt, step, {"accuracy": 0.1 * step}) for step in (1, 2)]
    for event in (*once, *once, finished(job), finished(job)):
        study.handle(event)
        study.flush()
    first = ledger.everything(search.url)

    for event in (
        finished(job),
        finished(job, accuracy=0.123),
        Failed(job.number, job.attempt, "late", 1.0, "here"),
        Lost(job.number, job.attempt, "late"),
        *once,
    ):
        study.handle(event)
        assert study.flush()

    assert len(study.finished) == 1
    assert ledger.everything(search.url) == first
    store.close()
    assert ledger.faults(search) == []


def test_a_result_of_an_attempt_that_was_given_up_is_ignored(by_hand):
    search, study, store = by_hand
    job = study.next()
    study.handle(Lost(job.number, job.attempt, "its worker ended"))
    again = study.next()
    study.handle(finished(job, accuracy=0.123))
    study.handle(Lost(job.number, job.attempt, "its worker ended"))
    assert study.trials[0].metrics.get("accuracy") is None

    study.handle(finished(again))
    store.close()

    assert (job.number, job.attempt, again.number, again.attempt) == (0, 1, 0, 2)
    assert ledger.faults(search) == []
    assert ledger.trials(search)[0].value == value_of(SPACE.decode(job.genome))


# -- clocks -----------------------------------------------------------------------------------------------------------


@pytest.mark.soak_when("postgres-ten", "postgres-an hour back", "sqlite-an hour on")
@pytest.mark.parametrize("jump_s", [3600, -3600, 600], ids=["an hour on", "an hour back", "ten minutes apart"])
def test_a_wall_clock_that_jumps_neither_ends_a_lease_nor_keeps_one_alive(database, jump_s, tmp_path, monkeypatch):
    """`faketime` is not on every machine: here the clock of this process jumps, while another one drives."""
    search = Search(database, tmp_path, trials=6, runner="local", workers=1, seconds=0.4, lease_s=20, beat_s=BEAT_S)
    driver = started(search)
    wait_until(search.evaluated)
    really = time.time
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: really() + jump_s)
        patch.setattr(datetime, "datetime", jumped(jump_s))
        with pytest.raises(InputError, match=f"being driven by process {driver.pid} on "):
            dataclasses.replace(search, runner="inline", workers=None, lease_s=None, beat_s=None).run()
    driver.kill()
    driver.join()

    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: really() + jump_s)
        dataclasses.replace(search, runner="inline", workers=None, seconds=0.0, lease_s=None, beat_s=None).run()

    assert ledger.faults(search) == []
    seconds = ledger.rows(database, "SELECT seconds FROM nas_evaluations WHERE state = 'complete'")
    assert all(0 <= one < 60 for (one,) in seconds)


def jumped(by_s):
    class Jumped(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return super().now(tz) + datetime.timedelta(seconds=by_s)

    return Jumped


@pytest.mark.parametrize("jump_s", [3600, -3600])
def test_a_driver_whose_wall_clock_jumps_keeps_its_lease(database, jump_s, tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "BEAT_S", 0.05)
    search, really = Search(database, tmp_path, trials=3), time.time
    jumps = iter([0, jump_s, -jump_s])

    def look(_):
        offset = next(jumps, 0)
        monkeypatch.setattr(time, "time", lambda: really() + offset)

    search.run(watch=look)

    assert ledger.faults(search) == []


# -- races ------------------------------------------------------------------------------------------------------------


def _race(search, gate, release, answers):
    """Begin at once with the others; hold the study until everybody has tried."""
    gate.wait()

    def hold(_):
        answers.put((search.study, "drives", os.getpid()))
        release.wait()

    try:
        search.run(watch=_once(hold))
    except (InputError, StoreError) as error:
        answers.put((search.study, str(error), os.getpid()))
    except BaseException as error:
        answers.put((search.study, f"{type(error).__name__}: {error}", os.getpid()))
        raise


def _once(look):
    looked = []
    return lambda study: None if looked else (looked.append(1), look(study))[0]


@pytest.mark.soak_when("-1", "-2", "-3", "-4")
@pytest.mark.parametrize("turn", range(TRIES))
@pytest.mark.parametrize("studies", ["aab", "aabb"], ids=["two and one", "two and two"])
def test_processes_that_make_a_database_and_its_studies_at_once_get_one_driver_each(database, studies, turn, tmp_path):
    gate, release, answers = FORKS.Barrier(len(studies)), FORKS.Event(), FORKS.Queue()
    searches = [Search(database, tmp_path, study=name, trials=2) for name in studies]
    racers = [FORKS.Process(target=_race, args=(search, gate, release, answers)) for search in searches]
    for racer in racers:
        racer.start()
    told = [answers.get(timeout=60) for _ in racers]
    release.set()
    for racer in racers:
        racer.join(30)

    for name in sorted(set(studies)):
        drivers = [pid for study, word, pid in told if (study, word) == (name, "drives")]
        refused = [word for study, word, _ in told if study == name and word != "drives"]
        assert len(drivers) == 1, told
        assert all(f"study '{name}' is being driven by process {drivers[0]} on " in word for word in refused), told
        assert ledger.faults(dataclasses.replace(searches[0], study=name)) == []
    assert [racer.exitcode for racer in racers] == [0] * len(racers)


def test_a_study_that_another_process_took_in_between_is_not_taken_from_it(database, tmp_path, monkeypatch):
    """Optuna's study is made by this process; before ours is written, another one has made and drives it."""
    from nas.store import opening

    search, really = Search(database, tmp_path, trials=2), opening._optunas
    gate, release, answers = FORKS.Barrier(1), FORKS.Event(), FORKS.Queue()
    other = FORKS.Process(target=_race, args=(search, gate, release, answers))

    def slowly(*arguments):
        made = really(*arguments)
        other.start()
        assert answers.get(timeout=30)[1] == "drives"
        return made

    monkeypatch.setattr(opening, "_optunas", slowly)
    try:
        with pytest.raises(InputError, match=f"being driven by process {other.pid or ''}"):
            search.run()
    finally:
        release.set()
        other.join(30)

    assert other.exitcode == 0
    assert ledger.faults(search) == []


# -- versions ---------------------------------------------------------------------------------------------------------


def test_older_code_refuses_a_newer_schema_by_its_number_and_writes_nothing(database, tmp_path, monkeypatch):
    Search(database, tmp_path).run()
    before, newest = ledger.everything(database), schema.known()[-1]
    monkeypatch.setattr(schema, "known", lambda: schema_numbers[:-1])
    schema_numbers = [f"{number:04d}" for number in range(1, int(newest) + 1)]

    with pytest.raises(StoreError, match=f"has schema {newest} of mixer-nas; this version knows .*: update it"):
        Search(database, tmp_path, trials=4).run()
    with pytest.raises(StoreError, match=f"has schema {newest}"):
        connect(database, create=False)

    assert ledger.everything(database) == before
