"""A node whose processes all stand still, is given up for lost, and wakes up again."""

import json
import os
import signal
from pathlib import Path

import pytest
from cluster.climbing import Search, check
from cluster.conftest import started
from cluster.epochs import Freezes, done_in
from faults.driver import wait_until

from nas.trial import State

pytestmark = pytest.mark.soak

QUICK = {  # Ray's own would notice after a minute
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 2000,
    "health_check_failure_threshold": 3,
}


@pytest.fixture
def nodes():
    yield from started(**QUICK)


def test_a_node_that_was_frozen_and_comes_back_harms_no_checkpoint_of_the_attempt_after_it(nodes, tmp_path):
    search = Search(tmp_path, nodes.address, trials=6, seconds=0.3)
    frozen, woken = tmp_path / "frozen.json", []

    def watch(study):
        if woken or not frozen.exists() or 3 not in study.trials[0].curve:
            return
        worker, *others = json.loads(frozen.read_text())
        os.kill(worker, signal.SIGCONT)
        wait_until(lambda: any(note["pid"] == worker for note in search.notes() if note["epoch"] == 2), 30)
        woken.append(worker)
        wait_until(lambda: done_in_file(tmp_path, 1) == 2, 30)
        for pid in others:
            os.kill(pid, signal.SIGCONT)

    try:
        result = search.run(Freezes, watch=watch, start=[{f"layer{index}": "conv5" for index in range(4)}])
    finally:
        if frozen.exists():
            let_go(json.loads(frozen.read_text()))

    assert woken
    assert (result.trials[0].state, result.trials[0].attempt) == (State.COMPLETE, 2)
    assert done_in(tmp_path / "checkpoints" / "s" / "0") == 9
    check(search, most_repeated=1 + 2)  # the other worker of that node may have been in an epoch, too


def done_in_file(tmp_path, attempt):
    file = tmp_path / "checkpoints" / "s" / "0" / f"epoch.{attempt}.json"
    return json.loads(file.read_text())["epoch"]


def let_go(pids):
    for pid in pids:
        if Path(f"/proc/{pid}").exists():
            os.kill(pid, signal.SIGCONT)
