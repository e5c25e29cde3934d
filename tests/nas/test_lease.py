"""One driver a study: who may write, who is taken for dead, and what a dead driver's trials are worth."""

import dataclasses
import os
import signal
import time

import pytest
import sqlalchemy
from evaluations import kills_itself, macs, share_of_conv3, space
from faults.driver import FORKS

from nas import search
from nas.errors import StoreError
from nas.feasible import Pricing
from nas.objectives import objectives_from
from nas.store import lease
from nas.store.database import connect
from nas.store.opening import open_study
from nas.store.reading import read_study
from nas.trial import ATTEMPTS, State

pytestmark = pytest.mark.tables_made

GOALS = objectives_from(["accuracy:max"])
OPTIONS = {
    "objectives": ["accuracy:max"], "trials": 3, "study": "s", "sampler": "random", "runner": "inline", "costs": macs,
}  # fmt: skip


def killed_driver(url, tmp_path):
    """A driver that dies by SIGKILL in the middle of a trial: the runner is inline, and its evaluation kills it."""
    where = {"storage": url, "checkpoints": tmp_path / "c"}
    process = FORKS.Process(target=search, args=(space, kills_itself), kwargs={**OPTIONS, **where})
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


def go_on(url, layers, tmp_path, **options):
    return search(layers, share_of_conv3, **{**OPTIONS, "storage": url, "checkpoints": tmp_path / "c", **options})


def rows(url, query, **values):
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        found = connection.execute(sqlalchemy.text(query), values)
        result = found.fetchall() if found.returns_rows else None
    engine.dispose()
    return result


@pytest.mark.soak_when("postgres")
def test_a_trial_whose_driver_was_killed_is_done_again_with_its_attempt_counted(database, layers, tmp_path):
    killed_driver(database, tmp_path)
    left = read_study(database, "s").trials

    result = go_on(database, layers, tmp_path)

    assert [(trial.state, trial.attempt) for trial in left] == [(State.RUNNING, 1)]
    assert [(trial.state, trial.attempt) for trial in result.trials] == [(State.COMPLETE, n) for n in (2, 1, 1)]


def test_a_trial_that_kills_its_driver_every_time_is_failed_and_the_search_goes_on(database, layers, tmp_path):
    for _ in range(ATTEMPTS):
        killed_driver(database, tmp_path)

    result = go_on(database, layers, tmp_path)

    assert (result.trials[0].state, result.trials[0].reason) == (State.FAIL, "lost with its driver, attempt 3")
    assert [trial.state for trial in result.trials[1:]] == [State.COMPLETE] * 2


@pytest.mark.soak_when("postgres")
def test_a_dead_driver_is_not_shown_as_driving(database, tmp_path):
    killed_driver(database, tmp_path)

    assert rows(database, "SELECT driver FROM nas_studies")[0][0] is not None
    assert read_study(database, "s").driver is None


def flush_for(store, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        store.flush()
        time.sleep(0.02)


def opened(url, layers, name="s"):
    return open_study(url, name, read_study(url, name).settings, layers, GOALS)


def test_a_driver_that_was_replaced_writes_nothing_more_and_takes_nothing_back(database, layers, tmp_path):
    go_on(database, layers, tmp_path, trials=2)
    store = opened(database, layers)
    trial = dataclasses.replace(store.load(Pricing(layers, macs, []))[0], number=2, state=State.RUNNING)
    other = lease.lease_text({**lease.this_process(), "host": "elsewhere", "pid": 7})
    rows(database, "UPDATE nas_studies SET driver = :other", other=other)
    before = rows(database, "SELECT * FROM nas_evaluations"), rows(database, "SELECT * FROM trials")

    with pytest.raises(StoreError, match="this driver has lost its study: it is driven by process 7 on elsewhere now"):
        store.begin(layers, [trial], [])
    store.lose(trial, "its worker ended")
    with pytest.raises(StoreError, match="nothing more was written"):
        store.flush()
    store.close()

    assert (rows(database, "SELECT * FROM nas_evaluations"), rows(database, "SELECT * FROM trials")) == before
    assert rows(database, "SELECT driver FROM nas_studies") == [(other,)]


def test_a_driver_learns_from_its_heart_that_it_was_replaced_while_nothing_happened(
    database, layers, tmp_path, monkeypatch
):
    monkeypatch.setattr(lease, "BEAT_S", 0.05)
    go_on(database, layers, tmp_path, trials=1)
    store = opened(database, layers)
    assert store.flush()
    rows(database, "UPDATE nas_studies SET driver = NULL")

    with pytest.raises(StoreError, match="driven by nobody now"):
        flush_for(store, 10)
    store.close()


def test_a_database_that_went_back_to_an_earlier_state_is_noticed_and_left_alone(database, layers, tmp_path):
    go_on(database, layers, tmp_path, trials=2)
    store = opened(database, layers)
    trial = store.load(Pricing(layers, macs, []))[0]
    rows(database, "UPDATE nas_studies SET written = written - 1")
    before = rows(database, "SELECT * FROM nas_evaluations")

    store.lose(trial, "its worker ended")
    with pytest.raises(StoreError, match="went back to an earlier state"):
        store.flush()
    with pytest.raises(StoreError, match="went back to an earlier state"):
        store.close()

    assert rows(database, "SELECT * FROM nas_evaluations") == before


def test_two_drivers_of_one_process_id_are_told_apart_by_their_token():
    first, second = lease.this_process(), lease.this_process()

    assert first.pop("token") != second.pop("token")
    assert first == second


def test_the_lease_is_renewed_between_events(database, layers, tmp_path, monkeypatch):
    go_on(database, layers, tmp_path, trials=1)
    monkeypatch.setattr(lease, "BEAT_S", 0.05)

    store = opened(database, layers)
    first = rows(database, "SELECT pulse FROM nas_studies")
    deadline = time.monotonic() + 10
    while rows(database, "SELECT pulse FROM nas_studies") == first and time.monotonic() < deadline:
        time.sleep(0.05)
    moved = rows(database, "SELECT pulse FROM nas_studies") != first
    store.close()

    assert moved


def test_a_driver_of_another_host_is_dead_once_its_lease_has_run_out():
    driver = {**lease.this_process(), "host": "elsewhere"}

    assert lease.living(driver, 1.0) == f"process {os.getpid()} on elsewhere"
    assert lease.living(driver, lease.LEASE_S + 1) is None
    assert lease.living(driver, None) is None


def test_a_driver_of_this_host_is_dead_when_its_process_is_gone_was_replaced_or_fell_silent():
    driver = lease.this_process()

    assert lease.living(driver, 1.0) == f"process {os.getpid()} on {driver['host']}"
    assert lease.living(driver, lease.LEASE_S + 1) is None
    assert lease.living({**driver, "boot": "an earlier one"}, 1.0) is None
    assert lease.living({**driver, "started": driver["started"] - 1}, 1.0) is None
    assert lease.living({**driver, "pid": 2**22 + 1}, 1.0) is None


def test_silence_is_measured_on_a_clock_that_no_change_of_the_wall_clock_moves(database):
    engine = connect(database, create=True)
    with engine.begin() as connection:
        first = connection.execute(sqlalchemy.select(lease.clock(connection))).scalar()
        second = connection.execute(sqlalchemy.select(lease.clock(connection))).scalar()
    engine.dispose()

    assert 0 <= second - first < 10
    assert lease.silence(first, first + 7.0) == 7.0
    assert lease.silence(first + 3600, first) is None  # of another boot, or another server
    if database.startswith("sqlite"):
        assert abs(first - time.clock_gettime(time.CLOCK_BOOTTIME)) < 10


def test_a_clean_end_leaves_no_driver_and_no_thread(database, layers, tmp_path):
    import threading

    go_on(database, layers, tmp_path)

    assert rows(database, "SELECT driver FROM nas_studies") == [(None,)]
    assert not [thread for thread in threading.enumerate() if thread.name == "nas-lease"]
    assert read_study(database, "s").driver is None
