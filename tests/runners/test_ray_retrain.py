"""Full trainings that Ray Train shares among two workers on CPUs."""

import json
from pathlib import Path

import pytest
import ray
from conftest import command
from networks import network, stage

from nas.mixers import SeparableConv
from nas.store.reading import read_study

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


@pytest.mark.slow
def test_what_is_wrong_with_all_workers_alike_is_the_reason_of_the_trial(nas, tmp_path):
    code, out, _ = nas(*TRAIN, "--epochs", "1", "--lr", "10", "--warmup", "0", "--batch-size", "1", "--workers", "2")

    assert code == 1
    assert json.loads(out)["failed"] == {"0": "batches of 1 images have no part for each of 2 workers"}
