"""The predicted memory of a training: a bound on what torch's allocator hands out, and not a wild one."""

import random

import pytest
import torch

import search_spaces
from nas import zoo
from nas.audit import allocated_peak
from nas.costs import cost
from nas.feasible import Pricing
from nas.jobs import Budget
from nas.memory import MEASURED_AT_ONCE, OVERHEAD, SAFETY, largest_peak, resident_bytes, share_of_gpu, training_peak
from nas.objectives import Limit
from nas.recipe import Recipe
from nas.training import Trainer, measure
from runners.job_setup import NetworkCosts

SIZE = {"num_classes": 10, "in_channels": 1}


def allocated(network, digits, batch, folder):
    """Bytes at the peak of two steps and a validation, on a CPU in float32."""

    def step():
        trainer = Trainer(network, digits, Recipe(epochs=1, batch_size=batch), Budget(0, 1, 0, "cpu", str(folder)))
        batches = trainer.images.shuffled(batch)
        for _ in range(2):
            trainer.step(*next(batches), 1e-3)
        measure(trainer.average.module, digits, "validation", trainer.device, MEASURED_AT_ONCE)

    return allocated_peak(step)


@pytest.mark.parametrize("name", ["metaformer", "isotropic", "cvt"])
@pytest.mark.parametrize("seed", range(3))
def test_the_prediction_is_at_least_what_training_takes_and_at_most_thrice_that(name, seed, digits, tmp_path):
    space = search_spaces.get(name, digits.resolution)
    network = space.decode(space.sample(random.Random(seed)))

    large, small = (training_peak(network, batch, **SIZE) for batch in (256, 16))

    measured = allocated(network, digits, 256, tmp_path)
    assert measured <= large.weights + large.activations <= 3 * measured
    assert allocated(network, digits, 16, tmp_path) <= small.weights + small.activations  # a validation's is more


def test_what_is_added_on_a_gpu_is_a_context_a_margin_and_the_images():
    network = zoo.get("cvt-13").at(32)

    peak, with_images = (training_peak(network, 8, **SIZE, data_bytes=size) for size in (0, 10**9))

    assert peak.total == pytest.approx(OVERHEAD + SAFETY * (peak.weights + peak.activations), abs=1)
    assert with_images.total - peak.total == pytest.approx(SAFETY * 10**9, abs=1)
    assert resident_bytes(1000, 10, 3 * 32 * 32) == 1010 * 3072
    assert resident_bytes(10**7, 10, 3 * 32 * 32) == 10 * 3072  # 30 GB of them stay on the disk


def test_large_batches_are_priced_by_the_activations_of_the_whole_network():
    network = zoo.get("cvt-13")

    small, large = (training_peak(network, batch, num_classes=1000, in_channels=3) for batch in (1024, 2048))

    assert large.weights == small.weights
    assert large.activations == 2 * small.activations
    assert large.activations > 2048 * cost(network).activation_bytes


def test_the_largest_of_a_sample_is_one_within_the_limits():
    space, costs = search_spaces.get("metaformer", 8), NetworkCosts(10, 1)
    limited = Pricing(space, costs, (Limit.parse("activation_bytes<=1e5"),))
    rng = random.Random(5)

    most = largest_peak(limited, 64, **SIZE)

    drawn = [training_peak(limited.draw(rng).candidate, 64, **SIZE).total for _ in range(20)]
    assert max(drawn) <= 1.1 * most
    assert most < largest_peak(Pricing(space, costs, ()), 64, **SIZE)


@pytest.mark.parametrize("trials", [1, 2, 3, 7, 49, 64])
def test_so_many_trials_share_a_gpu_as_fit_and_floats_lose_none(trials):
    share = share_of_gpu(trials * 10**9 + 5, 10**9, most=100)

    assert share * trials <= 1
    assert int(1 / share) == trials


def test_a_trial_that_is_larger_than_the_gpu_has_it_alone_and_cores_bound_the_number():
    assert share_of_gpu(10**9, 10**10, most=8) == 1.0
    assert share_of_gpu(10**12, 10**9, most=8) == 0.125


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")
@pytest.mark.parametrize("name", ["cvt-13", "poolformer-s12"])
def test_the_prediction_bounds_what_a_step_takes_on_a_gpu(name, digits, tmp_path):
    network = zoo.get(name).at(digits.resolution)
    torch.cuda.reset_peak_memory_stats()
    trainer = Trainer(network, digits, Recipe(epochs=1, batch_size=64), Budget(0, 1, 0, "cuda", str(tmp_path)))

    trainer.step(*next(trainer.images.shuffled(64)), 1e-3)

    assert torch.cuda.max_memory_reserved() <= training_peak(network, 64, **SIZE).total
