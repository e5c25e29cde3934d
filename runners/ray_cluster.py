"""The Ray cluster under a search: connecting, what its nodes have, and whether they would run our code."""

from __future__ import annotations

import logging
import os
import re
import shlex
import signal
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray._private import utils
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from nas.errors import InputError
from nas.memory import share_of_gpu
from nas.runner import RunnerOptions
from runners.local import EXACT, gpu_memory, most_on_gpus
from runners.logs import verbose
from runners.runtime_env import SECRETS

log = logging.getLogger(__name__)

SUBMITTED = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # in the environment of a driver that `ray job submit` started
OVERRIDE = "RAY_OVERRIDE_JOB_RUNTIME_ENV"  # our `runtime_env` goes before that of a submitted job, field by field
ENTRYPOINT = "get_entrypoint_name"  # by which Ray tells the whole cluster the command line of a driver
ANSWER_S = 120  # that a node may take to say what it is
A_BIT = 0.01  # of a GPU, to see it
UNASKED = ("node:", "object_store_memory")  # resources of Ray's own that a trial does not take
OPTIONS = {"CPU": "--cpus-per-trial", "GPU": "--gpus-per-trial"}

ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is the driver's, as with the other runners
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_TRAIN_COUNT_PREEMPTION_AS_FAILURE": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_MAX_PENDING_TRIALS_PG": "10000",  # the searcher says how many are in flight
    "OMP_WAIT_POLICY": "PASSIVE",  # inherited by a cluster started here, see runners.local
}


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Settings for Tune."""
    before = {name: os.environ.get(name) for name in (*values, "TUNE_GLOBAL_CHECKPOINT_S")}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)


@contextmanager
def _secretive(*more: str) -> Iterator[None]:
    """No database URL or password for the processes that Ray starts meanwhile; this one needs them to come back.

    Nor in the command line that Ray shows to everybody on the cluster.
    """
    before = {name: os.environ.pop(name) for name in (*SECRETS, *more) if name in os.environ}
    override = os.environ.get(OVERRIDE)
    os.environ[OVERRIDE] = "1"
    entrypoint = getattr(utils, ENTRYPOINT, None)
    setattr(utils, ENTRYPOINT, _command_line)
    try:
        yield
    finally:
        setattr(utils, ENTRYPOINT, entrypoint)
        os.environ.update(before)
        os.environ.pop(OVERRIDE) if override is None else os.environ.__setitem__(OVERRIDE, override)


def _command_line() -> str:
    """Of this process, with no more than the scheme of any URL."""
    return shlex.join(re.sub("://.*", "://...", word, flags=re.DOTALL) for word in sys.orig_argv)


@contextmanager
def cluster(address: str | None, runtime_env: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Connected to Ray; a connection that was there before is used and left as it is.

    Raises: InputError when there is no cluster, or it takes no such `runtime_env`.
    """
    if ray.is_initialized():
        yield
        return
    here, terminated = Path.cwd(), signal.getsignal(signal.SIGTERM)
    with tempfile.TemporaryDirectory(prefix="nas-ray-", ignore_cleanup_errors=True) as empty:
        os.chdir(empty)  # Ray puts the driver's directory first on its workers' path, see the decision
        try:
            with _secretive() if address else _secretive(SUBMITTED):
                ray.init(
                    address=address or "local",
                    runtime_env=dict(runtime_env) if runtime_env else None,
                    include_dashboard=False if address is None else None,
                    log_to_driver=verbose(),
                    logging_level="info" if verbose() else "error",
                    configure_logging=True,
                )
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            reason = " ".join(str(error).split())[:500]
            if isinstance(error, ray.exceptions.RuntimeEnvSetupError):
                raise InputError(f"runtime_env: {reason}") from error
            raise InputError(f"no Ray cluster at {address or 'this machine'}: {reason}") from error
        finally:
            os.chdir(here)
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, terminated)  # Ray has put one there that exits with 1
        try:
            yield
        finally:
            ray.shutdown()


Resources = Mapping[str, float]
"""What a trial takes, or a node has, by Ray's names: CPU, GPU, and those of the cluster's own."""


def demand(options: RunnerOptions, trials: int) -> tuple[int, dict[str, float]]:
    """How many of a study's `trials` run at a time on the nodes that are alive, and what each takes.

    Raises: InputError for what no node has, with what they have.
    """
    nodes = alive()
    if not any(int(node.get("CPU", 0)) for node in nodes):
        raise InputError("this Ray cluster has no CPU to run trials on")
    gpus = _gpus_per_trial(options, nodes)
    asked = {"GPU": gpus, **_custom(options, nodes)}
    each = {"CPU": options.cpus_per_trial or 1.0, **{name: amount for name, amount in asked.items() if amount}}
    most = fitting(nodes, each)
    if not most:
        what = ", ".join(f"{amount:g} {name}" for name, amount in each.items())
        raise InputError(f"no node of this Ray cluster has {what} together; they have {_told(nodes)}")
    workers = min(options.workers or most, most, max(1, trials))
    if options.cpus_per_trial is None:
        able = [node for node in nodes if fitting([node], each)]
        cpus = min(int(sum(node["CPU"] for node in able)) // workers, int(min(node["CPU"] for node in able)))
        while cpus > 1 and fitting(nodes, {**each, "CPU": float(cpus)}) < workers:
            cpus -= 1
        each["CPU"] = float(max(1, cpus))
    return options.workers or workers, each


def room(options: RunnerOptions, each: Resources) -> int:
    """How many jobs may be in flight now: `workers` where said, else what fits the nodes that are alive, at least 1.

    Said, it is taken at its word: jobs that do not fit wait, which makes an autoscaler add nodes.
    """
    return options.workers or max(1, fitting(alive(), each))


def alive() -> list[Resources]:
    """What each node that is alive has in all."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def fitting(nodes: Iterable[Resources], each: Resources) -> int:
    """How many trials the nodes hold; a trial is on one node, a share of a GPU on one GPU."""
    return sum(min(_on_node(name, node.get(name, 0.0), amount) for name, amount in each.items()) for node in nodes)


def _on_node(name: str, have: float, amount: float) -> int:
    return most_on_gpus(int(have), amount) if name == "GPU" else int(have / amount + EXACT)


def _custom(options: RunnerOptions, nodes: Sequence[Resources]) -> Resources:
    for name, amount in options.resources.items():
        if name in OPTIONS:
            raise InputError(f"--resources {name}={amount:g}: that is said by {OPTIONS[name]}")
        if not 0 < amount <= max(node.get(name, 0.0) for node in nodes):
            raise InputError(
                f"--resources {name}={amount:g}: no node of this Ray cluster has it; they have {_told(nodes)}"
            )
    return options.resources


def _told(nodes: Sequence[Resources]) -> str:
    """The most of everything that a node has."""
    names = sorted({name for node in nodes for name in node if not name.startswith(UNASKED)})
    return ", ".join(f"{max(node.get(name, 0.0) for node in nodes):g} {name}" for name in names)


def _gpus_per_trial(options: RunnerOptions, nodes: Sequence[Resources]) -> float:
    """As asked; else as many share a GPU as its memory holds, or 1 where there are GPUs."""
    gpus = sum(node.get("GPU", 0.0) for node in nodes)
    if options.gpus_per_trial is not None:
        if options.gpus_per_trial > gpus:
            raise InputError(f"--gpus-per-trial {options.gpus_per_trial:g}: this Ray cluster has {gpus:g} GPU(s)")
        return options.gpus_per_trial
    if options.trial_bytes is None:
        return float(gpus > 0)
    if not gpus:
        raise InputError("--gpus-per-trial auto: this Ray cluster has no GPU; leave it out")
    cores = min(node.get("CPU", 0.0) / node["GPU"] for node in nodes if node.get("GPU"))
    return share_of_gpu(_gpu_memory(), options.trial_bytes, max(1, int(cores / (options.cpus_per_trial or 1))))


def _gpu_memory() -> int:
    """Bytes of the smallest GPU, asked of every node that has one. Raises: InputError where it cannot be told."""
    ask = ray.remote(num_cpus=0, num_gpus=A_BIT, max_retries=0)(gpu_memory)
    found = []
    for node in [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("GPU")]:
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        try:
            found.append(ray.get(ask.options(scheduling_strategy=there).remote(), timeout=ANSWER_S))
        except ray.exceptions.RayError as error:
            found.append(None)
            log.debug("a node does not tell of its GPUs", exc_info=error)
        if not found[-1]:
            raise InputError(
                f"--gpus-per-trial auto: Ray node {node['NodeManagerAddress']} does not tell how much memory its GPUs "
                f"have; give a number"
            )
    return int(min(found))
