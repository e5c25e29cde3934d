"""One driver a study: who may write, who is taken for dead, and what a dead driver's trials are worth."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import sqlalchemy
from evaluations import macs, share_of_conv3

from nas import search
from nas.errors import StoreError
from nas.objectives import objectives_from
from nas.store import lease, sql
from nas.store.reading import read_study
from nas.store.sql import open_study
from nas.study import ATTEMPTS
from nas.trial import State

TESTS = Path(__file__).parent.parent
GOALS = objectives_from(["accuracy:max"])

DRIVER = """
    import os, signal, sys
    sys.path.insert(0, {tests!r})
    from evaluations import macs
    from nas import Space, one_of, search

    def evaluate(candidate, budget, report):
        os.kill(os.getpid(), signal.SIGKILL)  # the driver itself: the runner is inline

    space = Space({{f"layer{{index}}": one_of("skip", "conv3", "conv5") for index in range(4)}})
    search(space, evaluate, objectives=["accuracy:max"], trials=3, storage={url!r}, study="s", runner="inline",
           costs=macs, checkpoints={checkpoints!r})
"""


def killed_driver(url, tmp_path):
    """A driver that dies by SIGKILL in the middle of a trial."""
    script = textwrap.dedent(DRIVER).format(tests=str(TESTS), url=url, checkpoints=str(tmp_path / "c"))
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr


def go_on(url, layers, tmp_path, **options):
    arguments = {"objectives": ["accuracy:max"], "trials": 3, "study": "s", "runner": "inline", "costs": macs}
    return search(layers, share_of_conv3, **{**arguments, "storage": url, "checkpoints": tmp_path / "c", **options})


def rows(url, query, **values):
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        found = connection.execute(sqlalchemy.text(query), values)
        result = found.fetchall() if found.returns_rows else None
    engine.dispose()
    return result


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


def test_a_dead_driver_is_not_shown_as_driving(database, tmp_path):
    killed_driver(database, tmp_path)

    assert rows(database, "SELECT driver FROM nas_studies")[0][0] is not None
    assert read_study(database, "s").driver is None


def test_a_driver_that_was_replaced_writes_nothing_more_and_takes_nothing_back(database, layers, tmp_path):
    go_on(database, layers, tmp_path, trials=2)
    settings = read_study(database, "s").settings
    store = open_study(database, "s", settings, layers.digest, GOALS)
    trial = store.load(layers)[0]
    other = lease.lease_text({**lease.this_process(), "host": "elsewhere", "pid": 7})
    rows(database, "UPDATE nas_studies SET driver = :other", other=other)
    before = rows(database, "SELECT * FROM nas_evaluations"), rows(database, "SELECT * FROM trials")

    with pytest.raises(StoreError, match="this driver has lost its study: it is driven by process 7 on elsewhere now"):
        store.begin(layers, trial)
    with pytest.raises(StoreError, match="nothing more was written"):
        store.again(trial)
    store.close()

    assert (rows(database, "SELECT * FROM nas_evaluations"), rows(database, "SELECT * FROM trials")) == before
    assert rows(database, "SELECT driver FROM nas_studies") == [(other,)]


def test_two_drivers_of_one_process_id_are_told_apart_by_their_token():
    first, second = lease.this_process(), lease.this_process()

    assert first.pop("token") != second.pop("token")
    assert first == second


def test_the_lease_is_renewed_between_events(database, layers, tmp_path, monkeypatch):
    go_on(database, layers, tmp_path, trials=1)
    settings = read_study(database, "s").settings
    heart = lease.Heart
    monkeypatch.setattr(sql.lease, "Heart", lambda beat: heart(beat, every_s=0.05))

    store = open_study(database, "s", settings, layers.digest, GOALS)
    first = rows(database, "SELECT beat FROM nas_studies")
    deadline = time.monotonic() + 10
    while rows(database, "SELECT beat FROM nas_studies") == first and time.monotonic() < deadline:
        time.sleep(0.05)
    moved = rows(database, "SELECT beat FROM nas_studies") != first
    store.close()

    assert moved


def test_a_driver_of_another_host_is_dead_once_its_lease_has_run_out():
    driver = {"host": "elsewhere", "boot": "x", "pid": os.getpid(), "token": "t"}
    now = lease.utc_now()

    assert lease.living(driver, now) == f"process {os.getpid()} on elsewhere"
    assert lease.living(driver, now - lease.datetime.timedelta(seconds=lease.LEASE_S + 1)) is None
    assert lease.living(driver, None) is None


def test_a_clean_end_leaves_no_driver_and_no_thread(database, layers, tmp_path):
    import threading

    go_on(database, layers, tmp_path)

    assert rows(database, "SELECT driver FROM nas_studies") == [(None,)]
    assert not [thread for thread in threading.enumerate() if thread.name == "nas-lease"]
    assert read_study(database, "s").driver is None
