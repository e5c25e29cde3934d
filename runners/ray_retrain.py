"""Trainings that Ray Train shares among workers: each takes its part of every batch (torch DDP).

One training after the other. The study, its attempts and the checkpoints stay ours, as with `runners.tune`: the leader
of the workers writes them, and what was interrupted goes on from there.
"""

from __future__ import annotations

import dataclasses
import queue
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray
from ray.train import FailureConfig, RunConfig, ScalingConfig, get_context
from ray.train.torch import TorchConfig, TorchTrainer
from ray.util.queue import Empty, Queue
from rich.console import Console

from nas.api import Result, open_search, tidying
from nas.errors import InputError, NasError, OutOfMemory
from nas.jobs import Budget, Event, Job, Metrics, Report
from nas.runner import RunnerOptions, Watch
from nas.space import Space
from nas.study import Study
from nas.team import Team
from nas.trial import ATTEMPTS
from runners.evaluation import evaluate_job
from runners.gpu_share import GpuShare
from runners.job_setup import Setup
from runners.loop import drive
from runners.progress import Watcher
from runners.ray_cluster import ENVIRONMENT, Resources, alive, demand, environment, fitting
from runners.ray_luggage import Luggage, pack, served, unpack
from runners.ray_nodes import workplace
from runners.ray_noise import noise
from runners.tune import check

TICK_S = 0.2  # between two looks for what the leader says
SILENT = {"RAY_TRAIN_ENABLE_STATE_TRACKING": "0", "RAY_TRAIN_METRICS_ENABLED": "0"}


class Halted(BaseException):
    """Ends a training that nobody waits for any more."""


@dataclasses.dataclass(frozen=True)
class Shared:
    """The evaluation that workers share; called in this process, which waits for them."""

    evaluate: Luggage
    workers: int
    each: Resources
    halt: threading.Event

    def __call__(self, candidate: Any, budget: Budget, report: Report) -> Metrics:
        """As `evaluate`, with the number of `workers` among the metrics. Raises: NasError when one of them failed."""
        said: Any = Queue(actor_options={"num_cpus": 0})
        told: dict[str, Any] = {}
        with tempfile.TemporaryDirectory(prefix="nas-train-") as scratch:
            trainer = TorchTrainer(
                _work,
                train_loop_config={
                    "evaluate": self.evaluate, "candidate": candidate, "budget": budget, "said": said,
                },
                scaling_config=ScalingConfig(
                    num_workers=self.workers, use_gpu="GPU" in self.each, resources_per_worker=dict(self.each)
                ),
                run_config=RunConfig(storage_path=scratch, failure_config=FailureConfig(max_failures=ATTEMPTS - 1)),
                torch_config=TorchConfig(backend="nccl" if self.each.get("GPU", 0) >= 1 else "gloo"),
            )  # fmt: skip
            fitting = threading.Thread(target=_fit, args=(trainer, told), daemon=True)
            fitting.start()
            while fitting.is_alive() and not self.halt.is_set():
                fitting.join(TICK_S)
                _pass_on(said, report, told)
            if self.halt.is_set():
                raise Halted
            _pass_on(said, report, told)
            said.shutdown(force=True)
        if "metrics" not in told:
            raise NasError(told.get("failed") or told.get("error") or "the workers ended without a word")
        return {**told["metrics"], "workers": float(self.workers)}


def _fit(trainer: Any, told: dict[str, Any]) -> None:
    try:
        trainer.fit()
    except Exception as error:  # noqa: BLE001 - whatever it is, the trial's reason says it
        told["error"] = " ".join(str(error).split())[:500]


def _pass_on(said: Any, report: Report, told: dict[str, Any]) -> None:
    with suppress(Empty):
        while True:
            step, metrics = said.get_nowait()
            if step is None:
                told.update(metrics)
            else:
                report(step, metrics)


def _work(config: dict[str, Any]) -> None:
    """In each worker. One that raises ends them all, and they begin again from the checkpoint, some times.

    What is wrong with all alike, as a loss that is not finite, is said and not tried again.
    """
    context, said = get_context(), config["said"]
    team = Team(context.get_world_rank(), context.get_world_size())
    budget = config["budget"]
    if ray.get_gpu_ids():
        budget = dataclasses.replace(budget, device=str(ray.train.torch.get_device()))

    def report(step: int, metrics: Metrics) -> None:
        if team.leads:
            said.put((step, dict(metrics)))

    try:
        metrics = unpack(config["evaluate"])(config["candidate"], budget, report, team)
    except OutOfMemory as error:
        said.put((None, {"failed": str(error)}))
        raise
    except NasError as error:
        said.put((None, {"failed": str(error)}))
        return
    if team.leads:
        said.put((None, {"metrics": metrics}))


class SharedPool:
    """A pool of one training at a time."""

    def __init__(self, space: Space, evaluate: Luggage, workers: int, each: Resources) -> None:
        self._space, self._halt = space, threading.Event()
        self._evaluate = Shared(evaluate, workers, each, self._halt)
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    @property
    def free(self) -> int:
        """1 when idle."""
        return int(self._thread is None or not self._thread.is_alive())

    def start(self, job: Job) -> None:
        """Begin in a thread of its own."""
        self._thread = threading.Thread(target=self._run, args=(job,), daemon=True)
        self._thread.start()

    def _run(self, job: Job) -> None:
        with suppress(Halted):
            evaluate_job(self._space, self._evaluate, job, self._events.put)

    def events(self, wait_s: float) -> Sequence[Event]:
        """What was said since."""
        found: list[Event] = []
        with suppress(queue.Empty):
            found.append(self._events.get(timeout=wait_s))
            while True:
                found.append(self._events.get_nowait())
        if self._thread is not None and found:
            self._thread.join(0.05)  # its last word is said just before it ends
        return found

    def stop(self) -> None:
        """The workers end with the connection to Ray."""
        self._halt.set()
        if self._thread is not None:
            self._thread.join(5.0)


def train_together(setup: Setup, url: str, gpus: GpuShare, err: Console, start: Sequence[Any], also: Watch) -> Result:
    """Carry out the trainings of a study, each by as many workers as the configuration says.

    Raises: InputError when the cluster cannot be reached or has no room for so many, StoreError.
    """
    config = setup.config
    options = RunnerOptions(workers=config.workers, gpus_per_trial=gpus.share, address=config.address)
    check(options)
    opened = open_search(
        setup.space, objectives=config.objectives, costs=setup.costs, trials=config.trials, sampler=config.sampler,
        storage=url, study=setup.study, epochs=config.epoch_range, seed=config.seed, device=gpus.device,
        checkpoints=config.checkpoints, start=start, settings=setup.settings, protocol=setup.protocol,
    )  # fmt: skip
    luggage, checkpoints = pack(setup.evaluate), Path(config.checkpoints).absolute()
    quiet = environment({**ENVIRONMENT, **SILENT})
    with quiet, noise(), workplace(options, luggage, checkpoints), Watcher(err, setup.study) as watcher:
        workers, each = room(options)

        def watch(study: Study) -> None:
            watcher(study)
            also(study)

        with opened as study:
            pool = SharedPool(study.space, served(luggage), workers, each)
            drive(study, pool, RunnerOptions(), tidying(study, watch))
    return Result.of(study, setup.study)


def room(options: RunnerOptions) -> tuple[int, Resources]:
    """The workers and what each takes. Raises: InputError when the cluster has no room for all at a time."""
    workers, each = demand(options, options.workers or 1)
    if (most := fitting(alive(), each)) < workers:
        what = ", ".join(f"{amount:g} {name}" for name, amount in each.items())
        raise InputError(f"--workers {workers}: this Ray cluster has room for {most} with {what} each")
    return workers, each
