"""The Ray cluster under a search: connecting, what its nodes have, and whether they would run our code."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from nas.api import RunnerOptions
from nas.errors import ForeignPackageError, InputError
from nas.study import Study
from runners.local import most_on_gpus
from runners.logs import verbose

ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is the driver's, as with the other runners
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_TRAIN_COUNT_PREEMPTION_AS_FAILURE": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "OMP_WAIT_POLICY": "PASSIVE",  # inherited by a cluster started here, see runners.local
}


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Settings for Tune, and no database URL for the processes that Ray starts."""
    before = {name: os.environ.get(name) for name in (*values, "NAS_STORAGE", "TUNE_MAX_PENDING_TRIALS_PG")}
    os.environ.update(values)
    os.environ.pop("NAS_STORAGE", None)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)


@contextmanager
def cluster(address: str | None) -> Iterator[None]:
    """Connected to Ray; a connection that was there before is used and left as it is."""
    if ray.is_initialized():
        yield
        return
    here, terminated = Path.cwd(), signal.getsignal(signal.SIGTERM)
    with tempfile.TemporaryDirectory(prefix="nas-ray-", ignore_cleanup_errors=True) as empty:
        os.chdir(empty)  # Ray puts the driver's directory first on its workers' path, see the decision
        try:
            ray.init(
                address=address or "local",
                include_dashboard=False if address is None else None,
                log_to_driver=verbose(),
                logging_level="info" if verbose() else "error",
                configure_logging=True,
            )
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise InputError(f"no Ray cluster at {address or 'this machine'}: {str(error).splitlines()[0]}") from error
        finally:
            os.chdir(here)
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, terminated)  # Ray has put one there that exits with 1
        try:
            yield
        finally:
            ray.shutdown()


def share(options: RunnerOptions, study: Study) -> tuple[int, int]:
    """How many jobs at a time, and the cores for each."""
    have = ray.cluster_resources()
    cores, gpus = int(have.get("CPU", 0)), have.get("GPU", 0.0)
    if options.gpus_per_trial > gpus:
        raise InputError(f"--gpus-per-trial {options.gpus_per_trial:g}: this Ray cluster has {gpus:g} GPU(s)")
    if cores < 1:
        raise InputError("this Ray cluster has no CPU to run trials on")
    most = most_on_gpus(int(gpus), options.gpus_per_trial) if options.gpus_per_trial else cores
    workers = min(options.workers or most, most, max(1, study.plan.trials))
    smallest = min(int(node["Resources"].get("CPU", 0)) or cores for node in ray.nodes() if node["Alive"])
    return workers, max(1, min(cores // workers, smallest))


PROBE = """
def probe(names):
    import importlib.util, pathlib
    found = {}
    for name in names:
        spec = importlib.util.find_spec(name)
        places = [spec.origin] if spec and spec.origin else list(spec.submodule_search_locations) if spec else []
        found[name] = str(pathlib.Path(places[0])) if places else "nowhere"
    return found
"""


def check_nodes() -> None:
    """Ask every node where it would import our packages from; they must lie beside each other.

    Raises: ForeignPackageError naming the package and the node.
    """
    scope: dict[str, Any] = {"__name__": "__main__"}  # so that Ray sends the function by value
    exec(PROBE, scope)  # noqa: S102 - a constant of this file
    probe = ray.remote(num_cpus=0, max_retries=0)(scope["probe"])
    names = ("nas", "search_spaces", "runners", "dashboards")
    nodes = {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
    asked = {  # by id: several nodes may share an address
        node_id: probe.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False)).remote(names)
        for node_id in nodes
    }
    for node_id, answer in asked.items():
        node = nodes[node_id]
        try:
            found = ray.get(answer, timeout=120)
        except ray.exceptions.RayError as error:
            raise InputError(f"Ray node {node} does not answer: {str(error).splitlines()[0]}") from error
        if found["nas"] == "nowhere":
            raise InputError(f"mixer-nas is not installed on Ray node {node}")
        home = Path(found["nas"]).parent.parent
        for name in names:
            if Path(found[name]) != home / name / "__init__.py":
                raise ForeignPackageError(
                    f"package {name!r} on Ray node {node} would come from {Path(found[name]).parent}, "
                    f"but mixer-nas has its own in {home}; rename that folder or take it off the path"
                )
