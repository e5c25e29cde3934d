"""Full trainings: resumed as if unbroken, from the weights of a search, measured on the test images at their end."""

import pytest
import torch
from networks import network, stage
from trials import trial as made

from nas import checkpoint
from nas.errors import InputError
from nas.intervals import interval, wilson
from nas.jobs import Budget
from nas.mixers import Pooling, SeparableConv
from nas.model import build
from nas.objectives import Objective
from nas.recipe import Recipe
from nas.recipes import recipe_for
from nas.replicates import FIRST_SEED, Confirmed
from nas.retraining import FullTraining, ranks
from nas.training import TrainAndValidate, measure
from nas.trial import State

SMALL = network(stage(Pooling(size=3), SeparableConv(kernel=3), width=16, mlp_ratio=2), resolution=8)


def budget(folder, stop):
    folder.mkdir(exist_ok=True)
    return Budget(0, stop, 0, "cpu", str(folder))


def silent(step, metrics):
    pass


@pytest.mark.parametrize("name", ["small", "deit"])
def test_a_training_that_was_killed_goes_on_as_if_it_never_was(digits, tmp_path, name):
    recipe = recipe_for(name, 200, 4, subset=0.2)
    train, candidate = FullTraining(digits, recipe), {"network": SMALL, "replicate": 1}

    def killed(step, metrics):
        if step == 2:
            raise KeyboardInterrupt

    unbroken = train(candidate, budget(tmp_path / "a", 4), silent)
    with pytest.raises(KeyboardInterrupt):
        train(candidate, budget(tmp_path / "b", 4), killed)
    resumed = train(candidate, budget(tmp_path / "b", 4), silent)

    del unbroken["epoch_seconds"], resumed["epoch_seconds"]
    assert resumed == unbroken
    assert resumed["seed"] == FIRST_SEED + 1


def test_the_test_images_are_measured_with_the_weights_that_are_judged(digits, tmp_path):
    train = FullTraining(digits, Recipe(epochs=1, subset=0.2))

    metrics = train({"network": SMALL, "replicate": 0}, budget(tmp_path, 1), silent)

    model = build(SMALL, in_channels=1, num_classes=10)
    model.load_state_dict(checkpoint.averaged(tmp_path))
    again = measure(model, digits, "test", torch.device("cpu"))
    assert (metrics["test_accuracy"], metrics["test_loss"]) == (again["accuracy"], again["loss"])


def test_it_begins_with_the_weights_of_the_search_and_then_with_its_own(digits, tmp_path):
    found = TrainAndValidate(digits, Recipe(epochs=3))(SMALL, budget(tmp_path / "search", 3), silent)
    slow = Recipe(epochs=2, lr=1e-6, warmup=0.0, subset=0.2)
    train = FullTraining(digits, slow, {SMALL.digest: str(tmp_path / "search")})
    told = []

    train({"network": SMALL, "replicate": 0}, budget(tmp_path / "a", 1), lambda *report: told.append(report))
    checkpoint.latest(tmp_path / "search").unlink()
    train({"network": SMALL, "replicate": 0}, budget(tmp_path / "a", 2), silent)

    scratch = FullTraining(digits, slow)({"network": SMALL, "replicate": 0}, budget(tmp_path / "b", 1), silent)
    assert told[0][1]["loss"] == pytest.approx(found["loss"], rel=0.01)
    assert scratch["loss"] > 1.2 * found["loss"]


def test_weights_that_are_gone_or_of_another_network_are_refused(digits, tmp_path):
    other = network(stage(Pooling(size=3), width=8), resolution=8)
    TrainAndValidate(digits, Recipe(epochs=1, subset=0.1))(other, budget(tmp_path / "other", 1), silent)
    candidate, recipe = {"network": SMALL, "replicate": 0}, Recipe(epochs=1, subset=0.1)

    with pytest.raises(InputError, match=r"^no weights to begin with in .*nowhere: the checkpoint is gone$"):
        FullTraining(digits, recipe, {SMALL.digest: str(tmp_path / "nowhere")})(
            candidate, budget(tmp_path / "a", 1), silent
        )
    with pytest.raises(InputError, match="the weights to begin with are of another network"):
        FullTraining(digits, recipe, {SMALL.digest: str(tmp_path / "other")})(
            candidate, budget(tmp_path / "b", 1), silent
        )


def rows(before, after):
    found = []
    for number, (value, mean) in enumerate(zip(before, after, strict=True)):
        trial = made(number, State.COMPLETE, accuracy=value)
        found.append(Confirmed(trial, 0, {}, {"accuracy": interval([mean])} if mean is not None else {}))
    return found


@pytest.mark.parametrize(
    ("before", "after", "spearman", "kendall"),
    [
        ([0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7, 0.8], 1.0, 1.0),
        ([0.1, 0.2, 0.3, 0.4], [0.8, 0.7, 0.6, 0.5], -1.0, -1.0),
        ([0.1, 0.2, 0.3, 0.4], [0.5, 0.7, 0.6, 0.8], 0.8, 2 / 3),
        ([0.1, 0.2, 0.3, 0.4], [0.5, None, 0.6, 0.8], 1.0, 1.0),
    ],
)
def test_rank_correlations_are_of_the_networks_that_have_both(before, after, spearman, kendall):
    found = ranks(rows(before, after), Objective("accuracy", maximize=True))

    assert found.count == sum(value is not None for value in after)
    assert (found.spearman, found.kendall) == (pytest.approx(spearman), pytest.approx(kendall))


def test_two_networks_or_one_value_have_no_rank_correlation():
    judge = Objective("accuracy", maximize=True)

    assert ranks(rows([0.1, 0.2], [0.1, 0.2]), judge) is None
    assert ranks(rows([0.1, 0.1, 0.1], [0.1, 0.2, 0.3]), judge).spearman is None


@pytest.mark.parametrize(
    ("right", "total", "low", "high"), [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (95, 100, 0.8882, 0.9785)]
)
def test_wilsons_interval_is_that_of_the_tables(right, total, low, high):
    assert wilson(right, total) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))
