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
    from runners.job_setup import NetworkCosts

    recipe, costs = Recipe(epochs=1, subset=0.1), NetworkCosts(num_classes=10, in_channels=1)
    result = search(
        space, TrainAndValidate(data, recipe), objectives=["accuracy:max"], trials=6, sampler="random", seed=3,
        costs=costs, constraints=["params<=1e5"], storage=f"sqlite:///{tmp_path}/{how['runner']}.db", checkpoints=tmp_path / how["runner"], **how,
    )  # fmt: skip
    assert [trial.state for trial in result.trials] == [State.COMPLETE] * 6, result.trials
    return {trial.number: (trial.digest, trial.metrics["accuracy"], trial.metrics["loss"]) for trial in result.trials}


@pytest.mark.usefixtures("one_thread")
@pytest.mark.slow
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
    return importlib.import_module("mine")


@pytest.mark.slow
def test_nodes_without_mixer_nas_are_sent_it_and_what_stands_beside_the_users_module(nodes, bare_python, mine):
    cluster = nodes({"PYTHONPATH": None}, {"PYTHONPATH": None}, executable=bare_python)

    result = search(
        mine.space, mine.evaluate, objectives=["score:max"], trials=4, sampler="random", runner="ray",
        address=cluster.address, storage=None,
    )  # fmt: skip

    assert [trial.metrics["score"] for trial in result.ranked] == [114, 113, 112, 111]
    assert all(trial.metrics["shipped"] for trial in result.trials)


PASSWORD = "v8-correct-horse"


def holding(folder):
    """Files below a folder that hold the password."""
    found = []
    for path in Path(folder).rglob("*"):
        with contextlib.suppress(OSError):
            if path.is_file() and PASSWORD.encode() in path.read_bytes():
                found.append(path)
    return found


@pytest.mark.slow
def test_no_worker_and_no_file_of_tunes_holds_the_password(nodes, layers, tmp_path, monkeypatch, postgres, caplog):
    """Not even where the shell that started the node had it, or the job was submitted with it."""
    url = postgres.replace("nas@", f"nas:{PASSWORD}@")
    secrets = {"NAS_STORAGE": url, "PGPASSWORD": PASSWORD}
    cluster = nodes(secrets)
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    submitted = {"runtime_env": {"env_vars": secrets}, "metadata": {}}
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps(submitted))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    (tmp_path / "needle").write_bytes(bytes(byte ^ 85 for byte in PASSWORD.encode()))
    written, spoilt = set(), []

    def watch(study):
        written.update(path.name for path in scratch.rglob("*"))
        spoilt.extend(holding(scratch))

    result = search(
        layers, evaluations.finds_password, objectives=["accuracy:max"], trials=3, sampler="random", runner="ray",
        address=cluster.address, storage=url, study="secret", checkpoints=tmp_path / "c", watch=watch,
    )  # fmt: skip

    assert [trial.state for trial in result.trials] == [State.COMPLETE] * 3
    for trial in result.trials:
        told = {name: trial.metrics[name] for name in ("scheme", "environment", "arguments", "memory")}
        assert told == dict.fromkeys(told, 0.0)
    assert "tuner.pkl" in written
    assert not spoilt
    assert [record.getMessage()[:45] for record in caplog.records if record.levelno == logging.WARNING] == [
        "NAS_STORAGE stands in the runtime_env of the "
    ]
    assert os.environ["NAS_STORAGE"] == url
    assert os.environ["PGPASSWORD"] == PASSWORD


@pytest.mark.soak
def test_the_search_for_the_password_finds_one_that_is_there(tmp_path, monkeypatch):
    monkeypatch.setenv("PASSWORD_OF_MINE", PASSWORD)
    (tmp_path / "needle").write_bytes(bytes(byte ^ 85 for byte in PASSWORD.encode()))

    found = evaluations.finds_password({}, nas.Budget(0, 1, 0, "cpu", str(tmp_path / "c" / "study" / "0")), None)

    assert found["environment"] >= 1
    assert found["memory"] >= 1


@pytest.mark.soak
def test_nodes_that_do_not_see_the_checkpoints_are_named(nodes, layers, tmp_path, caplog):
    require(os.getuid() == 0 and os.system("unshare -m true") == 0, "mount namespaces")
    checkpoints, python = tmp_path / "c", tmp_path / "python"
    checkpoints.mkdir()
    python.write_text(
        f'#!/bin/sh\nexec unshare -m sh -c \'mount -t tmpfs none {checkpoints}; exec {sys.executable} "$@"\' sh "$@"\n'
    )
    python.chmod(0o755)
    cluster = nodes({}, executable=python)

    with caplog.at_level(logging.WARNING):
        result = search(
            layers, evaluations.share_of_conv3, objectives=["accuracy:max"], trials=2, sampler="random", runner="ray",
            address=cluster.address, storage=f"sqlite:///{tmp_path}/nas.db", study="s", checkpoints=checkpoints,
        )  # fmt: skip

    assert len(result.ranked) == 2
    [said] = [record.getMessage() for record in caplog.records if "checkpoints" in record.getMessage()]
    assert said.startswith(f"the checkpoints in {checkpoints}/s are not seen by 1 of 2 Ray nodes (")
    assert not list(checkpoints.rglob(".seen-*"))


@pytest.mark.soak
def test_a_node_without_what_the_training_imports_is_named_with_what_to_do(nodes, bare_python, digits, tmp_path):
    import search_spaces
    from nas.recipe import Recipe
    from nas.training import TrainAndValidate

    [site] = bare_python.parent.parent.glob("lib/python*/site-packages")
    (site / "lacks.pth").write_text("import sys; sys.modules.update(kornia=None)\n")
    cluster = nodes({"PYTHONPATH": None}, executable=bare_python)

    with pytest.raises(
        InputError, match=r"^Ray node .* lacks kornia; there: pip install 'kornia>=0\.8', or give --run"
    ):
        search(
            search_spaces.get("metaformer", digits.resolution), TrainAndValidate(digits, Recipe(epochs=1)),
            objectives=["accuracy:max"], trials=1, runner="ray", address=cluster.address, storage=None,
        )  # fmt: skip


@pytest.mark.soak
def test_a_runtime_env_reaches_the_workers_and_a_wrong_one_is_one_line(nodes, layers, tmp_path):
    cluster = nodes({})
    how = {
        "objectives": ["accuracy:max"], "trials": 1, "runner": "ray", "address": cluster.address, "storage": None,
    }  # fmt: skip

    result = search(layers, evaluations.where, runtime_env={"env_vars": {"OMP_NUM_THREADS": "7"}}, **how)

    assert result.trials[0].metrics["threads"] == 7
    with pytest.raises(InputError, match=r"^runtime_env: .*packages"):
        search(layers, evaluations.where, runtime_env={"pip": {"packages": 3}}, **how)
