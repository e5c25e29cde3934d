"""`auto`: a model of what is not known before training, asked about mutants of the best so far.

The first candidates are spread over the known costs. After them a Gaussian process of every objective that is measured
(a known cost is never modelled) rates a pool: mutants and children of the front, and some from anywhere. The best by
expected improvement, or expected gain in hypervolume, is proposed; what still runs counts with what the model expects.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence

import numpy as np
from scipy.special import ndtri

from nas.errors import ArchitectureError, SpaceError
from nas.feasible import Priced, Pricing
from nas.objectives import Limit, Objective, front
from nas.samplers.base import Outcome, Proposal
from nas.samplers.features import Encoder, costs_row, stacked
from nas.samplers.gain import expected_hypervolume_gain, expected_improvement
from nas.samplers.gaussian import Array, GaussianProcess, Points
from nas.space import Genome

STARTUP = 10  # results before anything is modelled
SPREAD = 64  # candidates drawn to spread the first over the known costs
POOL = 300  # candidates rated for a proposal
GLOBAL = 0.2  # share of them from anywhere
PARENTS = 12  # of the front and the best behind it
MOST = 400  # results in the model
DRAWS = 16  # outcomes of a candidate that are looked at, for several objectives
QUANTILES = ndtri((np.arange(DRAWS) + 0.5) / DRAWS)
REFIT = 1.1  # growth of the results after which the length scales are searched for again


class SurrogateSampler:
    """Behind the contract of `nas.samplers.base.Sampler`."""

    def __init__(
        self,
        pricing: Pricing,
        objectives: Sequence[Objective],
        seed: int,
        metric_limits: Sequence[Limit] = (),  # noqa: ARG002
    ) -> None:
        self._pricing, self._space, self._objectives = pricing, pricing.space, tuple(objectives)
        self._rng, self._numbers = random.Random(seed), np.random.default_rng(seed)
        self._signs = [-1.0 if objective.maximize else 1.0 for objective in objectives]
        self._modelled = [index for index, goal in enumerate(objectives) if goal.name not in pricing.known]
        self._encoder = Encoder(self._space)
        self._known: dict[Genome, Priced | None] = {}
        self._genes: dict[Genome, Array] = {}
        self._results: list[tuple[Genome, list[float]]] = []
        self._running: dict[int, Genome] = {}
        self._seen: set[Genome] = set()
        self._next = 0
        self._scales: dict[int, tuple[int, Array]] = {}

    # -- the contract ----------------------------------------------------------------------------------------------

    def ask(self) -> Proposal:
        """Labelled "spread" while there is too little to model. Raises: SpaceError when nothing legal is found."""
        if len(self._results) < STARTUP or not self._modelled:
            return Proposal(self._spread(), "spread")
        pool = self._pool()
        if not pool:
            return Proposal(self._space.sample(self._rng), "random")
        rated = self._rate(pool)
        return Proposal(pool[int(np.argmax(rated))], "surrogate")

    def accept(self, proposal: Proposal, genome: Genome) -> int:  # noqa: ARG002 - the signature is the contract's
        """What is evaluated counts, not what was proposed."""
        return self.add(genome)

    def reject(self, proposal: Proposal, excesses: Sequence[float] = ()) -> None:  # noqa: ARG002
        """It is not proposed again."""
        self._seen.add(self._space.canonical(proposal.genome))

    def see(self, handle: int, outcome: Outcome) -> None:
        """Nothing yet."""

    def tell(self, handle: int, outcome: Outcome | None) -> None:
        """A failure is not proposed again, and teaches nothing else."""
        genome = self._running.pop(handle)
        if outcome is not None:
            self._take(genome, outcome.values)

    def add(self, genome: Genome) -> int:
        """It runs."""
        self._next += 1
        self._running[self._next] = self._space.canonical(genome)
        self._seen.add(self._running[self._next])
        return self._next

    def load(self, ended: Iterable[tuple[Genome, Outcome | None]]) -> None:
        """As if told one by one."""
        for genome, outcome in ended:
            canonical = self._space.canonical(genome)
            self._seen.add(canonical)
            if outcome is not None:
                self._take(canonical, outcome.values)

    def _take(self, genome: Genome, values: Sequence[float]) -> None:
        losses = [sign * float(value) for sign, value in zip(self._signs, values, strict=True)]
        if all(map(math.isfinite, losses)):
            self._results.append((genome, losses))

    # -- candidates ------------------------------------------------------------------------------------------------

    def _price(self, genome: Genome) -> Priced | None:
        """None for what is illegal."""
        if genome not in self._known:
            if len(self._known) > 20_000:
                self._known.clear()
            try:
                self._known[genome] = self._pricing.price(genome)
            except (ArchitectureError, SpaceError):
                self._known[genome] = None
        return self._known[genome]

    def _fits(self, genome: Genome) -> bool:
        priced = self._price(genome)
        return priced is not None and priced.excess == 0 and genome not in self._seen

    def _spread(self) -> Genome:
        """Of some within the limits one of another share of the known costs each time, from the cheap to the dear."""
        drawn = [genome for genome in (self._space.sample(self._rng) for _ in range(SPREAD)) if self._fits(genome)]
        if not drawn or not self._pricing.known:
            return drawn[0] if drawn else self._space.sample(self._rng)
        names = self._pricing.known
        costs = np.stack([costs_row(priced.costs, names) for genome in drawn if (priced := self._price(genome))])
        deviation = costs.std(0)
        order = np.argsort(((costs - costs.mean(0)) / np.where(deviation > 0, deviation, 1.0)).sum(1))
        return drawn[int(order[int(_halton(len(self._results) + len(self._running)) * len(drawn))])]

    def _pool(self) -> list[Genome]:
        parents = self._parents()
        found: dict[Genome, None] = {}
        for _ in range(2 * POOL):
            if len(found) >= POOL:
                break
            genome = self._child(parents)
            if self._fits(genome):
                found[genome] = None
        return list(found)

    def _child(self, parents: Sequence[Genome]) -> Genome:
        if self._rng.random() < GLOBAL:
            return self._space.sample(self._rng)
        child = self._rng.choice(parents)
        if self._rng.random() < 0.3:
            child = self._space.crossover(child, self._rng.choice(parents), self._rng)
        try:
            for _ in range(1 + min(3, int(self._rng.expovariate(1.2)))):
                child = self._space.mutate(child, self._rng)
        except SpaceError:
            return self._space.sample(self._rng)
        return child

    def _parents(self) -> list[Genome]:
        """The front, and fronts behind it until there are PARENTS."""
        left, found = list(self._results), list[Genome]()
        if len(self._objectives) == 1:
            return [genome for genome, _ in sorted(left, key=lambda pair: pair[1])[:PARENTS]]
        while left and len(found) < PARENTS:
            best = set(front([losses for _, losses in left]))
            found += [genome for index, (genome, _) in enumerate(left) if index in best]
            left = [pair for index, pair in enumerate(left) if index not in best]
        return found

    # -- the model -------------------------------------------------------------------------------------------------

    def _rows(self, genomes: Sequence[Genome]) -> tuple[list[Array], list[Array]]:
        genes, costs = [], []
        for genome in genomes:
            if genome not in self._genes:
                if len(self._genes) > 20_000:
                    self._genes.clear()
                self._genes[genome] = self._encoder.genes(genome)
            priced = self._price(genome)
            genes.append(self._genes[genome])
            costs.append(costs_row(priced.costs if priced else {}, self._pricing.known if priced else ()))
        return genes, costs

    def _rate(self, pool: Sequence[Genome]) -> Array:
        kept, running = self._kept(), list(self._running.values())
        trained, scale = stacked(*self._rows([genome for genome, _ in kept]))
        asked, _ = stacked(*self._rows([*pool, *running]), scale)
        losses = np.array([losses for _, losses in kept])
        everything = np.array([losses for _, losses in self._results])
        if len(self._signs) == 1:
            mean, std = self._predict(0, trained, losses[:, 0], asked, len(pool))
            best = float(min(everything.min(), mean[len(pool) :].min(initial=math.inf)))
            return expected_improvement(best, mean[: len(pool)], std[: len(pool)])
        draws = np.zeros((DRAWS, len(asked), len(self._signs)))
        for column in range(len(self._signs)):
            if column in self._modelled:
                mean, std = self._predict(column, trained, losses[:, column], asked, len(pool))
                quantiles = QUANTILES if len(self._modelled) == 1 else self._numbers.permutation(QUANTILES)
                draws[:, :, column] = mean + std * quantiles[:, None]
            else:
                draws[:, :, column] = [self._known_loss(column, genome) for genome in (*pool, *running)]
        so_far = np.vstack([everything, draws[:, len(pool) :].mean(0)])
        low = so_far.min(0)
        high = np.array([self._reference(column, everything) for column in range(len(self._signs))])
        span = np.where(high > low, high - low, 1.0)
        return expected_hypervolume_gain(
            (so_far - low) / span, np.ones(len(span)), (draws[:, : len(pool)] - low) / span
        )

    def _known_loss(self, column: int, genome: Genome) -> float:
        priced = self._price(genome)
        return math.inf if priced is None else self._signs[column] * priced.costs[self._objectives[column].name]

    def _reference(self, column: int, losses: Array) -> float:
        """The worst of a known cost; of what is measured the third quartile of the first, which nobody chose."""
        found = losses[:, column]
        if column in self._modelled:
            return float(np.quantile(found[:STARTUP], 0.75))
        return float(found.max() + 1e-3 * np.ptp(found))

    def _predict(self, column: int, trained: Points, losses: Array, asked: Points, pool: int) -> tuple[Array, Array]:
        size, scales = self._scales.get(column, (0, None))
        if scales is None or len(self._results) >= REFIT * size:
            scales = None
        values = _winsorised(losses)
        process = GaussianProcess(trained, values, scales)
        if scales is None:
            self._scales[column] = len(self._results), process.scales
        if len(asked) > pool:  # what runs is believed to give what is expected of it
            running = Points(asked.genes[pool:], asked.costs[pool:])
            believed, _ = process.predict(running)
            joint = Points(np.vstack([trained.genes, running.genes]), np.vstack([trained.costs, running.costs]))
            process = GaussianProcess(joint, np.concatenate([values, believed]), process.scales)
        return process.predict(asked)

    def _kept(self) -> list[tuple[Genome, list[float]]]:
        """At most MOST results: the best by each objective in turn, and every so-many-th of the others."""
        if len(self._results) <= MOST:
            return self._results
        order = sorted(range(len(self._results)), key=lambda index: self._results[index][1])
        best = set(order[: MOST // 2])
        if len(self._signs) > 1:
            best = set(front([losses for _, losses in self._results])) | set(order[: MOST // 4])
        rest = [index for index in range(len(self._results)) if index not in best]
        step = max(1, len(rest) // max(1, MOST - len(best)))
        return [self._results[index] for index in sorted(best | set(rest[::step]))][: 2 * MOST]


def _winsorised(losses: Array) -> Array:
    """With far outliers on the bad side drawn in: a network that does not learn at all says little about the others."""
    low, high = np.quantile(losses, [0.25, 0.75])
    return np.asarray(np.minimum(losses, high + 1.5 * (high - low) + 1e-12))


def _halton(index: int) -> float:
    """Of base 2, in [0, 1)."""
    found, base = 0.0, 0.5
    index += 1
    while index:
        found += base * (index & 1)
        index, base = index >> 1, base / 2
    return found
