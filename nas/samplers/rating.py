"""What candidates are expected to add to what was found."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np
from scipy.special import ndtr, ndtri

from nas.objectives import Objective
from nas.samplers.candidates import Candidate
from nas.samplers.evidence import Evidence, Row
from nas.samplers.features import Array
from nas.samplers.gain import expected_hypervolume_gain, expected_improvement
from nas.samplers.gaussian import Columns
from nas.samplers.model import Model, winsorised

FIRST = 10  # results that set the reference point
WORST = 0.9  # quantile of them, of what is measured and to be large
DRAWS = 16  # outcomes of a candidate that are looked at, for several objectives
QUANTILES: Array = ndtri((np.arange(DRAWS) + 0.5) / DRAWS)
CURIOUS = 1e-6  # weight of what is not known, where nothing is expected


def plain(candidate: Candidate) -> Array:
    """What a model sees of a candidate that nothing else is known of."""
    return candidate.row


class Rating:
    """Rates candidates by models that it keeps from one time to the next.

    Attributes:
        modelled: whether anything has to be.
    """

    def __init__(
        self, columns: Columns, objectives: Sequence[Objective], known: Collection[str], evidence: Evidence
    ) -> None:
        self._columns, self._objectives, self._evidence = columns, tuple(objectives), evidence
        self._signs = np.array([-1.0 if objective.maximize else 1.0 for objective in objectives])
        self._models = {
            index: Model(columns) for index, objective in enumerate(objectives) if objective.name not in known
        }
        self._limits: dict[int, Model] = {}
        self.modelled = bool(self._models)

    def gains(
        self, asked: Sequence[Candidate], running: Sequence[Candidate], row: Row = lambda each: each.row
    ) -> Array:
        """(m,) of the candidates asked about; `row` says what the models see of one."""
        everything = [*asked, *running]
        rows, count = np.array([row(candidate) for candidate in everything]), len(asked)
        believed = {
            column: model.predict(self._evidence.objective(column, row), rows[count:], rows)
            for column, model in self._models.items()
        }
        chance = np.ones(count)
        for index in self._evidence.limits:
            model = self._limits.setdefault(index, Model(self._columns))
            mean, std = model.predict(self._evidence.excess(index, row), rows[:0], rows[:count])
            chance *= ndtr(-mean / std)
        if (self._evidence.limits or self._evidence.results) and not any(self._evidence.feasible):
            return chance
        alone = len(self._objectives) == 1 and believed
        gain: Array = self._improvement(*believed[0], count) if alone else self._volume(everything, believed, count)
        doubt = sum((std[:count] / (std[:count].max() or 1.0) for _, std in believed.values()), np.zeros(count))
        return np.asarray((gain / (gain.max() or 1.0) + CURIOUS * doubt) * chance)

    def _improvement(self, mean: Array, std: Array, count: int) -> Array:
        best = float(min(self._evidence.losses(within=True).min(initial=math.inf), mean[count:].min(initial=math.inf)))
        gain: Array = expected_improvement(best, mean[:count], std[:count])
        return gain

    def _volume(self, everything: Sequence[Candidate], believed: dict[int, tuple[Array, Array]], count: int) -> Array:
        draws = np.zeros((DRAWS, len(everything), len(self._objectives)))
        for column, objective in enumerate(self._objectives):
            if column not in self._models:
                draws[:, :, column] = [self._signs[column] * each.costs[objective.name] for each in everything]
        shuffled = np.random.default_rng(0)
        for column, (mean, std) in believed.items():
            quantiles = QUANTILES if len(believed) == 1 else shuffled.permutation(QUANTILES)
            draws[:, :, column] = mean + std * quantiles[:, None]
        so_far = np.vstack([self._evidence.losses(within=True), draws[:, count:].mean(0)])
        around = np.vstack([so_far, draws.mean(0)])
        low, high = around.min(0), around.max(0)
        for column in believed:
            high[column] = self._reference(column)
        span = np.where(high > low, high - low, 1.0)
        at = np.full(len(span), 1.001)
        return expected_hypervolume_gain((so_far - low) / span, at, (draws[:, :count] - low) / span)

    def _reference(self, column: int) -> float:
        """What is to be large counts down from the worst tenth of the first losses, which nobody chose."""
        losses = self._evidence.losses()[:, column]
        if self._objectives[column].maximize:
            return float(np.quantile(losses[:FIRST], WORST))
        return float(winsorised(losses).max())
