"""What a search is judged by: objectives, limits on known costs, and limits on what is measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from nas.objectives import Limit, Objective
from nas.samplers.base import Outcome
from nas.trial import State, Trial


@dataclasses.dataclass(frozen=True)
class Goals:
    """How the metrics of a trial are read.

    Attributes:
        objectives: in their order.
        limits: on known costs; what breaks one is never evaluated.
        metric_limits: on what an evaluation measures; what breaks one is a trial, but never among the best.
    """

    objectives: tuple[Objective, ...]
    limits: tuple[Limit, ...] = ()
    metric_limits: tuple[Limit, ...] = ()

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
        limits = (*self.limits, *self.metric_limits)
        return {str(limit): limit.excess(metrics) for limit in limits if limit.name in metrics}

    def outcome(self, trial: Trial) -> Outcome | None:
        """What a sampler is told about a trial: of the end of its training, or of how far it came; None for nothing."""
        metrics, fidelity = dict(trial.metrics), 1.0
        if trial.state is not State.COMPLETE:
            step = max(trial.curve, default=0)
            if trial.state is State.FAIL or not 0 < step <= trial.budget.stop:
                return None
            metrics, fidelity = {**trial.curve[step], **metrics}, step / trial.budget.stop
        if self.missing(metrics):
            return None
        return Outcome(self.values(metrics), [limit.excess(metrics) for limit in self.metric_limits], fidelity)
