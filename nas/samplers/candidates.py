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

SURVEY = 1000  # candidates drawn at first
SCALE = 256  # candidates that tell the scale of the known costs
SAME = 1e-9  # spread of a known cost up to which it is the same for all that were drawn
RARE = 0.05  # of the candidates drawn that shall be of use
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
        self._surveyed = False
        sample = self._encoder.rows([self._space.sample(random.Random(0))])
        known = sample.shape[1] + len(pricing.known)
        self.columns = Columns(self._encoder.width, sample.shape[1], known)

    def saw(self, genome: Genome) -> None:
        """It is not to be proposed (again)."""
        self._seen.add(genome)
        self.reserve.pop(genome, None)

    def survey(self) -> None:
        """Fill the reserve with candidates from anywhere, once."""
        if not self._surveyed:
            self._surveyed = True
            self.grow_anywhere(SURVEY)

    def grow_anywhere(self, count: int) -> None:
        """Take up what is new of `count` candidates drawn; where hardly one keeps the limits, some that do as well."""
        before = len(self.reserve)
        self.grow(self.draw() for _ in range(count))
        if len(self.reserve) - before < RARE * count and self._pricing.limits:
            within = (self._pricing.draw(self._rng) for _ in range(round(RARE * count)))
            self.grow(priced.genome for priced in within if priced is not None)

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

    def of(self, genomes: Sequence[Genome]) -> list[Candidate]:
        """Of legal genomes, seen or not, within the limits or not."""
        canonical = [self._space.canonical(genome) for genome in genomes]
        new = list(dict.fromkeys(genome for genome in canonical if genome not in self.reserve))
        made = self._made([(genome, self._pricing.price(genome).costs) for genome in new])
        found = dict(zip(new, made, strict=True))
        return [self.reserve.get(genome) or found[genome] for genome in canonical]

    def cut(self, ordered: Sequence[Genome]) -> None:
        """Drop the last of them when there are too many."""
        if len(self.reserve) > MOST:
            self.reserve = {genome: self.reserve[genome] for genome in ordered[:KEPT]}

    def _measured(self) -> tuple[Array, Array]:
        """Mean and spread of the known costs in the space: the same in every run."""
        rng = random.Random(0)
        drawn = [self._pricing.price(self._space.sample(rng), check=False) for _ in range(SCALE)]
        table = np.array([self._logarithms(priced.costs) for priced in drawn])
        spread = table.std(0)
        return table.mean(0), np.where(spread > SAME, spread, 1.0) * np.sqrt(max(1, table.shape[1]))

    def _logarithms(self, costs: Mapping[str, float]) -> list[float]:
        """Costs span orders of magnitude."""
        return [float(np.log(max(costs[name], 1e-9))) for name in self._pricing.known]

    def _made(self, found: Sequence[tuple[Genome, Mapping[str, float]]]) -> list[Candidate]:
        if not found:
            return []
        if self._scale is None:
            self._scale = self._measured()
        rows = self._encoder.rows([genome for genome, _ in found])
        costs = np.array([self._logarithms(costs) for _, costs in found]).reshape(len(found), -1)
        rows = np.hstack([rows, (costs - self._scale[0]) / self._scale[1], np.ones((len(found), 1))])
        return [Candidate(genome, costs, row) for (genome, costs), row in zip(found, rows, strict=True)]
