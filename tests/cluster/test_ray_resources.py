"""What trials take of a Ray cluster: cores, fake GPUs, custom resources, and nodes that join while they run."""

import importlib.util
import os
from pathlib import Path

import evaluations
import pytest
from conftest import require

from nas import search
from nas.errors import InputError
from nas.runner import RunnerOptions
from nas.trial import State


@pytest.fixture
def cluster(monkeypatch):
    """A head with one core."""
    require(importlib.util.find_spec("ray"), "Ray")
    from ray.cluster_utils import Cluster

    paths = [str(Path(evaluations.__file__).parent), os.environ.get("PYTHONPATH")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    yield made
    import ray

    ray.shutdown()
    made.shutdown()


def run(cluster, layers, evaluate, trials=2, **options):
    return search(
        layers, evaluate, objectives=["accuracy:max"], trials=trials, sampler="random", runner="ray",
        address=cluster.address, storage=None, study="s", **options,
    )  # fmt: skip


@pytest.mark.slow
def test_a_node_that_joins_in_mid_search_is_used(cluster, layers, tmp_path):
    joined = []

    def watch(study):
        if len(study.finished) == 2 and not joined:
            joined.append(study.running)
            cluster.add_node(num_cpus=1)

    result = run(
        cluster, layers, evaluations.waits_for_company, trials=4, watch=watch, checkpoints=tmp_path,
    )  # fmt: skip

    assert joined == [0]  # one core took one trial at a time
    assert [(trial.state, trial.metrics["company"]) for trial in result.trials[2:]] == [(State.COMPLETE, 1.0)] * 2


@pytest.mark.slow
def test_cores_and_custom_resources_are_asked_of_ray_and_choose_the_nodes(cluster, layers):
    cluster.add_node(num_cpus=4, resources={"A100": 1})

    result = run(cluster, layers, evaluations.what_ray_gave, cpus_per_trial=2, resources={"A100": 0.25})

    assert [(trial.metrics["CPU"], trial.metrics["A100"]) for trial in result.trials] == [(2.0, 0.25)] * 2


@pytest.mark.slow
def test_resources_that_no_node_has_are_refused_with_what_they_have(cluster, layers):
    cluster.add_node(num_cpus=4, resources={"A100": 1})
    there = r"they have 1 A100, 4 CPU, "

    with pytest.raises(InputError, match=r"--resources B200=1: no node of this Ray cluster has it; " + there):
        run(cluster, layers, evaluations.what_ray_gave, resources={"B200": 1})
    with pytest.raises(InputError, match=r"no node of this Ray cluster has 5 CPU, 0\.5 A100 together; " + there):
        run(cluster, layers, evaluations.what_ray_gave, cpus_per_trial=5, resources={"A100": 0.5})
    with pytest.raises(InputError, match=r"--resources CPU=1: that is said by --cpus-per-trial"):
        run(cluster, layers, evaluations.what_ray_gave, resources={"CPU": 1})


@pytest.mark.soak
def test_gpus_are_taken_where_there_are_some_unless_said_otherwise_and_their_memory_must_be_known(cluster, layers):
    cluster.add_node(num_cpus=2, num_gpus=2)

    chosen = run(cluster, layers, evaluations.what_ray_gave, gpus_per_trial=None)
    without = run(cluster, layers, evaluations.what_ray_gave, gpus_per_trial=0.0)

    assert [(trial.metrics["GPU"], trial.metrics["on_cuda"]) for trial in chosen.trials] == [(1.0, 1.0)] * 2
    assert all("GPU" not in trial.metrics for trial in without.trials)
    with pytest.raises(InputError, match=r"--gpus-per-trial auto: Ray node .* does not tell how much memory its GPUs"):
        run(cluster, layers, evaluations.what_ray_gave, gpus_per_trial=None, trial_bytes=10**9)


NODES = [{"CPU": 16.0}, {"CPU": 4.0, "GPU": 4.0, "A100": 1.0}, {"CPU": 3.0, "GPU": 1.0}]


@pytest.mark.parametrize(
    ("options", "trials", "workers", "each"),
    [
        ({}, 100, 23, {"CPU": 1.0}),
        ({}, 2, 2, {"CPU": 3.0}),  # no more than the smallest node has
        ({"workers": 3}, 100, 3, {"CPU": 3.0}),
        ({"workers": 64}, 100, 64, {"CPU": 1.0}),  # those that do not fit wait for nodes
        ({"gpus_per_trial": None}, 100, 5, {"CPU": 1.0, "GPU": 1.0}),
        ({"gpus_per_trial": 0.5}, 100, 6, {"CPU": 1.0, "GPU": 0.5}),  # 4 cores and 2 GPUs' worth
        ({"gpus_per_trial": 2.0}, 100, 2, {"CPU": 2.0, "GPU": 2.0}),  # not the cores of a node without GPUs
        ({"cpus_per_trial": 0.5}, 100, 46, {"CPU": 0.5}),
        ({"resources": {"A100": 0.25}}, 100, 4, {"CPU": 1.0, "A100": 0.25}),
    ],
)
def test_trials_are_shared_out_over_nodes_and_not_over_their_sum(monkeypatch, options, trials, workers, each):
    require(importlib.util.find_spec("ray"), "Ray")
    from runners import ray_cluster

    monkeypatch.setattr(ray_cluster, "alive", lambda: NODES)

    assert ray_cluster.demand(RunnerOptions(**options), trials) == (workers, each)
    assert ray_cluster.room(RunnerOptions(**options), each) >= workers
