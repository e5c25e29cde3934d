"""The estimate of how fast a network trains."""

import dataclasses

import pytest

import search_spaces
from nas.pace import Pace, pace
from nas.recipe import Recipe


@pytest.fixture(scope="module")
def network():
    space = search_spaces.get("metaformer", 8)
    return space.decode([0] * len(space))


def test_an_epoch_is_the_steps_of_training_and_a_look_at_the_validation_images():
    found = Pace(step=0.5, steps=8, forward=3)

    assert (found.training, found.measuring, found.epoch) == (4, 1.5, 5.5)


def test_an_estimate_counts_the_steps_of_the_images_that_are_used_and_writes_nothing(
    network, digits, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    recipe = Recipe(epochs=2, batch_size=16)

    whole = pace(network, digits, recipe, "cpu")
    half = pace(network, digits, dataclasses.replace(recipe, subset=0.5), "cpu")

    assert whole.step > 0
    assert half.steps == pytest.approx(whole.steps / 2, rel=0.01)
    assert half.forward == whole.forward == digits.counts["validation"] / 48
    assert list(tmp_path.iterdir()) == []
