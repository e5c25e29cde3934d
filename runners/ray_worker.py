"""A Ray actor that evaluates the jobs of a study, one after the other."""

from __future__ import annotations

import dataclasses
import os
import queue
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.result import TRAINING_ITERATION

from nas.jobs import Event, Job, Lost, Reported
from runners import logs
from runners.evaluation import evaluate_job, traced
from runners.ray_luggage import unpack
from runners.ray_words import EPOCH, shown
from runners.runtime_env import SECRETS
from runners.wire import EVENT, event_text, read_job


class Stopped(BaseException):
    """Ends an evaluation that nobody waits for any more; no `except Exception` of the user's shall stop it."""


class JobTrainable(tune.Trainable):  # type: ignore[misc]
    """A Ray actor that evaluates job after job. Each `step` gives the next event of the current job."""

    _begun: bool
    _thread: threading.Thread

    def setup(self, config: dict[str, Any], space: Any = None, evaluate: Any = None) -> None:
        """Once an actor: keep space and evaluation, begin the first job."""
        for name in SECRETS:  # where Ray was started by somebody who had set them
            os.environ.pop(name, None)
        self._space, self._evaluate = space, unpack(evaluate)
        logs.configure()
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """The next job, in the same warm process."""
        self._end()
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Say that the job has begun, where that is timed; after that, wait for the next event.

        Raises: RuntimeError when the GPU failed, or the evaluation raised what would end a process: Tune then ends this
        actor, and the study tries the job again.
        """
        if not self._begun:
            self._begun = True
            return {}
        self._go.release()
        event = self._events.get()
        if isinstance(event, Lost):
            self._thread.join()
            raise RuntimeError(event.reason)  # noqa: TRY004 - an event, no argument
        if not isinstance(event, Reported):
            self._thread.join()
        epoch = event.step if isinstance(event, Reported) else self._stop
        return {**shown(event), EVENT: event_text(event), EPOCH: epoch, TRAINING_ITERATION: epoch}

    def get_auto_filled_metrics(self, *args: Any, **options: Any) -> dict[str, Any]:
        """Tune's own entries of a result, without the config, which the driver knows."""
        found: dict[str, Any] = super().get_auto_filled_metrics(*args, **options)
        found.pop("config", None)
        return found

    def cleanup(self) -> None:
        """Stop the current job."""
        self._end()

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:  # noqa: ARG002
        """Nothing: checkpoints are the study's."""
        return {}

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing."""

    def _begin(self, config: dict[str, Any]) -> None:
        job = _with_device(read_job(config["job"]))
        self._stop = job.budget.stop
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._go, self._stopped = threading.Semaphore(0), False
        self._begun = not config["timed"]

        def send(event: Event) -> None:
            self._events.put(event)
            if isinstance(event, Reported):
                self._go.acquire()
                if self._stopped:
                    raise Stopped

        def work() -> None:
            self._go.acquire()
            if not self._stopped:
                try:
                    evaluate_job(self._space, self._evaluate, job, send)
                except Stopped:
                    pass
                except BaseException as error:  # noqa: BLE001 - it would end a local worker; here `step` waits for a word
                    self._events.put(Lost(job.number, job.attempt, traced(error)))

        with suppress(OSError):  # whoever writes there says so; the driver made it on its own disk
            Path(job.budget.checkpoint).mkdir(parents=True, exist_ok=True)
        self._thread = threading.Thread(target=work, daemon=True)
        self._thread.start()

    def _end(self) -> None:
        self._stopped = True
        self._go.release()
        self._thread.join(timeout=60)
        if self._thread.is_alive():
            raise RuntimeError("the evaluation did not stop, so this actor is not used again")


def _with_device(job: Job) -> Job:
    device = "cuda" if ray.get_gpu_ids() else job.budget.device
    return dataclasses.replace(job, budget=dataclasses.replace(job.budget, device=device))
