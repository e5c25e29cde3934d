"""Real Ray clusters on this machine: foreign packages on the workers' path, addresses, and what Ray says."""

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import evaluations
import pytest
from conftest import require

from nas import search


@pytest.fixture
def cluster(monkeypatch):
    require(importlib.util.find_spec("ray"), "Ray")
    from ray.cluster_utils import Cluster

    paths = [str(Path(evaluations.__file__).parent), os.environ.get("PYTHONPATH")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    yield made
    import ray

    ray.shutdown()
    made.shutdown()


DRIVER = """
import nas, mine
result = nas.search(mine.space, mine.evaluate, objectives=["score:max"], trials=2, runner="ray", workers=1, storage=None)
print("complete", len(result.trials))
"""
MINE = """
import nas
space = nas.Space({"depth": nas.int_range(1, 4)})
def evaluate(candidate, budget, report):
    import runners
    return {"score": float(runners.__file__.endswith("runners/__init__.py")) + candidate["depth"]}
"""


def run_driver(folder, *command):
    environment = {**os.environ, "PYTHONPATH": ""}
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


def test_a_foreign_runners_folder_is_named_and_not_imported_by_driver_or_workers(tmp_path):
    marker = tmp_path / "was-imported"
    (tmp_path / "runners").mkdir()
    (tmp_path / "runners" / "__init__.py").write_text(f"open({str(marker)!r}, 'w')\n")
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "driver.py").write_text(DRIVER)

    script = run_driver(tmp_path, "driver.py")
    module = run_driver(tmp_path, "-m", "nas", "spaces")

    for done in (script, module):
        assert done.returncode != 0
        last = done.stderr.strip().splitlines()[-1]
        assert f"package 'runners' would come from {tmp_path}/runners, but mixer-nas has its own in" in last
    assert module.returncode == 2
    assert not marker.exists()


@pytest.mark.soak
@pytest.mark.parametrize("by_address", [False, True])
def test_a_foreign_folder_in_the_drivers_directory_does_not_reach_rays_workers(tmp_path, by_address, request):
    """The console command does not look into its working directory, but Ray's workers would."""
    address = []
    if by_address:
        address = ["--address", request.getfixturevalue("cluster").address]
    require(importlib.util.find_spec("ray"), "Ray")
    marker = tmp_path / "was-imported"
    (tmp_path / "runners").mkdir()
    (tmp_path / "runners" / "__init__.py").write_text(f"open({str(marker)!r}, 'w')\n")
    (tmp_path / "mine.py").write_text(MINE)
    console = Path(sys.executable).parent / "nas"

    done = subprocess.run(
        [console, "search", "--space", "mine:space", "--evaluate", "mine:evaluate", "--objective", "score:max",
         "--trials", "2", "--epochs", "1", "--runner", "ray", "--workers", "1", *address],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=200,
        env={**os.environ, "PYTHONPATH": ""},
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "2 trials complete, 0 failed" in done.stdout
    assert not marker.exists()


@pytest.mark.slow
def test_a_node_that_would_import_another_package_is_named(cluster, layers, tmp_path, monkeypatch):
    from nas.errors import ForeignPackageError

    foreign = tmp_path / "path" / "search_spaces"
    foreign.mkdir(parents=True)
    (foreign / "__init__.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "path"))
    cluster.add_node(num_cpus=1)
    deadline = time.monotonic() + 30

    with pytest.raises(
        ForeignPackageError, match=r"package 'search_spaces' on Ray node .* would come from .*path/search_spaces"
    ):
        search(
            layers, evaluations.share_of_conv3, objectives=["accuracy:max"], trials=2, runner="ray",
            address=cluster.address, storage=None,
        )  # fmt: skip
    assert time.monotonic() < deadline + 60


def test_an_address_where_no_cluster_is_is_one_clear_error(layers):
    from nas.errors import InputError

    with pytest.raises(InputError, match=r"no Ray cluster at 127\.0\.0\.1:1: "):
        search(
            layers,
            evaluations.share_of_conv3,
            objectives=["accuracy:max"],
            runner="ray",
            address="127.0.0.1:1",
            storage=None,
        )


DIES = """
import os, signal, nas
space = nas.Space({"depth": nas.int_range(1, 60)})
def evaluate(candidate, budget, report):
    print("a word of the evaluation", flush=True)
    report(1, {"score": candidate["depth"]})
    note = os.path.join(budget.checkpoint, "note")
    if not os.path.exists(note):
        open(note, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"score": candidate["depth"]}
"""


@pytest.mark.soak
@pytest.mark.parametrize("verbose", [False, True])
def test_when_a_worker_is_killed_ray_says_nothing_that_was_not_asked_for(tmp_path, verbose):
    require(importlib.util.find_spec("ray"), "Ray")
    (tmp_path / "mine.py").write_text(DIES)

    done = subprocess.run(
        [sys.executable, "-m", "nas", "search", "--space", "mine:space", "--evaluate", "mine:evaluate", "--objective",
         "score:max", "--trials", "1", "--epochs", "1", "--runner", "ray", "--workers", "1", "--json", *(["-v"] if verbose else [])],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["complete"] == 1
    beginnings = [line.split(" ")[0] for line in done.stderr.splitlines()]
    assert "trial 0 is tried again after attempt 1: " in done.stderr
    assert ({*beginnings} == {"study", "trial"}) != verbose
    assert ("a word of the evaluation" in done.stderr) == verbose
    assert ("Trial task failed" in done.stderr) == verbose
