"""Training that begins with another network's weights: only at its very first epoch, and always said."""

import pytest
import torch
from networks import network, stage

from nas import checkpoint
from nas.architecture import Embedding
from nas.inheriting import NETWORK
from nas.jobs import Budget
from nas.mixers import Attention, DepthwiseConv, TokenMlp
from nas.recipe import Recipe
from nas.training import TrainAndValidate, Trainer

HALVES = Embedding(kernel=3, stride=2, padding=1)
SHORT = Recipe(epochs=3, subset=0.2)
FIRST = stage(DepthwiseConv(), width=16, embedding=HALVES, norm="batch")
PARENT = network(FIRST, stage(Attention(head_width=8), width=32, embedding=HALVES), resolution=8)
CHILD = network(FIRST, stage(Attention(head_width=8), width=48, embedding=HALVES), resolution=8)
TOKENS = network(stage(TokenMlp(), width=16, embedding=HALVES), resolution=8)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def parent(digits, tmp_path):
    """The directory of a trained network, and its metrics."""
    folder = tmp_path / "parent"
    return folder, train(PARENT, digits, Budget(0, 2, 0, "cpu", str(folder)))[0]


def train(architecture, data, budget, recipe=SHORT):
    """(metrics, curve), without what the clock says."""
    curve = {}
    metrics = TrainAndValidate(data, recipe)(
        architecture, budget, lambda step, told: curve.update({step: {**told, "epoch_seconds": 0}})
    )
    return {**metrics, "epoch_seconds": 0}, curve


def begins(folder, stop, parent, **more):
    return Budget(0, stop, 1, "cpu", str(folder), parent=str(parent), **more)


def test_a_child_that_is_the_same_network_stands_before_its_first_step_where_its_parent_ended(digits, parent, tmp_path):
    folder, metrics = parent
    trainer = Trainer(PARENT, digits, SHORT, begins(tmp_path / "child", 1, folder))

    trainer._resume()

    assert trainer.measured("validation") == {name: metrics[name] for name in ("accuracy", "loss")}
    assert trainer.told["inherited"] == 1.0
    for name, tensor in checkpoint.averaged(folder).items():
        assert torch.equal(trainer.model.state_dict()[name], tensor)


def test_a_child_is_better_after_an_epoch_than_from_scratch_and_every_epoch_says_what_it_inherited(
    digits, parent, tmp_path
):
    alone, _ = train(CHILD, digits, Budget(0, 1, 1, "cpu", str(tmp_path / "alone")))

    begun, curve = train(CHILD, digits, begins(tmp_path / "begun", 2, parent[0]))

    assert "inherited" not in alone
    assert curve[1]["accuracy"] > alone["accuracy"]
    assert 0.5 < begun["inherited"] < 1
    assert {told["inherited"] for told in curve.values()} == {begun["inherited"]}


def test_a_child_repeats_exactly_and_its_own_checkpoint_goes_before_its_parents(digits, parent, tmp_path):
    folder, _ = parent
    unbroken, curve = train(CHILD, digits, begins(tmp_path / "a", 3, folder))

    train(CHILD, digits, begins(tmp_path / "b", 1, folder))
    for path in folder.iterdir():
        path.unlink()
    again, rest = train(CHILD, digits, begins(tmp_path / "b", 3, folder, attempt=2))

    assert again == unbroken
    assert rest == {step: told for step, told in curve.items() if step in rest}


@pytest.mark.parametrize("torn", [False, True])
def test_without_its_parents_checkpoint_a_child_is_the_one_from_scratch_and_says_so(digits, parent, tmp_path, torn):
    folder, _ = parent
    path = checkpoint.latest(folder)
    if torn:
        path.write_bytes(path.read_bytes()[:5000])
    else:
        path.unlink()
    alone, _ = train(CHILD, digits, Budget(0, 1, 1, "cpu", str(tmp_path / "alone")))

    begun, _ = train(CHILD, digits, begins(tmp_path / "begun", 1, folder))

    assert begun == {**alone, "inherited": 0.0}


def test_an_epoch_that_runs_out_of_memory_begins_again_with_the_parents_weights(digits, parent, tmp_path, monkeypatch):
    failed = []

    def short_once(self):
        if not failed:
            failed.append(True)
            self.model.stages[0][0].conv.weight.data.zero_()
            raise torch.OutOfMemoryError("CUDA out of memory")
        return {"accuracy": self.measured("validation")["accuracy"]}

    monkeypatch.setattr(Trainer, "_train_and_measure", short_once)

    metrics, _ = train(PARENT, digits, begins(tmp_path / "child", 1, parent[0]))

    assert metrics["accuracy"] == parent[1]["accuracy"]
    assert (metrics["batch_split"], metrics["inherited"]) == (2.0, 1.0)


def test_weights_of_larger_images_that_begin_anew_have_inherited_nothing(digits, tmp_path):
    train(TOKENS, digits, Budget(0, 1, 0, "cpu", str(tmp_path / "parent"), 1.0, 0.5))
    _, small = train(TOKENS, digits, begins(tmp_path / "child", 1, tmp_path / "parent", scale=0.5))

    metrics, _ = train(TOKENS, digits, begins(tmp_path / "child", 2, tmp_path / "parent"))

    assert small[1]["inherited"] == 1.0
    assert (metrics["anew"], metrics["inherited"]) == (1.0, 0.0)


def test_a_checkpoint_names_its_network_at_the_size_that_it_was_trained_at(digits, tmp_path):
    train(TOKENS, digits, Budget(0, 1, 0, "cpu", str(tmp_path), 1.0, 0.5))

    assert checkpoint.load(tmp_path)[NETWORK] == TOKENS.at(4).to_json()
