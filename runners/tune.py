"""`ray`: Ray Tune places and runs the jobs of a study; the study itself, attempts and checkpoints stay ours.

Why it is built so is in docs/decisions/0001-ray-tune-pausing-trials.md. Ray is known here and in `runners.ray_*` only.
"""

from __future__ import annotations

import os
import socket
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.runtime_env import RuntimeEnv
from ray.tune import Callback, CheckpointConfig, FailureConfig, RunConfig, TuneConfig, Tuner

from nas.errors import InputError
from nas.jobs import Evaluate
from nas.runner import RunnerOptions, Watch
from nas.study import Study
from runners.local import check_numbers
from runners.ray_cluster import ENVIRONMENT, Resources, demand, environment, room
from runners.ray_luggage import Luggage, pack, served
from runners.ray_nodes import workplace
from runners.ray_noise import noise
from runners.ray_rungs import RungScheduler
from runners.ray_study import StudySearcher
from runners.ray_token import check_token
from runners.ray_words import JobWords
from runners.ray_worker import JobTrainable
from runners.runtime_env import checked_runtime_env
from runners.wire import EVENT

__all__ = ["RungScheduler", "StudySearcher", "check", "run"]

CONNECT_S = 5.0
NEVER = "1e9"  # seconds between two copies of Tune's state, which nobody reads


def check(options: RunnerOptions) -> None:
    """Raises: InputError for an address that cannot carry a search; the cluster itself is looked at by `run`."""
    if options.address is not None and options.address.startswith("ray://"):
        raise InputError(
            f"--address {options.address}: a Ray Client address cannot carry a search; give HOST:PORT of the head node"
        )
    check_numbers(options)
    for callback in options.callbacks:
        if not isinstance(callback, Callback):
            raise InputError(
                f"callback {callback!r}: an object of a class that derives from ray.tune.Callback is expected"
            )
    _check_runtime_env(options)
    if options.address is not None and options.address not in ("auto", "local"):
        _check_reachable(options.address)
    if options.address not in (None, "local"):
        check_token(options.address)


def _check_runtime_env(options: RunnerOptions) -> None:
    asked = checked_runtime_env(options.runtime_env or {})
    try:
        RuntimeEnv(**asked)
    except (TypeError, ValueError) as error:
        raise InputError(f"runtime_env: {' '.join(str(error).split())}") from error


def _check_reachable(address: str) -> None:
    """Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise InputError(f"--address {address}: auto or HOST:PORT of the head node is expected")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_S).close()
    except OSError as error:
        raise InputError(f"no Ray cluster at {address}: {error.strerror or error}") from error


def run(study: Study, evaluate: Evaluate, options: RunnerOptions, watch: Watch) -> None:
    """Carry out the study on a Ray cluster.

    Raises: InputError when the cluster cannot be reached or a node lacks something, ForeignPackageError when a node
    would import another package in place of ours.
    """
    luggage = pack(evaluate)
    with environment(ENVIRONMENT), noise(), workplace(options, luggage, study.plan.checkpoints):
        workers, each = demand(options, study.plan.trials)
        searcher = StudySearcher(
            study,
            workers,
            timeout=options.timeout,
            trial_timeout=options.trial_timeout,
            watch=watch,
            room=lambda: min(room(options, each), max(1, study.plan.trials)),
            words=JobWords(study.space, timed=options.trial_timeout is not None),
        )
        carried = served(luggage)
        with _place(study, options) as place:
            try:
                _fit(_trainable(study, carried, each), searcher, place, options.callbacks)
            except Exception:
                if searcher.error is None:
                    raise
            finally:
                if carried.server is not None:
                    ray.kill(carried.server)
        if searcher.error is not None:
            raise searcher.error


def _trainable(study: Study, evaluate: Luggage, each: Resources) -> Any:
    trainable = tune.with_parameters(JobTrainable, space=study.space, evaluate=evaluate)
    return tune.with_resources(trainable, dict(each))


@contextmanager
def _place(study: Study, options: RunnerOptions) -> Iterator[Path]:
    """Where Tune keeps what callbacks write; without any, nothing that is asked for again."""
    if options.callbacks:
        yield study.plan.checkpoints / "tune"
        return
    os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = NEVER
    with tempfile.TemporaryDirectory(prefix="nas-tune-") as scratch:
        yield Path(scratch)


class Plain(Callback):  # type: ignore[misc]
    """Comes before the user's callbacks, and takes out of the results what only the study can read."""

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:  # noqa: ARG002
        """Results are changed in place."""
        result.pop(EVENT, None)


def _fit(trainable: Any, searcher: StudySearcher, place: Path, callbacks: Sequence[Any]) -> None:
    tuner = Tuner(
        trainable,
        tune_config=TuneConfig(
            search_alg=searcher,
            scheduler=RungScheduler(searcher, forget=True),
            num_samples=-1,
            reuse_actors=True,
        ),
        run_config=RunConfig(
            storage_path=str(place),
            verbose=0,
            callbacks=[Plain(), *callbacks],
            checkpoint_config=CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
            failure_config=FailureConfig(max_failures=0),
        ),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tuner.fit()
