"""Trainings that Ray Train shares among workers: each takes its part of every batch (torch DDP).

One training after the other. The study, its attempts and the checkpoints stay ours, as with `runners.tune`: the leader
of the workers writes them, and what was interrupted goes on from there.
"""

from __future__ import annotations

import dataclasses
import queue
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import ray
from ray.train import FailureConfig, RunConfig, ScalingConfig, get_context
from ray.train.torch import TorchConfig, TorchTrainer
from ray.util.queue import Empty, Queue
from rich.console import Console

from nas.api import Result, RunnerOptions, Watch, open_search, tidying
from nas.errors import NasError
from nas.jobs import Budget, Event, Job, Metrics, Report
from nas.retraining import FullTraining
from nas.space import Space
from nas.study import Study
from nas.team import Team
from runners.evaluation import evaluate_job
from runners.gpu_share import GpuShare
from runners.job_setup import Setup
from runners.loop import drive
from runners.progress import Watcher
from runners.ray_cluster import ENVIRONMENT, cluster, environment
from runners.ray_noise import noise

TICK_S = 0.2  # between two looks for what the leader says
SILENT = {"RAY_TRAIN_ENABLE_STATE_TRACKING": "0", "RAY_TRAIN_METRICS_ENABLED": "0"}


class Halted(BaseException):
    """Ends a training that nobody waits for any more."""


@dataclasses.dataclass(frozen=True)
class Shared:
    """The evaluation that workers share; called in this process, which waits for them."""

    evaluate: FullTraining
    workers: int
    gpus: bool
    halt: threading.Event

    def __call__(self, candidate: Mapping[str, Any], budget: Budget, report: Report) -> Metrics:
        """As `evaluate`, with the number of `workers` among the metrics. Raises: NasError when one of them failed."""
        said: Any = Queue()
        told: dict[str, Any] = {}
        with tempfile.TemporaryDirectory(prefix="nas-train-") as scratch:
            trainer = TorchTrainer(
                _work,
                train_loop_config={
                    "evaluate": self.evaluate, "candidate": candidate, "budget": budget, "said": said,
                },
                scaling_config=ScalingConfig(num_workers=self.workers, use_gpu=self.gpus),
                run_config=RunConfig(storage_path=scratch, failure_config=FailureConfig(max_failures=0)),
                torch_config=TorchConfig(backend="nccl" if self.gpus else "gloo"),
            )  # fmt: skip
            fitting = threading.Thread(target=_fit, args=(trainer, told), daemon=True)
            fitting.start()
            while fitting.is_alive() and not self.halt.is_set():
                fitting.join(TICK_S)
                _pass_on(said, report, told)
            if self.halt.is_set():
                raise Halted
            _pass_on(said, report, told)
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
    """In each worker. What is wrong is said by whom it is wrong with, as the reason of the trial."""
    context, said = get_context(), config["said"]
    team = Team(context.get_world_rank(), context.get_world_size())
    budget = config["budget"]
    if budget.device != "cpu":
        budget = dataclasses.replace(budget, device=str(ray.train.torch.get_device()))

    def report(step: int, metrics: Metrics) -> None:
        if team.leads:
            said.put((step, dict(metrics)))

    try:
        metrics = config["evaluate"](config["candidate"], budget, report, team)
    except NasError as error:
        said.put((None, {"failed": str(error)}))
        raise
    if team.leads:
        said.put((None, {"metrics": metrics}))


class SharedPool:
    """A pool of one training at a time."""

    def __init__(self, space: Space, evaluate: FullTraining, workers: int, *, gpus: bool) -> None:
        self._space, self._halt = space, threading.Event()
        self._evaluate = Shared(evaluate, workers, gpus, self._halt)
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


def train_together(
    setup: Setup, url: str, gpus: GpuShare, err: Console, start: Sequence[Any], also: Watch, workers: int
) -> Result:
    """Carry out the trainings of a study by `workers` each. Raises: NasError."""
    config = setup.config
    evaluate = setup.evaluate
    if not isinstance(evaluate, FullTraining):
        raise NasError(f"{evaluate!r} cannot be shared by workers")
    opened = open_search(
        setup.space, objectives=config.objectives, costs=setup.costs, trials=config.trials, sampler=config.sampler,
        storage=url, study=setup.study, epochs=config.epoch_range, seed=config.seed, device=gpus.device,
        checkpoints=config.checkpoints, start=start, settings=setup.settings, protocol=setup.protocol,
    )  # fmt: skip
    with environment({**ENVIRONMENT, **SILENT}), noise(), cluster(config.address), opened as study:
        pool = SharedPool(study.space, evaluate, workers, gpus=gpus.device.startswith("cuda"))
        with Watcher(err, setup.study) as watcher:

            def watch(study: Study) -> None:
                watcher(study)
                also(study)

            drive(study, pool, RunnerOptions(), tidying(study, watch))
    return Result.of(study, setup.study)
