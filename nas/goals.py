"""What a search is judged by: objectives, limits on known costs, and limits on what is measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches

from nas.errors import InputError
from nas.objectives import Limit, Objective
from nas.samplers.base import Outcome
from nas.trial import State, Trial

SPELLING = 0.8  # similarity from which on a name is taken for a misspelt cost


@dataclasses.dataclass(frozen=True)
class Goals:
    """How the metrics of a trial are read.

    Attributes:
        objectives: in their order.
        limits: on known costs; what breaks one is never evaluated.
        metric_limits: on what is measured. What breaks one is never evaluated where that is seen before training, as
            with a latency; else it is a trial, but never among the best.
        full: epochs of the full budget, of which every fidelity is a share.
    """

    objectives: tuple[Objective, ...]
    limits: tuple[Limit, ...] = ()
    metric_limits: tuple[Limit, ...] = ()
    full: int = 1

    @property
    def all_limits(self) -> tuple[Limit, ...]:
        """On known costs, then on what is measured."""
        return (*self.limits, *self.metric_limits)

    def missing(self, metrics: Mapping[str, float]) -> str:
        """What of all that is judged the metrics lack, in words; empty when they have everything."""
        wanted = [(f"objective {goal.name!r}", goal.name) for goal in self.objectives]
        wanted += [(f"metric {limit.name!r} of the limit {limit}", limit.name) for limit in self.metric_limits]
        return next((what for what, name in wanted if name not in metrics), "")

    def values(self, metrics: Mapping[str, float]) -> list[float]:
        """Of the objectives."""
        return [float(metrics[goal.name]) for goal in self.objectives]

    def excesses(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """How far over each limit the metrics are (0 or less: within), by limit; those without a metric left out."""
        return {str(limit): limit.excess(metrics) for limit in self.all_limits if limit.name in metrics}

    def outcome(self, trial: Trial) -> Outcome | None:
        """What a sampler is told about a trial: of the end of its training, or of how far it came; None for nothing."""
        metrics, fidelity = dict(trial.metrics), 1.0
        if trial.state is not State.COMPLETE:
            step = max((step for step in trial.curve if step <= trial.budget.stop), default=0)
            if trial.state is State.FAIL or not 0 < step <= self.full:
                return None
            metrics, fidelity = {**trial.curve[step], **metrics}, step / self.full
        if self.missing(metrics):
            return None
        reported = {name for seen in trial.curve.values() for name in seen}
        fixed = {name: value for name, value in trial.metrics.items() if name not in reported}  # as known costs are
        on_the_way = ((step / self.full, {**fixed, **seen}) for step, seen in trial.curve.items())
        earlier = {
            share: self.values(seen)
            for share, seen in on_the_way
            if 0 < share < fidelity and all(goal.name in seen for goal in self.objectives)
        }
        excesses = [limit.excess(metrics) for limit in self.metric_limits]
        return Outcome(self.values(metrics), excesses, fidelity, earlier, trial.state is not State.RUNNING)


def split(
    limits: Sequence[Limit], known: Collection[str], objectives: Sequence[Objective], measured: Collection[str] = ()
) -> tuple[tuple[Limit, ...], tuple[Limit, ...]]:
    """The limits on known costs; and those on what is measured, before training (the names `measured`), then by it.

    Raises: InputError for a name that is no objective either and looks like a misspelt cost.
    """
    before = (*known, *measured)
    on_metrics = tuple(limit for limit in limits if limit.name not in before)
    for limit in on_metrics:
        near = get_close_matches(limit.name, before, n=1, cutoff=SPELLING)
        if near and all(limit.name != objective.name for objective in objectives):
            raise InputError(
                f"limit {str(limit)!r}: did you mean {near[0]!r}? Known before training: {', '.join(before)}; "
                f"any other name is a metric of the evaluation, and {limit.name!r} is too near to be one"
            )
    slow = tuple(limit for limit in limits if limit.name in measured)
    return tuple(limit for limit in limits if limit.name in known), (*slow, *on_metrics)
