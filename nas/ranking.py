"""Who is best: complete trials within every limit; and who comes nearest where there is none."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nas.objectives import Limit, Objective, excess, front
from nas.trial import State, Trial


def violation(trial: Trial, limits: Sequence[Limit]) -> float:
    """How far over the limits a trial is, each relative to its bound; 0 when it keeps all, infinite when it lacks one.

    A trial that somebody else's program ran may lack what a limit is about.
    """
    if any(limit.name not in trial.metrics for limit in limits):
        return math.inf
    return excess(limits, trial.metrics)


def broken(trial: Trial, limits: Sequence[Limit]) -> list[Limit]:
    """The limits that a trial does not keep; of one without the metric nothing is said."""
    return [limit for limit in limits if limit.name in trial.metrics and limit.excess(trial.metrics) > 0]


def ranked(trials: Sequence[Trial], objectives: Sequence[Objective], limits: Sequence[Limit] = ()) -> list[Trial]:
    """The complete trials within the limits, best first by the first objective, the others breaking ties."""
    found = [trial for trial in trials if trial.state is State.COMPLETE and violation(trial, limits) == 0]
    return sorted(found, key=lambda trial: [*_losses(trial, objectives), trial.number])


def pareto(trials: Sequence[Trial], objectives: Sequence[Objective], limits: Sequence[Limit] = ()) -> list[Trial]:
    """The complete trials within the limits that no other of them dominates, best first objective first."""
    found = ranked(trials, objectives, limits)
    return [found[index] for index in front([_losses(trial, objectives) for trial in found])]


def nearest(trials: Sequence[Trial], objectives: Sequence[Objective], limits: Sequence[Limit]) -> Trial | None:
    """The complete trial that is least over the limits; None when none is complete."""
    complete = [trial for trial in trials if trial.state is State.COMPLETE]
    return min(
        complete, key=lambda trial: [violation(trial, limits), *_losses(trial, objectives), trial.number], default=None
    )


def shortfall(trial: Trial, limits: Sequence[Limit]) -> str:
    """Of the nearest trial, in words: "no trial keeps accuracy>=0.9; the nearest is trial 3 with accuracy=0.85"."""
    having = ", ".join(
        f"{limit.name}={trial.metrics[limit.name]:,.6g}" if limit.name in trial.metrics else f"no {limit.name}"
        for limit in limits
    )
    return f"no trial keeps {', '.join(map(str, limits))}; the nearest is trial {trial.number} with {having}"


def _losses(trial: Trial, objectives: Sequence[Objective]) -> list[float]:
    return [objective.loss(trial.metrics) for objective in objectives]
