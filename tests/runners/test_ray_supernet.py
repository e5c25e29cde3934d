"""A supernet that Ray Train shares among two workers on CPUs."""

import pytest
import ray
from safetensors.torch import load_file

import search_spaces
from nas.feasible import Pricing
from nas.recipe import Recipe
from nas.runner import RunnerOptions
from nas.supernet import Supernet
from nas.supernet.making import Making, make
from nas.supernet.plan import TrainingPlan
from runners.job_setup import NetworkCosts
from runners.ray_supernet import make_together


@pytest.fixture(scope="module", autouse=True)
def ray_here():
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield
    ray.shutdown()


@pytest.mark.slow
def test_two_workers_make_the_supernet_that_one_process_makes(digits, tmp_path):
    space = search_spaces.get("cvt", 8)
    plan = TrainingPlan(recipe=Recipe(epochs=1, subset=0.2, batch_size=64), at_once=3)
    making = Making(Pricing(space, NetworkCosts(10, 1), ()), digits, plan)
    told = []
    shared = make_together(
        making, tmp_path / "shared", lambda *each: told.append(each), lambda *_: None, RunnerOptions(workers=2)
    )
    alone = make(making, tmp_path / "alone", lambda *_: None)

    assert [epoch for epoch, _ in told] == [1]
    assert shared.facts["workers"] == 2
    assert {**shared.facts, "workers": 1, "seconds": 0} == {**alone.facts, "seconds": 0}
    theirs, ours = load_file(shared.path), load_file(alone.path)
    assert theirs.keys() == ours.keys()
    new = Supernet(space, in_channels=1, num_classes=10, resolution=8).weights
    apart = sum(float((theirs[name] - ours[name]).square().sum()) for name in ours) ** 0.5
    moved = sum(float((ours[name] - new[name].detach()).square().sum()) for name in ours) ** 0.5
    assert apart < 0.3 * moved  # batch norms see their part of a batch
    again = make_together(making, tmp_path / "shared", told.append, lambda *_: None, RunnerOptions(workers=2))
    assert again == shared
