"""Rungs on a Ray cluster of three nodes that come and go under the search."""

import os
import signal
import time

import pytest
from cluster.climbing import Search, check
from cluster.epochs import Breaks
from faults.driver import wait_until

from nas.store.doctor import examine
from nas.trial import State


@pytest.mark.soak
def test_rungs_of_two_objectives_in_two_brackets_end_and_every_epoch_is_trained_once(nodes, tmp_path):
    search = Search(tmp_path, nodes.address, trials=12, objectives=("accuracy:max", "blur:min"), brackets=2)

    search.run()

    trials = check(search)
    assert [trial.number for trial in trials] == list(range(12))
    assert {trial.attempt for trial in trials} == {1}
    assert any(trial.state is State.PRUNED for trial in trials)
    assert len({note["node"] for note in search.notes()}) > 1


@pytest.mark.soak
def test_half_a_gpu_each_never_has_more_than_two_trials_on_one(nodes, tmp_path):
    search = Search(tmp_path, nodes.address, workers=None, gpus_per_trial=0.5, seconds=0.3, meet=4)

    search.run()

    check(search)
    notes = search.notes()
    assert {note["node"] for note in notes} == set(nodes.workers)
    assert all(len(note["gpus"]) == 1 and note["visible"] == str(note["gpus"][0]) for note in notes)
    together = [
        sum(each["node"] == note["node"] and each["began"] <= note["began"] < each["ended"] for each in notes)
        for note in notes
    ]
    assert max(together) == 2


class Loses:
    """A watch that does harm, once."""

    def __init__(self, search, nodes):
        self.search, self.nodes, self.done = search, nodes, None

    def __call__(self, study):
        if self.done is None and (where := self.moment(study)) is not None:
            self.done = where
            self.harm(where)

    def moment(self, study):
        """Where to strike; None when it is too early."""
        raise NotImplementedError

    def harm(self, where):
        self.nodes.remove(where["node"])

    def on_a_worker(self, numbers):
        """The last note of one of these trials that was made on a node that may be lost."""
        found = (self.search.last_note(number) for number in numbers)
        here = (note for note in found if note and note["node"] in self.nodes.workers)
        return max(here, key=lambda note: note["stop"], default=None)


class ItsWorker(Loses):
    """A worker process on its way to the last rung, killed; it cannot end its job as long as this looks at it."""

    def moment(self, study):
        climbing = [trial.number for trial in study.trials.values() if trial.state is State.RUNNING]
        found = self.on_a_worker(climbing)
        return found if found and found["stop"] == 9 and found["epoch"] < 8 else None

    def harm(self, where):
        os.kill(where["pid"], signal.SIGKILL)


class ItsNode(ItsWorker):
    """The node, while it trains; only its raylet is killed, the workers find out."""

    def harm(self, where):
        raylet = self.nodes.workers[where["node"]].all_processes["raylet"][0].process
        os.kill(raylet.pid, signal.SIGKILL)
        raylet.wait()
        self.nodes.remove(where["node"])


class WherePausedOnesWere(Loses):
    """The node that trained two trials which are paused now."""

    def moment(self, study):
        paused = [number for number, trial in study.trials.items() if trial.state is State.PAUSED]
        return self.on_a_worker(paused) if len(paused) > 1 else None


class OfTheWoken(Loses):
    """The node of a paused trial, between its being chosen to go on and its going on."""

    def moment(self, study):
        return self.on_a_worker(
            trial.number
            for trial in study.trials.values()
            if trial.state is State.RUNNING and 0 < trial.budget.start == max(trial.curve, default=0)
        )


SOAK = pytest.mark.soak


@pytest.mark.parametrize(
    "loss",
    [
        pytest.param(ItsWorker, marks=SOAK),
        pytest.param(ItsNode, marks=SOAK),
        WherePausedOnesWere,
        pytest.param(OfTheWoken, marks=SOAK),
    ],
)
@pytest.mark.slow
def test_the_search_goes_on_without_what_it_lost_and_no_rung_is_trained_twice(nodes, tmp_path, loss):
    search = Search(tmp_path, nodes.address, trials=12, seconds=0.2)
    watch = loss(search, nodes)

    search.run(watch=watch)

    assert watch.done
    trials = check(search, most_repeated=3)
    assert len(trials) == 12
    if loss is ItsWorker:
        assert {trial.attempt for trial in trials if trial.number == watch.done["trial"]} == {2}


@pytest.mark.parametrize(
    "then", [pytest.param("same cluster", marks=SOAK), "fresh cluster", pytest.param("local", marks=SOAK)]
)
@pytest.mark.slow
def test_a_killed_driver_is_followed_by_one_on_any_runner_that_goes_on_from_every_rung(nodes, tmp_path, then):
    address = {"same cluster": nodes.address}.get(then)
    search = Search(tmp_path, nodes.address, trials=12, seconds=0.2)
    after = Search(tmp_path, address, "local" if then == "local" else "ray", trials=12, workers=2, seconds=0.05)
    driver = search.started()

    def both():
        assert driver.poll() is None, (tmp_path / "driver.log").read_text()
        states = [trial.state for trial in search.trials_now()] if search.notes() else []
        return states.count(State.RUNNING) > 1 and states.count(State.PAUSED) > 1

    try:
        wait_until(both, 150, 0.05)
    finally:
        driver.kill()
        driver.wait()
    before = {trial.number: trial for trial in search.trials_now()}
    time.sleep(0.5)  # for the workers to be gone
    noted = len(search.notes())

    after.run()

    trials = check(after, most_repeated=3)
    for trial in trials:
        old = before.get(trial.number)
        running = old is not None and old.state is State.RUNNING
        assert trial.attempt == (2 if running else 1)
        if old is not None and old.ended:
            assert trial == old
    again = search.notes()[noted:]
    assert not [note for note in again if note["trial"] in before and note["epoch"] <= before[note["trial"]].epochs]


@SOAK
def test_candidates_that_break_their_workers_fail_alone(nodes, tmp_path):
    search = Search(tmp_path, nodes.address, trials=9)

    result = search.run(Breaks)

    poison, greedy, unlucky, *others = result.trials
    assert (poison.state, poison.attempt, poison.reason[:14]) == (State.FAIL, 3, "lost 3 times: ")
    assert (greedy.state, greedy.reason) == (State.FAIL, "out of memory: Unable to allocate 1.00 GiB")
    assert greedy.attempt <= 2
    assert (unlucky.state, unlucky.attempt) in {(State.COMPLETE, 2), (State.PRUNED, 2)}
    assert {trial.state for trial in others} <= {State.COMPLETE, State.PRUNED}
    assert {trial.attempt for trial in others} == {1}
    assert examine(search.url, "s").findings == ()
