"""Training to a budget: exact resume, named failures, and what the checkpoint holds."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from nas import checkpoint
from nas.architecture import Architecture, Block, Embedding, Stage
from nas.errors import Diverged, InputError, OutOfMemory
from nas.jobs import Budget
from nas.mixers import Attention, DepthwiseConv
from nas.recipe import Recipe
from nas.training import Images, TrainAndValidate, Trainer, measure, seconds_per_epoch

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def network():
    stages = (
        Stage(
            embedding=Embedding(kernel=3, stride=2, padding=1),
            width=16,
            blocks=(Block(mixer=DepthwiseConv(), norm="batch"),),
        ),
        Stage(
            embedding=Embedding(kernel=3, stride=2, padding=1),
            width=32,
            blocks=(Block(mixer=Attention(head_width=16)),),
        ),
    )
    return Architecture(resolution=8, stages=stages)


def budget(folder, stop, start=0, seed=0):
    return Budget(start, stop, seed, "cpu", str(folder))


def silent(step, metrics):
    pass


def test_a_run_broken_at_every_epoch_gives_the_same_numbers_as_an_unbroken_one(network, digits, tmp_path):
    evaluate = TrainAndValidate(digits, Recipe(epochs=4, drop_path=0.1))
    unbroken, curve = {}, {}
    evaluate(network, budget(tmp_path / "a", 4), lambda step, metrics: unbroken.update({step: metrics}))

    for stop in range(1, 5):
        evaluate(network, budget(tmp_path / "b", stop, stop - 1), lambda step, metrics: curve.update({step: metrics}))

    assert list(curve) == [1, 2, 3, 4]
    for step, metrics in curve.items():
        assert {**metrics, "epoch_seconds": 0} == {**unbroken[step], "epoch_seconds": 0}
    first, second = checkpoint.load(tmp_path / "a"), checkpoint.load(tmp_path / "b")
    for part in ("model", "average"):
        assert all(torch.equal(first[part][name], second[part][name]) for name in first[part])


def test_a_budget_that_is_already_spent_is_answered_from_the_checkpoint(network, digits, tmp_path):
    evaluate = TrainAndValidate(digits, Recipe(epochs=2))
    first = evaluate(network, budget(tmp_path, 2), silent)
    reports = []

    again = evaluate(network, budget(tmp_path, 2), lambda step, metrics: reports.append(step))

    assert again == first
    assert reports == []


def test_seeds_make_different_trainings_and_the_same_seed_the_same(network, digits, tmp_path):
    evaluate = TrainAndValidate(digits, Recipe(epochs=1))
    losses = [
        evaluate(network, budget(tmp_path / name, 1, seed=seed), silent)["train_loss"]
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]

    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


def test_training_learns_the_digits(network, digits, tmp_path):
    metrics = TrainAndValidate(digits, Recipe(epochs=8))(network, budget(tmp_path, 8), silent)

    assert metrics["accuracy"] > 0.9
    assert metrics["loss"] < 0.7


def test_the_averaged_weights_are_what_is_measured(network, digits, tmp_path):
    trainer = Trainer(network, digits, Recipe(epochs=1), budget(tmp_path, 1))
    metrics = trainer.run(silent)

    assert measure(trainer.average.module, digits, "validation", CPU)["accuracy"] == metrics["accuracy"]
    assert measure(trainer.model, digits, "validation", CPU)["loss"] != metrics["loss"]


def test_a_loss_that_is_not_finite_is_named_with_its_epoch(network, digits, tmp_path):
    recipe = Recipe(epochs=2)
    trainer = Trainer(network, digits, recipe, budget(tmp_path, 2))
    with torch.no_grad():
        trainer.model.classifier.weight.fill_(math.inf)

    with pytest.raises(Diverged, match=r"diverged in epoch 1: the training loss is nan"):
        trainer.run(silent)


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")]
)
def test_running_out_of_memory_is_named(network, digits, tmp_path, monkeypatch, error):
    def run(self, report):
        raise error

    monkeypatch.setattr(Trainer, "run", run)

    with pytest.raises(OutOfMemory, match="out of memory: "):
        TrainAndValidate(digits, Recipe(epochs=1))(network, budget(tmp_path, 1), silent)


def test_a_missing_checkpoint_is_refused_and_a_torn_one_named(network, digits, tmp_path):
    evaluate = TrainAndValidate(digits, Recipe(epochs=2))

    with pytest.raises(InputError, match="there is no checkpoint of epoch 1"):
        evaluate(network, budget(tmp_path / "none", 2, 1), silent)
    evaluate(network, budget(tmp_path / "torn", 1), silent)
    whole = (tmp_path / "torn" / "state.pt").read_bytes()
    (tmp_path / "torn" / "state.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"torn/state\.pt is no readable checkpoint"):
        evaluate(network, budget(tmp_path / "torn", 2, 1), silent)


class Payload:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return open, (str(self.marker), "w")


def test_a_malicious_checkpoint_is_refused_and_does_not_run(tmp_path):
    torch.save({"epoch": Payload(tmp_path / "was-run")}, tmp_path / "state.pt")

    with pytest.raises(InputError, match="is no readable checkpoint"):
        checkpoint.load(tmp_path)
    assert not (tmp_path / "was-run").exists()


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    checkpoint.save(tmp_path, {"epoch": 1})

    def fail(state, file):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        checkpoint.save(tmp_path, {"epoch": 2})
    monkeypatch.undo()

    assert checkpoint.load(tmp_path) == {"epoch": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["state.pt"]


def test_a_subset_uses_that_share_of_the_training_images_and_all_of_the_validation_ones(digits):
    images = Images(digits, "train", CPU, subset=0.2)

    assert len(images) == round(0.2 * digits.counts["train"])
    assert len(set(images.rows.tolist())) == len(images)
    assert len(Images(digits, "validation", CPU)) == digits.counts["validation"]


def test_every_image_is_seen_at_most_once_an_epoch_in_whole_batches(digits):
    torch.manual_seed(0)
    images = Images(digits, "train", CPU)

    batches = [labels for _, labels in images.shuffled(64)]

    assert {len(labels) for labels in batches} == {64}
    assert len(batches) == digits.counts["train"] // 64
    seen = np.bincount(torch.cat(batches).numpy(), minlength=10)
    assert (seen <= np.bincount(digits.labels("train"), minlength=10)).all()


def test_the_test_split_is_not_opened_by_training(network, digits, tmp_path):
    folder = tmp_path / "cache"
    folder.mkdir()
    for split in ("train", "validation"):
        for kind in ("images", "labels"):
            name = f"{split}.{kind}"
            (folder / name).write_bytes((type(tmp_path)(digits.folder) / name).read_bytes())
    without_test = dataclasses.replace(digits, folder=str(folder))

    metrics = TrainAndValidate(without_test, Recipe(epochs=1))(network, budget(tmp_path / "c", 1), silent)

    assert 0 < metrics["accuracy"] <= 1
    with pytest.raises(FileNotFoundError):
        without_test.images("test")


def test_the_estimate_of_an_epoch_is_a_positive_time_and_writes_nothing(network, digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert seconds_per_epoch(network, digits, Recipe(epochs=2), "cpu") > 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")
def test_training_on_a_gpu_in_bf16_learns_the_digits(network, digits, tmp_path):
    spent = Budget(0, 8, 0, "cuda", str(tmp_path))

    assert TrainAndValidate(digits, Recipe(epochs=8))(network, spent, silent)["accuracy"] > 0.9


def test_what_a_lost_attempt_still_writes_does_not_count(network, digits, tmp_path):
    """Its node was frozen in an epoch and comes back when the next attempt is done, or has been lost itself."""
    recipe, second = Recipe(epochs=3), dataclasses.replace(budget(tmp_path, 3), attempt=2)
    frozen = Trainer(network, digits, recipe, budget(tmp_path, 3))
    frozen.epoch = 1
    frozen._save()
    metrics = TrainAndValidate(digits, recipe)(network, second, silent)

    frozen.epoch, frozen.metrics = 2, {"accuracy": 0.0}
    frozen._save()

    assert checkpoint.load(tmp_path)["epoch"] == 3
    third = dataclasses.replace(second, attempt=3)
    assert TrainAndValidate(digits, recipe)(network, third, silent) == metrics


def test_the_files_of_earlier_attempts_go_when_a_later_one_has_written(tmp_path):
    for attempt in (1, 2, 10):
        checkpoint.save(tmp_path, {"epoch": attempt}, attempt)

    assert [path.name for path in tmp_path.iterdir()] == ["state.10.pt"]
    (tmp_path / "state.10.pt").rename(tmp_path / "state.10.pt.broken")
    assert checkpoint.load(tmp_path) is None
