"""Training to a budget: exact resume, named failures, and what the checkpoint holds."""

import dataclasses
import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from nas import checkpoint
from nas.architecture import Architecture, Block, Embedding, Stage
from nas.errors import Diverged, InputError, OutOfMemory
from nas.jobs import Budget
from nas.memory import MEASURED_AT_ONCE_BY_CPU
from nas.mixers import Attention, DepthwiseConv
from nas.recipe import Recipe
from nas.training import Images, TrainAndValidate, Trainer, measure

CPU = torch.device("cpu")


pytestmark = pytest.mark.usefixtures("one_thread")


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
    evaluate = TrainAndValidate(digits, Recipe(epochs=4, subset=0.3, drop_path=0.1))
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


def test_validation_on_a_cpu_goes_by_small_batches_and_comes_to_the_same_as_by_large_ones(network, digits, tmp_path):
    trainer, sizes = Trainer(network, digits, Recipe(epochs=1), budget(tmp_path, 1)), []
    trainer.average.module.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))

    found = trainer.measured("validation")

    images = len(digits.labels("validation"))
    assert max(sizes) == MEASURED_AT_ONCE_BY_CPU < images == sum(sizes)
    assert found == pytest.approx(measure(trainer.average.module, digits, "validation", CPU, images), rel=1e-5)


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


LARGEST = 8  # images that "fit" into the memory of the networks of `short_of_memory`


@pytest.fixture
def short_of_memory(monkeypatch):
    """Networks that take too much memory, and get torch's own error for it, in training with more than LARGEST images."""
    from nas.model import build

    seen = []

    def takes(model, inputs):
        seen.append(len(inputs[0]))
        if model.training and len(inputs[0]) > LARGEST:
            torch.empty(2**60)

    def build_hungry(*arguments, **options):
        model = build(*arguments, **options)
        model.register_forward_pre_hook(takes)
        return model

    monkeypatch.setattr("nas.training.build", build_hungry)
    return seen


def trained(network, digits, folder, recipe, stop=2, start=0):
    """Its metrics without the seconds, and its weights."""
    metrics = TrainAndValidate(digits, recipe)(network, budget(folder, stop, start), silent)
    return {**metrics, "epoch_seconds": 0}, checkpoint.load(folder)["average"]


def test_out_of_memory_goes_on_in_halves_to_nearly_the_same_weights_and_says_so(
    network, digits, tmp_path, short_of_memory, monkeypatch
):
    layered = dataclasses.replace(network, stages=tuple(_without_batch_norm(stage) for stage in network.stages))
    recipe = Recipe(epochs=2, batch_size=16, subset=0.2)

    halves, weights = trained(layered, digits, tmp_path / "halves", recipe)

    assert halves["batch_split"] == 2
    assert short_of_memory[:3] == [16, 8, 8]
    monkeypatch.undo()
    whole, expected = trained(layered, digits, tmp_path / "whole", recipe)
    assert "batch_split" not in whole
    assert halves["accuracy"] == pytest.approx(whole["accuracy"], abs=0.02)
    assert halves["train_loss"] == pytest.approx(whole["train_loss"], rel=1e-3)
    for name, weight in expected.items():
        assert torch.allclose(weights[name].float(), weight.float(), atol=1e-2), name


def _without_batch_norm(stage):
    return dataclasses.replace(stage, blocks=tuple(dataclasses.replace(block, norm="layer") for block in stage.blocks))


def test_out_of_memory_in_a_later_epoch_begins_that_epoch_again_and_resumes_in_halves(
    network, digits, tmp_path, short_of_memory, monkeypatch
):
    recipe = Recipe(epochs=3, batch_size=16, subset=0.2)
    with monkeypatch.context() as roomy:
        roomy.setattr(sys.modules[__name__], "LARGEST", 16)
        trained(network, digits, tmp_path, recipe, stop=1)
    first = len(short_of_memory)
    curve = {}

    TrainAndValidate(digits, recipe)(
        network, budget(tmp_path, 2, 1), lambda step, metrics: curve.update({step: metrics})
    )
    second = len(short_of_memory)
    TrainAndValidate(digits, recipe)(
        network, budget(tmp_path, 3, 2), lambda step, metrics: curve.update({step: metrics})
    )

    assert list(curve) == [2, 3]
    assert short_of_memory[first] == 16
    assert short_of_memory[second] == 8  # at once
    assert all(metrics["batch_split"] == 2 for metrics in curve.values())


def test_out_of_memory_in_halves_too_fails_and_says_what_was_tried(network, digits, tmp_path, short_of_memory):
    with pytest.raises(OutOfMemory, match=r"out of memory: .*allocate memory.*\(batches of 32 images in 2 part\(s\)\)"):
        trained(network, digits, tmp_path, Recipe(epochs=1, batch_size=32))

    assert short_of_memory == [32, 16]


SHORTAGE = """
import os, resource, sys
import torch
from nas.architecture import Architecture, Block, Embedding, Stage
from nas.data import load
from nas.jobs import Budget
from nas.mixers import DepthwiseConv
from nas.recipe import Recipe
from nas.training import TrainAndValidate

torch.set_num_threads(1)
block = Block(mixer=DepthwiseConv())
stage = Stage(embedding=Embedding(kernel=3, stride=1, padding=1), width=96, blocks=(block,) * 4)
network, data = Architecture(resolution=8, stages=(stage,)), load("digits")
train = TrainAndValidate(data, Recipe(epochs=1, batch_size=512, subset=0.4))
train(network, Budget(0, 1, 0, "cpu", sys.argv[1] + "/roomy"), lambda step, metrics: None)
def status(key):
    return next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith(key))
torch.ones(1)
spent = status("VmPeak") - status("VmSize")
resource.setrlimit(resource.RLIMIT_AS, (status("VmSize") + int(float(sys.argv[2]) * spent), -1))
try:
    metrics = train(network, Budget(0, 1, 0, "cpu", sys.argv[1] + "/short"), lambda step, metrics: None)
except Exception as error:
    print(type(error).__name__, error)
else:
    print("batch_split", metrics.get("batch_split"))
"""


@pytest.mark.soak_when("0.2-")
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("share", "told"), [(0.75, "batch_split 2.0"), (0.2, "OutOfMemory out of memory: ")])
def test_a_real_shortage_of_memory_is_met_with_halves_and_told_where_they_do_not_fit(tmp_path, share, told):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}

    done = subprocess.run(
        [sys.executable, "-c", SHORTAGE, str(tmp_path), str(share)],
        env=environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip

    assert done.stdout.startswith(told), done.stdout + done.stderr


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")
def test_out_of_memory_on_a_gpu_is_torchs_own_error_and_is_named():
    from nas.shortage import out_of_memory

    with pytest.raises(torch.OutOfMemoryError) as raised:
        torch.empty(10**12, device="cuda")

    assert out_of_memory(raised.value).startswith("out of memory: CUDA out of memory")


def test_a_missing_checkpoint_is_made_up_for_and_a_torn_one_named(network, digits, tmp_path):
    evaluate, told = TrainAndValidate(digits, Recipe(epochs=2)), []

    made_up_for = evaluate(network, budget(tmp_path / "none", 2, 1), lambda step, metrics: told.append(step))
    whole = evaluate(network, budget(tmp_path / "whole", 2), silent)
    assert {**made_up_for, "epoch_seconds": 0} == {**whole, "epoch_seconds": 0}
    assert told == [2]  # the first was told before it was lost
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
