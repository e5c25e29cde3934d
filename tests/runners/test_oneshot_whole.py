"""`nas search --weights supernet` from an empty folder: what shrinks, what is interrupted, what has workers."""

import json
import os
import signal

import pytest
from supernets import MINE, SUPER

from nas import checkpoint
from nas.store.reading import read_study
from nas.supernet.course import Course
from runners.study_commands import setup_of
from runners.supernet_progress import SupernetProgress

__all__ = ["MINE"]  # the fixture `nas` writes it


def test_a_search_stays_in_what_is_left_of_a_space_that_shrank(nas, tmp_path):
    code, _, err = nas(*SUPER, "--shrink", "--supernet-epochs", "5", "--trials", "8", "--retrain", "1", "--spread",
                       "0", "--study", "d")  # fmt: skip
    record = read_study(f"sqlite:///{tmp_path}/nas.db", "d")
    phases = Course.from_json(record.settings["shrinking"]).phases
    retrained = nas("retrain", "d", "--epochs", "1", "--runner", "inline", "--batch-size", "256", "--study", "x")
    best = max(record.trials, key=lambda each: each.metrics["accuracy"])

    assert code == 0, err
    assert "phase 1" in err
    assert len(phases[-1].classes) == 10
    assert phases[-1].after < phases[0].before
    left = setup_of(record.settings, "d", "").space
    assert left.count().value == phases[-1].after
    assert all(left.decode(each.genome) == each.candidate for each in record.trials)
    assert retrained[0] == 0, retrained[2]
    assert f"trial {best.number} of d" in retrained[1]
    assert nas("report", "d", "--to", "d.html")[0] == 0


@pytest.fixture
def interruptible():
    """Ctrl-C as on a terminal: a job in the background ignores it, and so does a command that it has ended."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_interrupted_while_a_supernet_is_trained_the_same_command_goes_on(nas, tmp_path, monkeypatch):
    told, say = [], SupernetProgress.__call__

    def interrupted(self, epoch, metrics):
        say(self, epoch, metrics)
        told.append(epoch)
        if len(told) == 1:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(SupernetProgress, "__call__", interrupted)
    arguments = [*SUPER, "--supernet-epochs", "3", "--trials", "2", "--retrain", "0", "--spread", "0", "--study", "i"]
    first = nas(*arguments)
    reached = checkpoint.load(tmp_path / "checkpoints" / "i.supernet")["epoch"]
    second = nas(*arguments)

    assert first[0] == 130, first[2]
    assert "the same command goes on from there" in first[2]
    assert "Traceback" not in first[2]
    assert reached == 1
    assert second[0] == 0, second[2]
    assert told == [1, 2, 3]


def test_with_worker_processes_and_a_published_space_within_limits(nas):
    code, out, err = nas(
        "search", "--data", "digits", "--limit", "params<=1e4", "--weights", "supernet", "--supernet-epochs", "1",
        "--supernet-sampling", "uniform", "--supernet-at-once", "2", "--epochs", "1", "--subset", "0.1", "--batch-size", "64", "--trials", "4",
        "--retrain", "1", "--spread", "2", "--runner", "local", "--workers", "1", "--json", "--study", "m",
    )  # fmt: skip
    told = json.loads(out)

    assert code == 0, err
    assert told["complete"] == 4
    assert told["best"]["metrics"]["params"] <= 1e4
    assert told["supernet"]["plan"]["sampling"] == "uniform"
    assert told["supernet"]["plan"]["at_once"] == 2
    assert told["supernet"]["limits"] == ["params<=10000"]
    assert told["supernet"]["trust"]["count"] == 3
