"""What a candidate is expected to add, against brute force and simulation."""

import itertools

import numpy as np
import pytest

from nas.hypervolume import hypervolume
from nas.samplers.gain import expected_hypervolume_gain, expected_improvement


@pytest.mark.parametrize(("best", "mean", "std"), [(0.0, 0.3, 1.0), (1.0, -2.0, 0.5), (2.0, 2.0, 3.0)])
def test_expected_improvement_is_that_of_many_draws(best, mean, std):
    drawn = np.random.default_rng(0).normal(mean, std, 400_000)

    found = expected_improvement(best, np.array([mean]), np.array([std]))

    assert found == pytest.approx([np.maximum(0, best - drawn).mean()], rel=0.02)


def test_expected_improvement_rises_with_doubt_and_falls_with_the_loss():
    means, stds = np.array([0.0, 0.5, 0.5, 9.0]), np.array([0.1, 0.1, 0.4, 1e-5])

    certain, worse, doubtful, hopeless = expected_improvement(0.2, means, stds)

    assert certain > doubtful > worse > 0
    assert hopeless == 0


@pytest.mark.parametrize("inside", [0, 1, 2, 7, 30])
@pytest.mark.parametrize("seed", range(3))
def test_of_two_objectives_the_gain_is_the_area_added_whatever_is_dominated_equal_or_beyond(inside, seed):
    rng = np.random.default_rng(seed)
    losses = np.round(rng.random((inside, 2)) * 1.4, 1)
    draws = np.round(rng.random((4, 12, 2)) * 1.6 - 0.1, 1)
    reference = np.array([1.0, 1.1])

    found = expected_hypervolume_gain(losses, reference, draws)

    before = hypervolume(losses.tolist(), reference)
    for candidate in range(12):
        each = [hypervolume([*losses.tolist(), draw.tolist()], reference) - before for draw in draws[:, candidate]]
        assert found[candidate] == pytest.approx(np.mean(each), abs=1e-12)


@pytest.mark.parametrize("count", [3, 4])
def test_of_more_objectives_gains_are_in_proportion_to_the_volumes_added(count):
    rng = np.random.default_rng(0)
    losses, draws = rng.random((15, count)), rng.random((1, 60, count)) * 0.7
    reference = np.ones(count)

    found = expected_hypervolume_gain(losses, reference, draws)

    before = hypervolume(losses.tolist(), reference)
    true = np.array([hypervolume([*losses.tolist(), draw.tolist()], reference) - before for draw in draws[0]])
    assert np.corrcoef(found, true)[0, 1] > 0.97
    pairs = [(a, b) for a, b in itertools.combinations(range(60), 2) if true[a] > 1.5 * true[b] + 0.02]
    assert len(pairs) > 100
    assert np.mean([found[a] > found[b] for a, b in pairs]) > 0.98


@pytest.mark.parametrize("count", [1, 2, 3])
def test_what_is_dominated_or_beyond_the_reference_adds_nothing_and_the_rest_something(count):
    losses = np.full((1, count), 0.5)
    draws = np.array([[[0.6] * count, [0.5] * count, [1.2] * count, [*([0.1] * (count - 1)), 1.0], [0.4] * count]])

    found = expected_hypervolume_gain(losses, np.ones(count), draws)

    assert found[:4] == pytest.approx([0, 0, 0, 0], abs=1e-12)
    assert found[4] > 0.01


def test_with_nothing_found_yet_the_gain_is_the_volume_of_the_candidate_alone():
    draws = np.array([[[0.25, 0.5], [0.5, 0.9]]])

    found = expected_hypervolume_gain(np.zeros((0, 2)), np.ones(2), draws)

    assert found == pytest.approx([0.375, 0.05])
