"""What reaches Ray's workers on machines of their own: data, code, no credentials. Real clusters of several nodes."""

import contextlib
import importlib.util
import json
import logging
import os
import sys
import venv
from pathlib import Path

import evaluations
import pytest
from conftest import require

import nas
from nas import search
from nas.errors import InputError
from nas.trial import State

HERE = str(Path(evaluations.__file__).parent)
ROOT = str(Path(nas.__file__).parent.parent)


@pytest.fixture
def nodes(monkeypatch):
    """Makes a cluster: the head and a node for each environment given, its path and data cache its own."""
    require(importlib.util.find_spec("ray"), "Ray")
    import ray
    from ray.cluster_utils import Cluster

    made = []

    def add(*environments, head_cpus=0, executable=sys.executable):
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join((ROOT, HERE)))
        made.append(cluster := Cluster(True, head_node_args={"num_cpus": head_cpus, "include_dashboard": False}))
        for environment in environments:
            with monkeypatch.context() as there:
                there.setattr(sys, "executable", str(executable))
                for name, value in environment.items():
                    there.setenv(name, value) if value is not None else there.delenv(name, raising=False)
                cluster.add_node(num_cpus=2)
        return cluster

    yield add
    ray.shutdown()
    for cluster in made:
        cluster.shutdown()


@pytest.fixture
def bare_python(tmp_path):
    """A Python that has everything this one has but mixer-nas."""
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    [site] = (tmp_path / "bare").glob("lib/python*/site-packages")
    installed = Path(importlib.util.find_spec("ray").origin).parent.parent
    (site / "there.pth").write_text(f"{installed}\n")  # the .pth files in there are not read
    return tmp_path / "bare" / "bin" / "python"


def trained(space, data, tmp_path, **how):
    from nas.recipe import Recipe
    from nas.training import TrainAndValidate

    recipe = Recipe(epochs=2, subset=0.2)
    result = search(
        space, TrainAndValidate(data, recipe), objectives=["accuracy:max"], trials=6, sampler="random", seed=3,
        epochs=(2, 2), storage=f"sqlite:///{tmp_path}/{how['runner']}.db", checkpoints=tmp_path / how["runner"], **how,
    )  # fmt: skip
    assert [trial.state for trial in result.trials] == [State.COMPLETE] * 6, result.trials
    return {trial.number: (trial.digest, trial.metrics["accuracy"], trial.metrics["loss"]) for trial in result.trials}


def test_every_node_gets_the_data_once_and_training_ends_as_it_does_without_ray(nodes, digits, tmp_path, monkeypatch):
    import search_spaces
    from runners import ray_luggage

    caches = [tmp_path / "cache-a", tmp_path / "cache-b"]
    cluster = nodes(*({"NAS_CACHE": str(cache)} for cache in caches))
    servers, original = [], ray_luggage.served
    monkeypatch.setattr("runners.tune.served", lambda luggage: servers.append(original(luggage)) or servers[-1])
    begun = []

    def watch(study):
        import ray

        begun[:] = ray.get(servers[0].server.begun.remote())

    space = search_spaces.get("metaformer", digits.resolution)
    there = trained(space, digits, tmp_path, runner="ray", address=cluster.address, workers=4, watch=watch)
    here = trained(space, digits, tmp_path, runner="inline")

    assert there == here
    copies = [node for _, node in begun]
    assert len(copies) == len(set(copies)) == 2
    for cache in caches:
        assert [path.name for path in cache.iterdir() if not path.name.startswith(".")] == [digits.digest]
        for file in Path(digits.folder).iterdir():
            assert (cache / digits.digest / file.name).read_bytes() == file.read_bytes()
    assert not [path for cache in caches for path in cache.glob(".copying-*")]


MINE = """
import nas
space = nas.Space({"depth": nas.int_range(1, 4)})
def evaluate(candidate, budget, report):
    from helper import bonus
    import shapes.round, runners
    return {"score": bonus() + candidate["depth"] + shapes.round.area, "shipped": float("py_modules" in runners.__file__)}
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A user's module with another and a package beside it, imported only when it is called."""
    home = tmp_path / "home"
    (home / "shapes").mkdir(parents=True)
    (home / "mine.py").write_text(MINE)
    (home / "helper.py").write_text("def bonus():\n    return 10\n")
    (home / "shapes" / "__init__.py").write_text("")
    (home / "shapes" / "round.py").write_text("from .base import area\n")
    (home / "shapes" / "base.py").write_text("area = 100\n")
    monkeypatch.syspath_prepend(str(home))
    yield importlib.import_module("mine")
    for name in ("mine", "helper", "shapes", "shapes.round", "shapes.base"):
        sys.modules.pop(name, None)


def test_nodes_without_mixer_nas_are_sent_it_and_what_stands_beside_the_users_module(nodes, bare_python, mine):
    cluster = nodes({"PYTHONPATH": None}, {"PYTHONPATH": None}, executable=bare_python)

    result = search(
        mine.space, mine.evaluate, objectives=["score:max"], trials=4, sampler="random", runner="ray",
        address=cluster.address, storage=None,
    )  # fmt: skip

    assert [trial.metrics["score"] for trial in result.ranked] == [114, 113, 112, 111]
    assert all(trial.metrics["shipped"] for trial in result.trials)
