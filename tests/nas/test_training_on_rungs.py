"""Training by rungs: pausing changes no bit, and what fewer and smaller images do below the full budget."""

import multiprocessing

import pytest
import torch
from networks import network, patch, stage

from nas import checkpoint
from nas.architecture import Architecture, Block, Embedding, Stage
from nas.augment import Preprocess
from nas.errors import Diverged
from nas.jobs import Budget
from nas.mixers import Attention, DepthwiseConv, MultiAxisMlp, Pooling, TokenMlp
from nas.recipe import Recipe
from nas.training import Images, TrainAndValidate, Trainer, measure, side_for

CPU = torch.device("cpu")
SHORT = Recipe(epochs=9, held=3, subset=0.3, drop_path=0.1, augment="shift")
CONVOLUTIONS = Architecture(
    resolution=8,
    stages=(
        Stage(
            embedding=Embedding(kernel=3, stride=2, padding=1),
            width=16,
            blocks=(Block(mixer=DepthwiseConv(), norm="batch"), Block(mixer=Pooling())),
        ),
    ),
)
TRANSFORMER = network(stage(Attention(head_width=8), width=16, embedding=patch(2), position="learned"), resolution=8)


pytestmark = pytest.mark.usefixtures("one_thread")


def train(job):
    """A worker's part: one budget, and the curve that it told."""
    architecture, data, recipe, budget = job
    torch.set_num_threads(1)
    curve = {}
    metrics = TrainAndValidate(data, recipe)(
        architecture, budget, lambda step, told: curve.update({step: {**told, "epoch_seconds": 0}})
    )
    return curve, {**metrics, "epoch_seconds": 0}


def climb(architecture, data, folder, *budgets, recipe=SHORT):
    """(start, stop, share, scale) one after the other in this process; what each told and returned."""
    return [
        train((architecture, data, recipe, Budget(start, stop, 0, "cpu", str(folder), share, scale)))
        for start, stop, share, scale in budgets
    ]


def same(first, second):
    """Bit by bit, whatever is nested in it."""
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list):
        return len(first) == len(second) and all(map(same, first, second))
    return first == second


@pytest.mark.slow
def test_a_training_paused_at_two_rungs_and_taken_up_by_other_processes_is_the_unbroken_one_to_the_bit(
    digits, tmp_path
):
    architecture = Architecture(resolution=8, stages=(*CONVOLUTIONS.stages, *TRANSFORMER.stages))
    jobs = [
        (architecture, digits, SHORT, Budget(start, stop, 5, "cpu", str(tmp_path / where)))
        for where, start, stop in (("whole", 0, 9), ("rungs", 0, 1), ("rungs", 1, 3), ("rungs", 3, 9))
    ]

    (whole, end), first = map(train, jobs[:2])
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:  # a fresh process for each
        parts = [first, *pool.map(train, jobs[2:], chunksize=1)]

    assert {step: told for curve, _ in parts for step, told in curve.items()} == whole
    assert [list(curve) for curve, _ in parts] == [[1], [2, 3], [4, 5, 6, 7, 8, 9]]
    assert parts[-1][1] == end
    unbroken, broken = (checkpoint.load(tmp_path / where) for where in ("whole", "rungs"))
    for part in ("model", "average", "optimizer"):
        assert same(unbroken[part], broken[part])


def test_a_larger_share_of_the_images_holds_the_smaller_one(digits):
    rows = [set(Images(digits, "train", CPU, share).rows.tolist()) for share in (0.05, 0.25, 0.5, 1.0)]

    assert rows[0] < rows[1] < rows[2] < rows[3]
    assert len(rows[1]) == round(0.25 * digits.counts["train"])


def test_fewer_images_make_fewer_steps_of_the_same_size_and_are_told_of(digits, tmp_path):
    few = Trainer(CONVOLUTIONS, digits, SHORT, Budget(0, 1, 0, "cpu", str(tmp_path / "few"), share=0.5))
    all_of_them = Trainer(CONVOLUTIONS, digits, SHORT, Budget(0, 1, 0, "cpu", str(tmp_path / "all")))

    assert few.batch == all_of_them.batch
    assert len(few.images) == round(digits.counts["train"] * 0.3 * 0.5)
    assert few.run(lambda *_: None)["images"] == len(few.images)
    assert "images" not in all_of_them.run(lambda *_: None)


def test_a_share_below_one_batch_is_one_smaller_batch(digits, tmp_path):
    trainer = Trainer(CONVOLUTIONS, digits, SHORT, Budget(0, 1, 0, "cpu", str(tmp_path), share=0.01))

    assert 2 <= trainer.batch == len(trainer.images) < 16
    assert "accuracy" in trainer.run(lambda *_: None)


def test_weights_without_places_go_on_at_a_larger_size_and_a_larger_share(digits, tmp_path):
    (low, first), (high, last) = climb(CONVOLUTIONS, digits, tmp_path, (0, 1, 0.5, 0.5), (1, 3, 1.0, 1.0))

    assert (list(low), list(high)) == ([1], [2, 3])
    assert (first["side"], first["images"]) == (4, round(digits.counts["train"] * 0.15))
    assert not {"side", "images", "anew"} & last.keys()


def test_a_table_of_positions_begins_anew_with_all_its_epochs_and_says_so(digits, tmp_path):
    (low, _), (high, last) = climb(TRANSFORMER, digits, tmp_path / "rungs", (0, 1, 1.0, 0.5), (1, 3, 1.0, 1.0))
    ((_, alone),) = climb(TRANSFORMER, digits, tmp_path / "alone", (0, 3, 1.0, 1.0))

    assert (list(low), list(high)) == ([1], [2, 3])  # of the first rung nothing is told again
    assert last == {**alone, "anew": 1.0}
    assert same(checkpoint.load(tmp_path / "rungs")["average"], checkpoint.load(tmp_path / "alone")["average"])


def test_a_training_begun_anew_and_lost_goes_on_and_is_not_begun_once_more(digits, tmp_path, monkeypatch):
    climb(TRANSFORMER, digits, tmp_path / "lost", (0, 1, 1.0, 0.5))
    whole = Trainer._train_epoch

    def dies(trainer):
        if trainer.epoch == 2:
            raise Diverged("the power went")
        return whole(trainer)

    monkeypatch.setattr(Trainer, "_train_epoch", dies)
    with pytest.raises(Diverged):
        climb(TRANSFORMER, digits, tmp_path / "lost", (1, 3, 1.0, 1.0))
    assert checkpoint.load(tmp_path / "lost")["epoch"] == 2
    monkeypatch.undo()

    ((told, last),) = climb(TRANSFORMER, digits, tmp_path / "lost", (1, 3, 1.0, 1.0))

    assert (list(told), last["anew"]) == ([3], 1.0)
    unhurt = climb(TRANSFORMER, digits, tmp_path / "unhurt", (0, 1, 1.0, 0.5), (1, 3, 1.0, 1.0))
    assert last == unhurt[-1][1]


def test_each_rung_of_another_shape_begins_anew_and_the_count_stays_where_weights_go_on(digits, tmp_path):
    budgets = (0, 1, 0.5, 0.25), (1, 2, 0.5, 0.5), (2, 3, 1.0, 0.5), (3, 4, 1.0, 1.0)

    ends = [metrics.get("anew", 0.0) for _, metrics in climb(TRANSFORMER, digits, tmp_path, *budgets)]

    assert ends == [0, 1, 1, 2]


@pytest.mark.parametrize("mixer", [TokenMlp(), Attention(head_width=8), DepthwiseConv()], ids=lambda each: each.kind)
def test_a_network_is_built_judged_and_saved_at_the_size_of_its_rung(digits, tmp_path, mixer):
    architecture = network(stage(mixer, width=16, embedding=patch(2)), resolution=8)
    trainer = Trainer(architecture, digits, SHORT, Budget(0, 1, 0, "cpu", str(tmp_path), scale=0.5))

    metrics = trainer.run(lambda *_: None)

    assert trainer.model.architecture.resolution == 4
    again = measure(trainer.average.module, digits, "validation", CPU, side=4)
    assert (again["accuracy"], again["loss"]) == (metrics["accuracy"], metrics["loss"])


def test_a_size_that_a_network_cannot_have_is_the_next_larger_one_that_it_can():
    grid = network(stage(MultiAxisMlp(block=4, grid=4), embedding=patch(4)), resolution=32)

    assert side_for(network(resolution=32), 32, 0.5) == 16
    assert side_for(grid, 32, 0.3) == 16  # 10 pixels are 2 x 2 patches, and a block has 4 x 4
    assert side_for(network(stage(embedding=patch(30)), resolution=32), 32, 0.25) == 30
    assert side_for(grid, 32, 1.0) == 32


def test_smaller_images_are_means_of_the_larger_ones(digits):
    images = torch.from_numpy(digits.images("validation")[:3].copy())
    full, half = (Preprocess(digits, "none", side).eval()(images) for side in (8, 4))

    assert half.shape == (3, 1, 4, 4)
    assert torch.allclose(full.mean((1, 2, 3)), half.mean((1, 2, 3)), atol=0.05)
    flat = torch.full((1, 8, 8, 1), 9, dtype=torch.uint8)
    assert torch.allclose(*(Preprocess(digits, "none", side).eval()(flat).mean() for side in (8, 3)))


def test_smaller_images_are_augmented_at_their_own_size(digits):
    preprocess = Preprocess(digits, "shift", 4).train()

    assert preprocess(torch.from_numpy(digits.images("train")[:2].copy())).shape == (2, 1, 4, 4)
