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

from nas.api import RunnerOptions
from nas.errors import InputError
from nas.study import Study
from runners.local import most_on_gpus
from runners.runtime_env import SECRETS

SUBMITTED = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # in the environment of a driver that `ray job submit` started
OVERRIDE = "RAY_OVERRIDE_JOB_RUNTIME_ENV"  # our `runtime_env` goes before that of a submitted job, field by field

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
    """Settings for Tune."""
    before = {name: os.environ.get(name) for name in (*values, "TUNE_MAX_PENDING_TRIALS_PG")}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)


@contextmanager
def _secretive(*more: str) -> Iterator[None]:
    """No database URL or password for the processes that Ray starts meanwhile; this one needs them to come back."""
    before = {name: os.environ.pop(name) for name in (*SECRETS, *more) if name in os.environ}
    override = os.environ.get(OVERRIDE)
    os.environ[OVERRIDE] = "1"
    try:
        yield
    finally:
        os.environ.update(before)
        os.environ.pop(OVERRIDE) if override is None else os.environ.__setitem__(OVERRIDE, override)


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
                    log_to_driver=False,
                    logging_level="error",
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
