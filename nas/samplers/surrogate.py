"""`auto`: a model of what is not known before training, asked about a reserve of candidates.

The first candidates are spread over the known costs. After them a model of every objective that is measured (a known
cost is never modelled) rates a reserve: mutants and children of the front and of the most promising, and some from
anywhere. The best by expected improvement, or expected gain in hypervolume, is proposed; what still runs counts with
what the model expects of it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence

import numpy as np
from scipy.special import ndtri

from nas.feasible import Pricing
from nas.objectives import Limit, Objective, front
from nas.samplers.base import Outcome, Proposal
from nas.samplers.candidates import Candidate, Candidates
from nas.samplers.features import Array
from nas.samplers.gain import expected_hypervolume_gain, expected_improvement
from nas.samplers.model import Data, Model
from nas.space import Genome

STARTUP = 10  # results before anything is modelled
FRESH = 100  # candidates made for a proposal
GLOBAL = 0.3  # share of them from anywhere
PARENTS = 12  # of the front and the best behind it, and as many of the most promising
DRAWS = 16  # outcomes of a candidate that are looked at, for several objectives
QUANTILES = ndtri((np.arange(DRAWS) + 0.5) / DRAWS)


class SurrogateSampler:
    """Behind the contract of `nas.samplers.base.Sampler`."""

    def __init__(
        self, pricing: Pricing, objectives: Sequence[Objective], seed: int, metric_limits: Sequence[Limit] = ()
    ) -> None:
        self._pricing, self._space, self._objectives = pricing, pricing.space, tuple(objectives)
        self._seed, self._rng, self._numbers = seed, random.Random(seed), np.random.default_rng(seed)
        self._signs = np.array([-1.0 if objective.maximize else 1.0 for objective in objectives])
        self._candidates = Candidates(pricing, self._rng)
        self._models = {
            index: Model(self._candidates.columns)
            for index, goal in enumerate(objectives)
            if goal.name not in pricing.known
        }
        self._results: list[tuple[Candidate, Array]] = []
        self._running: dict[int, Candidate] = {}
        self._promising: list[Genome] = []
        self._next = 0

    # -- the contract ------------------------------------------------------------------------------------------------

    def ask(self) -> Proposal:
        """Labelled "spread" while there is too little to model. Raises: SpaceError when nothing legal is found."""
        self._candidates.survey()
        if self._models and len(self._results) < STARTUP:
            self._candidates.grow(self._candidates.draw() for _ in range(FRESH))
            return Proposal(self._spread(), "spread")
        parents = [*self._parents(), *self._promising]
        children = round((1 - GLOBAL) * FRESH) if parents else 0
        self._candidates.grow(self._candidates.child(parents) for _ in range(children))
        self._candidates.grow(self._candidates.draw() for _ in range(FRESH - children))
        reserve = list(self._candidates.reserve.values())
        if not reserve:
            return Proposal(self._candidates.draw(), "random")
        gains = self._rate(reserve)
        order = np.argsort(-gains, kind="stable")
        self._promising = [reserve[index].genome for index in order[:PARENTS]]
        self._candidates.cut({candidate.genome: gain for candidate, gain in zip(reserve, gains, strict=True)})
        return Proposal(self._promising[0], "surrogate")

    def accept(self, proposal: Proposal, genome: Genome) -> int:  # noqa: ARG002 - the signature is the contract's
        """What is evaluated counts, not what was proposed."""
        return self.add(genome)

    def reject(self, proposal: Proposal, excesses: Sequence[float] = ()) -> None:  # noqa: ARG002
        """It is not proposed again."""
        self._candidates.saw(self._space.canonical(proposal.genome))

    def see(self, handle: int, outcome: Outcome) -> None:
        """Nothing yet."""

    def tell(self, handle: int, outcome: Outcome | None) -> None:
        """A failure is not proposed again, and teaches nothing else."""
        self._take(self._running.pop(handle), outcome)

    def add(self, genome: Genome) -> int:
        """It runs."""
        self._next += 1
        self._running[self._next] = self._known(genome)
        return self._next

    def load(self, ended: Iterable[tuple[Genome, Outcome | None]]) -> None:
        """As if told one by one."""
        count = 0
        for genome, outcome in ended:
            count += 1
            self._take(self._known(genome), outcome)
        if count:  # other draws than those of the run before
            self._rng.seed(f"{self._seed}:{count}")

    def _known(self, genome: Genome) -> Candidate:
        genome = self._space.canonical(genome)
        candidate = self._candidates.of(genome)
        self._candidates.saw(genome)
        return candidate

    def _take(self, candidate: Candidate, outcome: Outcome | None) -> None:
        if outcome is not None and outcome.fidelity == 1 and all(map(math.isfinite, outcome.values)):
            self._results.append((candidate, self._signs * np.array(outcome.values, dtype=float)))

    # -- choosing ----------------------------------------------------------------------------------------------------

    def _spread(self) -> Genome:
        """Another share of the known costs each time, from the cheap to the dear; there what is least like the rest."""
        reserve = list(self._candidates.reserve.values())
        if not reserve:
            return self._candidates.draw()
        taken = [*(candidate for candidate, _ in self._results), *self._running.values()]
        columns = self._candidates.columns
        costs = np.array([candidate.row[columns.counts : columns.costs].sum() for candidate in reserve])
        order = np.argsort(costs, kind="stable")
        window = max(1, len(order) // 20)
        first = min(len(order) - window, int(_halton(len(taken)) * len(order)))
        near = [reserve[index] for index in order[first : first + window]]
        if not taken:
            return near[0].genome
        rows = np.array([candidate.row[: columns.counts] for candidate in near])
        others = np.array([candidate.row[: columns.counts] for candidate in taken])
        apart = ((rows[:, None] - others[None]) ** 2).sum(2).min(1)
        return near[int(np.argmax(apart))].genome

    def _parents(self) -> list[Genome]:
        """The front, and fronts behind it until there are PARENTS."""
        left, found = list(self._results), list[Genome]()
        if len(self._signs) == 1:
            return [candidate.genome for candidate, _ in sorted(left, key=lambda pair: pair[1][0])[:PARENTS]]
        while left and len(found) < PARENTS:
            best = set(front([losses.tolist() for _, losses in left]))
            found += [candidate.genome for index, (candidate, _) in enumerate(left) if index in best]
            left = [pair for index, pair in enumerate(left) if index not in best]
        return found

    def _rate(self, reserve: Sequence[Candidate]) -> Array:
        """What each is expected to add (m,)."""
        running = list(self._running.values())
        asked = np.array([candidate.row for candidate in [*reserve, *running]])
        known = np.array([candidate.row for candidate, _ in self._results])
        losses = np.array([losses for _, losses in self._results]).reshape(-1, len(self._signs))
        believed = [
            model.predict(Data(known, losses[:, column]), asked[len(reserve) :], asked)
            for column, model in self._models.items()
        ]
        if len(self._signs) == 1 and believed:
            mean, std = believed[0]
            best = float(min(losses.min(), mean[len(reserve) :].min(initial=math.inf)))
            return expected_improvement(best, mean[: len(reserve)], std[: len(reserve)])
        draws = np.zeros((DRAWS, len(asked), len(self._signs)))
        for column in range(len(self._signs)):
            draws[:, :, column] = self._exact(column, [*reserve, *running])
        for column, (mean, std) in zip(self._models, believed, strict=True):
            quantiles = QUANTILES if len(self._models) == 1 else self._numbers.permutation(QUANTILES)
            draws[:, :, column] = mean + std * quantiles[:, None]
        return self._gain(losses, draws, len(reserve))

    def _gain(self, losses: Array, draws: Array, count: int) -> Array:
        so_far = np.vstack([losses, draws[:, count:].mean(0)])
        everything = np.vstack([so_far, draws.mean(0)])
        low, high = everything.min(0), everything.max(0)
        for column in self._models:
            high[column] = np.quantile(losses[:STARTUP, column], 0.75)
        span = np.where(high > low, high - low, 1.0)
        scaled = (draws[:, :count] - low) / span
        return expected_hypervolume_gain((so_far - low) / span, np.full(len(span), 1.001), scaled)

    def _exact(self, column: int, candidates: Sequence[Candidate]) -> Array | float:
        name = self._objectives[column].name
        if column in self._models:
            return 0.0
        return np.array([self._signs[column] * candidate.costs[name] for candidate in candidates])


def _halton(index: int) -> float:
    """Of base 2, in [0, 1)."""
    found, base = 0.0, 0.5
    index += 1
    while index:
        found += base * (index & 1)
        index, base = index >> 1, base / 2
    return found
