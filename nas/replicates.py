"""The best few of a study trained again with fresh seeds: which, with which seeds, and what came of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from nas.errors import InputError
from nas.feasible import Costs
from nas.intervals import Interval, interval
from nas.jobs import Budget, Evaluate, Report
from nas.objectives import Limit, Objective
from nas.ranking import pareto, ranked
from nas.space import Space, int_range
from nas.trial import State, Trial

FIRST_SEED = 1_000_000_000  # of the fresh ones, far from the small seeds that people give
NETWORK = "network"  # what a candidate of `replicated` calls it
REPLICATES = 500  # fresh seeds that there are


def replicated(space: Space) -> Space:
    """A network of `space` and which of the fresh seeds it is trained with.

    Neither the number of seeds nor the networks are part of it, so that a study over it can go on with more of both.
    """
    return replicated_template(space.template)


def replicated_template(template: Any) -> Space:
    """The same over what a template describes, which may be one network only."""
    return Space({NETWORK: template, "replicate": int_range(0, REPLICATES - 1)})


def network_of(candidate: Any) -> Any:
    """The network of a candidate of `replicated`; any other candidate as it is."""
    return candidate[NETWORK] if isinstance(candidate, Mapping) and NETWORK in candidate else candidate


@dataclasses.dataclass(frozen=True)
class Again:
    """An evaluation of candidates of `replicated`: the same one with another seed, which is among the metrics."""

    evaluate: Evaluate

    def __call__(self, candidate: Mapping[str, Any], budget: Budget, report: Report) -> dict[str, float]:
        """As `evaluate`."""
        seed = FIRST_SEED + candidate["replicate"]
        budget = dataclasses.replace(budget, seed=seed)
        return {**self.evaluate(candidate["network"], budget, report), "seed": float(seed)}


@dataclasses.dataclass(frozen=True)
class KnownCosts:
    """The known costs of a candidate of `replicated`: those of its network."""

    costs: Costs

    def __call__(self, candidate: Mapping[str, Any]) -> Mapping[str, float]:
        """As `costs`."""
        return self.costs(candidate["network"])


def fresh(used: Collection[int], count: int) -> list[int]:
    """The first `count` replicates whose seed is not among the used ones. Raises: InputError when there are fewer."""
    found = [replicate for replicate in range(REPLICATES) if FIRST_SEED + replicate not in used][:count]
    if len(found) < count:
        raise InputError(
            f"{count} fresh seeds: the search used so many from {FIRST_SEED} on that {len(found)} are left"
        )
    return found


def measured_of(objectives: Sequence[Objective], known: Collection[str]) -> tuple[Objective, ...]:
    """Without those that are known before training, which are the same with every seed; the first is the judge.

    Raises: InputError when all are known.
    """
    measured = tuple(objective for objective in objectives if objective.name not in known)
    if not measured:
        raise InputError(f"{', '.join(map(str, objectives))}: known before training, no seed changes them")
    return measured


def best_few(
    trials: Sequence[Trial],
    objectives: Sequence[Objective],
    judge: Objective,
    top: int,
    limits: Sequence[Limit] = (),
) -> list[Trial]:
    """Up to `top` complete trials within the limits, best by `judge` first; with several objectives of the front."""
    found = (pareto if len(objectives) > 1 else ranked)(trials, objectives, limits)
    return sorted(found, key=lambda trial: judge.loss(trial.metrics))[:top]  # stable: ties stay as they were


@dataclasses.dataclass(frozen=True)
class Confirmed:
    """A trial of the search and what its network came to when trained again.

    Attributes:
        trial: of the search. failed: replicates without a result.
        values: metrics by replicate. intervals: of each measured objective by name; empty when nothing succeeded.
    """

    trial: Trial
    failed: int
    values: Mapping[int, Mapping[str, float]]
    intervals: Mapping[str, Interval]


def confirmed(
    chosen: Sequence[Trial], again: Mapping[tuple[str, int], Trial], replicates: Sequence[int], names: Sequence[str]
) -> list[Confirmed]:
    """For each chosen trial, its replicates out of `again` (by digest of the network and replicate)."""
    rows = []
    for trial in chosen:
        ended = [(number, again[trial.digest, number]) for number in replicates if (trial.digest, number) in again]
        values = {number: each.metrics for number, each in ended if each.state is State.COMPLETE}
        failed = sum(each.state in (State.FAIL, State.PRUNED) for _, each in ended)
        found = {name: interval([metrics[name] for metrics in values.values()]) for name in names if values}
        rows.append(Confirmed(trial, failed, values, found))
    return rows


def by_mean(rows: Sequence[Confirmed], judge: Objective) -> list[Confirmed]:
    """Best mean first; those without a result last."""

    def key(row: Confirmed) -> tuple[bool, float]:
        return (not row.intervals, judge.loss({judge.name: row.intervals[judge.name].mean}) if row.intervals else 0.0)

    return sorted(rows, key=key)


def lead(first: Confirmed, second: Confirmed, judge: Objective) -> Interval | None:
    """By how much the first is better, seed by seed (a paired t-interval); None where they share no seed."""
    shared = [replicate for replicate in first.values if replicate in second.values]
    if not shared:
        return None
    return interval([judge.loss(second.values[each]) - judge.loss(first.values[each]) for each in shared])


def optimism(rows: Sequence[Confirmed], judge: Objective) -> float | None:
    """By how much the values that they were chosen for are better than their means, on average."""
    differences = [
        judge.loss({judge.name: row.intervals[judge.name].mean}) - judge.loss(row.trial.metrics)
        for row in rows
        if row.intervals
    ]
    return sum(differences) / len(differences) if differences else None
