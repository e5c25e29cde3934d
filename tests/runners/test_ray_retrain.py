"""Full trainings that Ray Train shares among two workers on CPUs."""

import json
import threading
from pathlib import Path

import pytest
import ray
from conftest import command
from evaluations import diverges_on_all
from networks import network, stage

from nas.errors import NasError
from nas.jobs import Budget
from nas.mixers import SeparableConv
from nas.store.reading import read_study
from runners.ray_luggage import pack
from runners.ray_retrain import Shared

SMALL = network(stage(SeparableConv(kernel=3), SeparableConv(kernel=3), width=16, mlp_ratio=2), resolution=8)
TRAIN = ["retrain", "--network", "small.json", "--data", "digits", "--batch-size", "128", "--drop-path", "0", "--json"]


@pytest.fixture(scope="module", autouse=True)
def ray_here():
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield
    ray.shutdown()


@pytest.fixture
def nas(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.json").write_text(SMALL.to_json())
    return command(capsys, monkeypatch)


@pytest.mark.slow
def test_two_workers_come_to_what_one_process_does(nas, tmp_path):
    code, shared, err = nas(*TRAIN, "--epochs", "2", "--workers", "2", "--study", "shared")
    _, alone, _ = nas(*TRAIN, "--epochs", "2", "--runner", "inline", "--study", "alone")

    assert code == 0, err
    ours, theirs = (json.loads(told)["networks"][0]["trainings"][0]["metrics"] for told in (shared, alone))
    assert ours["workers"] == 2
    assert ours["train_loss"] == pytest.approx(theirs["train_loss"], abs=1e-3)
    assert ours["test_loss"] == pytest.approx(theirs["test_loss"], abs=1e-3)
    (trial,) = read_study(f"sqlite:///{tmp_path}/nas.db", "shared").trials
    assert [*trial.curve] == [1, 2]
    assert [path.name for path in Path(trial.budget.checkpoint).iterdir()] == ["state.pt"]


def test_more_workers_than_there_is_room_for_are_refused(nas):
    code, _, err = nas(*TRAIN, "--epochs", "1", "--workers", "3")

    assert code == 2
    assert "--workers 3: this Ray cluster has room for 2 with 1 CPU each" in err


def test_more_workers_than_a_batch_has_images_are_refused(nas):
    code, _, err = nas(*TRAIN[:-3], "--drop-path", "0", "--epochs", "1", "--batch-size", "1", "--workers", "2")

    assert code == 2
    assert "--workers 2: batches have 1 images, and each worker needs one at least" in err


@pytest.mark.slow
def test_what_is_wrong_with_all_workers_alike_is_the_reason_and_is_not_tried_again(tmp_path):
    shared = Shared(pack(diverges_on_all), 2, {"CPU": 1}, threading.Event())

    with pytest.raises(NasError, match="loss is nan in epoch 1"):
        shared({}, Budget(0, 1, 0, "cpu", str(tmp_path)), lambda step, metrics: None)

    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"worker-0": "once\n", "worker-1": "once\n"}
