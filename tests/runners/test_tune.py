"""Rungs on Ray Tune: who is paused, woken and stopped there, and what people see in Tune."""

import importlib.util
import os
from pathlib import Path

import evaluations
import pytest
from conftest import require

from nas import search
from nas.trial import State


@pytest.fixture(scope="module", autouse=True)
def ray_here():
    require(importlib.util.find_spec("ray"), "Ray")
    import ray

    paths = [str(Path(evaluations.__file__).parent), os.environ.get("PYTHONPATH")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield
    ray.shutdown()


def run(layers, tmp_path, evaluate=evaluations.share_of_conv3, **options):
    arguments = {
        "objectives": {"accuracy": "maximize"},
        "trials": 9,
        "sampler": "random",
        "workers": 2,
        "epochs": (1, 9),
        "study": "s",
        "storage": f"sqlite:///{tmp_path}/nas.db",
        "checkpoints": tmp_path / "checkpoints",
    }
    return search(layers, evaluate, runner="ray", **{**arguments, **options})


def test_trials_climb_the_rungs_and_no_epoch_is_trained_twice(layers, tmp_path):
    result = run(layers, tmp_path, evaluations.logs_epochs)

    states = [trial.state for trial in result.trials]
    assert {*states} == {State.COMPLETE, State.PRUNED}
    assert 1 <= states.count(State.COMPLETE) <= 3
    logs = tmp_path / "checkpoints" / "s"
    for trial in result.trials:
        assert trial.attempt == 1
        assert [*trial.curve] == list(range(1, trial.epochs + 1))
        assert trial.epochs in (1, 3, 9)
        if (logs / str(trial.number)).exists():
            assert (logs / str(trial.number) / "epochs").read_text().split() == [*map(str, trial.curve)]
