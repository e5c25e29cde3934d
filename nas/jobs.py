"""What crosses the border between the search and those who evaluate: budgets, jobs and events, all frozen values."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

from nas.errors import NoResult

Metrics = Mapping[str, float]
Report = Callable[[int, Metrics], None]
"""report(step, metrics): progress within an evaluation, `step` in epochs done; may be called never."""


@dataclasses.dataclass(frozen=True)
class Budget:
    """What an evaluation may spend.

    Attributes:
        start, stop: epochs; train from `start` (done before, in `checkpoint`) up to `stop`.
        seed: of this candidate; the same for every attempt.
        device: "cpu", "cuda", ...
        checkpoint: a directory that survives pauses and retries; exists when the evaluation starts.
        share: of the training images. scale: side of the images relative to the full one. Both are 1 at the full
            budget, and below it where the rungs say so.
        attempt: of the trial, from 1. An earlier one that was given up for lost may still write for a while: what is
            kept in `checkpoint` under a name with the attempt in it, and read from the latest, is safe from it.
        parent: the same directory of another candidate, whose weights this one may begin with where it has none of its
            own yet; empty: from scratch.
    """

    start: int
    stop: int
    seed: int
    device: str
    checkpoint: str
    share: float = 1.0
    scale: float = 1.0
    attempt: int = 1
    parent: str = ""


Evaluate = Callable[[Any, Budget, Report], Metrics]
"""evaluate(candidate, budget, report) -> metrics by name, numbers that are finite."""


@dataclasses.dataclass(frozen=True)
class Job:
    """One evaluation to be done: the trial's number, which attempt this is, the genome, and the budget."""

    number: int
    attempt: int
    genome: tuple[int, ...]
    budget: Budget


@dataclasses.dataclass(frozen=True)
class Event:
    """Something that happened to a job."""

    number: int
    attempt: int


@dataclasses.dataclass(frozen=True)
class Started(Event):
    """A worker has begun with it; a runner may leave it out. `device` as PyTorch calls it on that host."""

    host: str
    device: str


@dataclasses.dataclass(frozen=True)
class Reported(Event):
    """Progress: metrics after `step` epochs; `host` and `device` are where, empty when nobody said."""

    step: int
    metrics: Metrics
    host: str = ""
    device: str = ""


@dataclasses.dataclass(frozen=True)
class Finished(Event):
    """The evaluation returned. `seconds` is its wall time, `host` where it ran."""

    metrics: Metrics
    seconds: float
    host: str


@dataclasses.dataclass(frozen=True)
class Failed(Event):
    """The evaluation raised, returned what is no result, or took too long. `again`: worth one more attempt."""

    reason: str
    seconds: float
    host: str
    again: bool = False


@dataclasses.dataclass(frozen=True)
class Lost(Event):
    """Whoever evaluated it is gone; it may be tried again from its checkpoint."""

    reason: str


def checked_metrics(returned: Any) -> dict[str, float]:
    """The metrics that an evaluation returned, as floats.

    Raises: NoResult saying what is wrong: no mapping, no number, or a number that is not finite.
    """
    if not isinstance(returned, Mapping) or not returned:
        raise NoResult(f"evaluate returned {returned!r}; a dict of numbers such as {{'accuracy': 0.93}} is expected")
    metrics = {}
    for name, value in returned.items():
        try:
            number = float(value)
        except (TypeError, ValueError) as error:
            raise NoResult(f"evaluate returned {name}={value!r}, which is no number") from error
        if not math.isfinite(number):
            raise NoResult(f"diverged: {name} is {number}")
        metrics[str(name)] = number
    return metrics
