"""`ray`: Ray Tune places and runs the jobs of a study; the study itself, attempts and checkpoints stay ours.

Why it is built so is in docs/decisions/0001-ray-tune-pausing-trials.md. Ray is known here and in `runners.ray_*` only.
"""

from __future__ import annotations

import socket
import sys
import tempfile
import warnings
from functools import partial
from pathlib import Path

from ray import cloudpickle, tune
from ray.tune import CheckpointConfig, FailureConfig, RunConfig, TuneConfig, Tuner

from nas.api import RunnerOptions, Watch
from nas.errors import InputError
from nas.jobs import Evaluate
from nas.study import Study
from runners.local import check_numbers
from runners.ray_cluster import ENVIRONMENT, Resources, check_nodes, cluster, demand, environment, room
from runners.ray_noise import noise
from runners.ray_study import Causes, StudySearcher
from runners.ray_token import check_token
from runners.ray_worker import JobTrainable

CONNECT_S = 5.0


def check(options: RunnerOptions) -> None:
    """Raises: InputError for an address that cannot carry a search; the cluster itself is looked at by `run`."""
    if options.address is not None and options.address.startswith("ray://"):
        raise InputError(
            f"--address {options.address}: a Ray Client address cannot carry a search; give HOST:PORT of the head node"
        )
    check_numbers(options)
    if options.address is not None and options.address not in ("auto", "local"):
        _check_reachable(options.address)
    if options.address not in (None, "local"):
        check_token(options.address)


def _check_reachable(address: str) -> None:
    """Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise InputError(f"--address {address}: auto or HOST:PORT of the head node is expected")
    try:
        socket.create_connection((host, int(port)), CONNECT_S).close()
    except OSError as error:
        raise InputError(f"no Ray cluster at {address}: {error.strerror or error}") from error


def run(study: Study, evaluate: Evaluate, options: RunnerOptions, watch: Watch) -> None:
    """Carry out the study on a Ray cluster.

    Raises: InputError when the cluster cannot be reached or lacks the GPUs, ForeignPackageError when a node would
    import another package in place of ours.
    """
    with environment(ENVIRONMENT), noise(), cluster(options.address):
        check_nodes()
        workers, each = demand(options, study.plan.trials)
        searcher = StudySearcher(study, workers, options, watch, room=partial(room, options, each))
        with tempfile.TemporaryDirectory(prefix="nas-tune-") as scratch:
            try:
                _fit(study, evaluate, searcher, each, scratch)
            except Exception:
                if searcher.error is None:
                    raise
        if searcher.error is not None:
            raise searcher.error


def _fit(study: Study, evaluate: Evaluate, searcher: StudySearcher, each: Resources, scratch: str) -> None:
    _send_by_value(evaluate)
    trainable = tune.with_parameters(JobTrainable, space=study.space, evaluate=evaluate)
    tuner = Tuner(
        tune.with_resources(trainable, dict(each)),
        tune_config=TuneConfig(search_alg=searcher, scheduler=Causes(searcher), num_samples=-1, reuse_actors=True),
        run_config=RunConfig(
            storage_path=scratch,
            verbose=0,
            checkpoint_config=CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
            failure_config=FailureConfig(max_failures=0),
        ),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tuner.fit()


def _send_by_value(evaluate: Evaluate) -> None:
    """A user's own module need not be importable on the nodes."""
    module = sys.modules.get(getattr(evaluate, "__module__", type(evaluate).__module__) or "")
    file = getattr(module, "__file__", None)
    ours = Path(__file__).resolve().parent.parent
    installed = file is None or "site-packages" in file or Path(file).resolve().is_relative_to(ours / "nas")
    if module is not None and not installed and module.__name__ != "__main__":
        cloudpickle.register_pickle_by_value(module)
