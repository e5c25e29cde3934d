"""Candidates that could be proposed: within the limits, not seen, with their known costs and their rows."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from nas.errors import ArchitectureError, SpaceError
from nas.feasible import Pricing
from nas.samplers.features import Array, Encoder
from nas.samplers.gaussian import Columns
from nas.space import Genome

SURVEY = 256  # candidates drawn at first; they also tell the scale of the known costs
MOST = 1500  # candidates kept, before the least promising are dropped
KEPT = 1000


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A canonical genome, its known costs and its row for a model."""

    genome: Genome
    costs: Mapping[str, float]
    row: Array


class Candidates:
    """A reserve that grows and is cut back; what is known of a genome is worked out once.

    Attributes:
        reserve: by genome. columns: how their rows are laid out.
    """

    def __init__(self, pricing: Pricing, rng: random.Random) -> None:
        self.reserve: dict[Genome, Candidate] = {}
        self._pricing, self._space, self._rng = pricing, pricing.space, rng
        self._encoder = Encoder(self._space)
        self._seen: set[Genome] = set()
        self._scale: tuple[Array, Array] | None = None
        sample = self._encoder.rows([self._space.sample(random.Random(0))])
        known = sample.shape[1] + len(pricing.known)
        self.columns = Columns(self._encoder.width, sample.shape[1], known)

    def saw(self, genome: Genome) -> None:
        """It is not to be proposed (again)."""
        self._seen.add(genome)
        self.reserve.pop(genome, None)

    def survey(self) -> None:
        """Fill the reserve with candidates from anywhere, once."""
        if self._scale is None:
            self._measure()
            self.grow(self._space.sample(self._rng) for _ in range(SURVEY))

    def draw(self) -> Genome:
        """A legal genome from anywhere."""
        return self._space.sample(self._rng)

    def child(self, parents: Sequence[Genome]) -> Genome:
        """Of one of `parents`, or of two, changed in one gene or a few; from anywhere where that is impossible."""
        child = self._rng.choice(parents)
        if self._rng.random() < 0.3:
            child = self._space.crossover(child, self._rng.choice(parents), self._rng)
        try:
            for _ in range(1 + min(3, int(self._rng.expovariate(1.2)))):
                child = self._space.mutate(child, self._rng)
        except SpaceError:
            return self.draw()
        return child

    def grow(self, genomes: Iterable[Genome]) -> None:
        """Take up those that are new, legal and within the limits."""
        new: dict[Genome, Mapping[str, float]] = {}
        for genome in genomes:
            if genome in self._seen or genome in self.reserve or genome in new:
                continue
            try:
                priced = self._pricing.price(genome)
            except (ArchitectureError, SpaceError):
                continue
            if priced.excess == 0 and priced.genome not in self._seen:
                new[priced.genome] = priced.costs
        for candidate in self._made(list(new.items())):
            self.reserve[candidate.genome] = candidate

    def of(self, genome: Genome) -> Candidate:
        """Of a legal genome, seen or not, within the limits or not."""
        if genome in self.reserve:
            return self.reserve[genome]
        self._measure()
        return self._made([(genome, self._pricing.price(genome).costs)])[0]

    def cut(self, rated: Mapping[Genome, float]) -> None:
        """Drop the least promising when there are too many."""
        if len(self.reserve) > MOST:
            best = sorted(rated, key=lambda genome: -rated[genome])[:KEPT]
            self.reserve = {genome: self.reserve[genome] for genome in best if genome in self.reserve}

    def _measure(self) -> None:
        """The scale of the known costs, from what the space holds: the same in every run."""
        if self._scale is not None:
            return
        rng = random.Random(0)
        drawn = [self._pricing.price(self._space.sample(rng), check=False) for _ in range(SURVEY)]
        table = np.array([self._logarithms(priced.costs) for priced in drawn])
        spread = table.std(0)
        self._scale = table.mean(0), np.where(spread > 0, spread, 1.0) * np.sqrt(max(1, table.shape[1]))

    def _logarithms(self, costs: Mapping[str, float]) -> list[float]:
        """Costs span orders of magnitude."""
        return [float(np.log(max(costs[name], 1e-9))) for name in self._pricing.known]

    def _made(self, found: Sequence[tuple[Genome, Mapping[str, float]]]) -> list[Candidate]:
        if not found or self._scale is None:
            return []
        rows = self._encoder.rows([genome for genome, _ in found])
        costs = np.array([self._logarithms(costs) for _, costs in found]).reshape(len(found), -1)
        rows = np.hstack([rows, (costs - self._scale[0]) / self._scale[1], np.ones((len(found), 1))])
        return [Candidate(genome, costs, row) for (genome, costs), row in zip(found, rows, strict=True)]
