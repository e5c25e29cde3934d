"""Evolution over genomes: regularised for one objective, from the front for several.

One objective: a parent is the best of a few drawn from the latest results, so that age and not only merit decides who
stays (Real et al., "Regularized Evolution for Image Classifier Architecture Search", AAAI 2019). Several: a parent is a
member of the front. A child is a mutant in one gene, sometimes in two or of two parents.

Limits on what is measured: what keeps them is better than what does not, and of two that do not the one that is less
over them is better (Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE TEC 2002).

What has stopped at a rung competes too: those drawn are compared at the largest share of the budget that all had.
"""

from __future__ import annotations

import dataclasses
import random
from collections import deque
from collections.abc import Iterable, Sequence

from nas.errors import SpaceError
from nas.objectives import Limit, Objective, covers, front
from nas.samplers.base import Outcome, Proposal
from nas.space import Genome, Space

POPULATION = 20  # latest results that may become parents; so many random ones come first
TOURNAMENT = 8
CROSSOVER = 0.2  # share of children of two parents
TWICE = 0.25  # share of children that are mutated a second time


@dataclasses.dataclass
class _Member:
    """A result: how far it is over the limits, its losses by the share of the full budget, and its genome."""

    over: float
    losses: dict[float, list[float]]
    genome: Genome

    @property
    def share(self) -> float:
        """The largest that it had."""
        return max(self.losses)

    def at(self, share: float) -> tuple[float, list[float], Genome]:
        """What it is compared by; at its own share where it has nothing of the other."""
        return self.over, self.losses.get(share, self.losses[self.share]), self.genome


class EvolutionSampler:
    """Behind the contract of `nas.samplers.base.Sampler`; a result costs time in the size of the front only."""

    def __init__(
        self, space: Space, objectives: Sequence[Objective], seed: int, metric_limits: Sequence[Limit] = ()
    ) -> None:
        self._space, self._seed, self._rng = space, seed, random.Random(seed)
        self._scales = [max(1e-12, abs(limit.bound)) for limit in metric_limits]
        self._signs = [-1.0 if objective.maximize else 1.0 for objective in objectives]
        self._population: deque[_Member] = deque(maxlen=POPULATION)
        self._set_aside: dict[int, _Member] = {}
        self._front: list[tuple[list[float], Genome]] = []
        self._rungs = False  # whether something stopped at one
        self._running: dict[int, Genome] = {}
        self._next = 0

    def ask(self) -> Proposal:
        """A mutant once there are parents. Raises: SpaceError when the space has no legal candidate."""
        if len(self._population) < POPULATION:
            return Proposal(self._space.sample(self._rng), "random")
        child = self._parent()
        if self._rng.random() < CROSSOVER:
            child = self._space.crossover(child, self._parent(), self._rng)
        try:
            child = self._space.mutate(child, self._rng)
            if self._rng.random() < TWICE:
                child = self._space.mutate(child, self._rng)
        except SpaceError:  # without a legal neighbour
            return Proposal(self._space.sample(self._rng), "random")
        return Proposal(child, "evolution")

    def _parent(self) -> Genome:
        if len(self._signs) > 1 and (best := self._best()):
            return self._rng.choice(best)
        drawn = self._rng.sample(self._population, TOURNAMENT)
        share = min(member.share for member in drawn)
        return min(member.at(share) for member in drawn)[2]

    def _best(self) -> list[Genome]:
        """The front of all results; with rungs, which few have the last of, that of the population."""
        if not self._rungs:
            return [genome for _, genome in self._front]
        share = min(member.share for member in self._population)
        within = [member.at(share) for member in self._population if member.over == 0]
        return [within[index][2] for index in front([losses for _, losses, _ in within])]

    def accept(self, proposal: Proposal, genome: Genome) -> int:  # noqa: ARG002 - the signature is the contract's
        """What was evaluated counts, not what was proposed."""
        return self.add(genome)

    def reject(self, proposal: Proposal, excesses: Sequence[float] = ()) -> None:
        """Nothing: the next child is another one."""

    def see(self, handle: int, outcome: Outcome) -> None:
        """What has stopped at a rung competes; what is under way does not."""
        if outcome.settled:
            self._take(handle, self._running[handle], outcome)

    def tell(self, handle: int, outcome: Outcome | None) -> None:
        """A failure leaves no trace, nor what it came to at a rung before."""
        self._take(handle, self._running.pop(handle), outcome)
        before = self._set_aside.pop(handle, None)
        if outcome is None and before is not None:
            self._population = deque((each for each in self._population if each is not before), maxlen=POPULATION)

    def add(self, genome: Genome) -> int:
        """Remembered until its values are told."""
        self._next += 1
        self._running[self._next] = genome
        return self._next

    def load(self, ended: Iterable[tuple[Genome, Outcome | None]]) -> None:
        """As if told one by one."""
        count = 0
        for genome, outcome in ended:
            count += 1
            self._take(-1, genome, outcome)
            self._set_aside.clear()
        if count:  # other draws than those of the run before
            self._rng = random.Random(f"{self._seed}:{count}")

    def _take(self, handle: int, genome: Genome, outcome: Outcome | None) -> None:
        if outcome is None:
            return
        values = {**outcome.earlier, outcome.fidelity: outcome.values}
        losses = {share: self._losses(values[share]) for share in values}
        scales = self._scales or [1.0] * len(outcome.excesses)
        over = sum(max(0.0, excess) / scale for excess, scale in zip(outcome.excesses, scales, strict=True))
        member = self._set_aside.setdefault(handle, _Member(over, losses, genome))
        if member.losses is losses:
            self._population.append(member)
        member.over, member.losses = over, losses
        if outcome.fidelity < 1:
            self._rungs = True
        elif over == 0 and not any(covers(other, losses[1.0]) for other, _ in self._front):
            self._front = [(other, parent) for other, parent in self._front if not covers(losses[1.0], other)]
            self._front.append((losses[1.0], genome))

    def _losses(self, values: Sequence[float]) -> list[float]:
        return [sign * value for sign, value in zip(self._signs, values, strict=True)]
