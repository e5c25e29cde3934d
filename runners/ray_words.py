"""What a study and a Tune trial say to each other: a job as a Tune config, a Tune result as an event."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any, Protocol

from ray.tune.result import (
    AUTO_RESULT_KEYS,
    DONE,
    EPISODES_THIS_ITER,
    RESULT_DUPLICATE,
    SHOULD_CHECKPOINT,
    TIME_TOTAL_S,
    TIMESTEPS_THIS_ITER,
    TRAINING_ITERATION,
    TRIAL_ID,
)

from nas.errors import NasError
from nas.jobs import Event, Failed, Finished, Job, Reported, checked_metrics
from nas.space import Space
from runners.wire import EVENT, job_text, read_event

EPOCH = "epoch"
TUNES_OWN = {
    *AUTO_RESULT_KEYS, DONE, EPISODES_THIS_ITER, RESULT_DUPLICATE, SHOULD_CHECKPOINT, TIMESTEPS_THIS_ITER, TRIAL_ID,
    "experiment_tag",
}  # fmt: skip


class Words(Protocol):
    """How a study and its trainables understand each other."""

    own_errors: bool
    """Whether an exception of the trainable is the evaluation's own; else its worker is taken for lost."""

    def config(self, job: Job) -> dict[str, Any]:
        """The Tune config of a job."""

    def events(self, job: Job, result: Mapping[str, Any], *, ended: bool) -> list[Event]:
        """What a Tune result says, which may be nothing; `ended`: that it was said before and is the last one."""


class PlainWords:
    """For a trainable of the user's own: plain values in, plain metrics out."""

    own_errors = True

    def __init__(self, space: Space) -> None:
        self._space = space

    def config(self, job: Job) -> dict[str, Any]:
        """The candidate, its budget, and its choices by name."""
        budget = job.budget
        return {
            "candidate": self._space.decode(job.genome),
            "number": job.number,
            "attempt": job.attempt,
            "start": budget.start,
            "stop": budget.stop,
            "share": budget.share,
            "scale": budget.scale,
            "seed": budget.seed,
            "device": budget.device,
            "checkpoint": budget.checkpoint,
            "params": self._space.params(job.genome),
        }

    def events(self, job: Job, result: Mapping[str, Any], *, ended: bool) -> list[Event]:
        """Numbers that are not Tune's own are metrics; without an `epoch`, each result is one epoch more."""
        told = {name: float(value) for name, value in result.items() if isinstance(value, Real) and not _tunes(name)}
        epoch = int(told.pop(EPOCH, None) or job.budget.start + int(result.get(TRAINING_ITERATION, 0)))
        if not told and not ended:
            return []
        seconds, host = float(result.get(TIME_TOTAL_S) or 0.0), str(result.get("hostname", ""))
        try:
            metrics = checked_metrics(told)
        except NasError as error:
            return [Failed(job.number, job.attempt, str(error), seconds, host)]
        found: list[Event] = [] if ended else [Reported(job.number, job.attempt, epoch, metrics, host)]
        if ended or epoch >= job.budget.stop:
            found.append(Finished(job.number, job.attempt, metrics, seconds, host))
        return found


class JobWords:
    """For `runners.ray_worker.JobTrainable`: jobs and events as JSON, and beside them what people read in loggers."""

    own_errors = False

    def __init__(self, space: Space, *, timed: bool) -> None:
        """`timed`: whether the worker shall say when it begins."""
        self._space, self._timed = space, timed

    def config(self, job: Job) -> dict[str, Any]:
        """The job, and its choices by name."""
        return {"job": job_text(job), "timed": self._timed, "params": self._space.params(job.genome)}

    def events(self, job: Job, result: Mapping[str, Any], *, ended: bool) -> list[Event]:  # noqa: ARG002
        """The event that the worker sent."""
        return [read_event(result[EVENT])] if EVENT in result else []


def _tunes(name: str) -> bool:
    """Whether an entry of a flat result is Tune's; it adds the whole config."""
    return name.partition("/")[0] in TUNES_OWN


def shown(event: Event) -> dict[str, float]:
    """An event's metrics, without those that Tune would take for its own."""
    metrics = event.metrics if isinstance(event, Reported | Finished) else {}
    return {name: value for name, value in metrics.items() if not _tunes(name) and name != EPOCH}
