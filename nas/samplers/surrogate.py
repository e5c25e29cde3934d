"""`auto`: a model of what is not known before training, asked about a reserve of candidates.

The first candidates are spread over the known costs. After them a model of every objective that is measured (a known
cost is never modelled) rates a reserve: mutants and children of the front and of the most promising, and some from
anywhere. The best by expected improvement, or expected gain in hypervolume, is proposed; what still runs counts with
what the model expects of it, and each limit on what is measured with the chance to keep it.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

import numpy as np

from nas.feasible import Pricing, Scores
from nas.objectives import Objective, front
from nas.samplers.base import Outcome, Proposal
from nas.samplers.candidates import Candidate, Candidates
from nas.samplers.evidence import ENOUGH, Evidence
from nas.samplers.prescreen import Prescreen
from nas.samplers.rating import Rating
from nas.space import Genome

FRESH = 200  # candidates made for a proposal
GLOBAL = 0.5  # share of them from anywhere
PARENTS = 12  # of the front and the best behind it, and as many of the most promising
SHORT = 8  # of the most promising, those that are scored


class SurrogateSampler:
    """Behind the contract of `nas.samplers.base.Sampler`."""

    def __init__(
        self,
        pricing: Pricing,
        objectives: Sequence[Objective],
        seed: int,
        scores: Scores | None = None,
    ) -> None:
        """`scores` of a candidate, known without training but too slow to ask for all.

        How far over limits on what is measured a result is, its outcome says.
        """
        self._space, self._seed, self._rng = pricing.space, seed, random.Random(seed)
        self._candidates = Candidates(pricing, self._rng)
        self._evidence = Evidence(np.array([-1.0 if objective.maximize else 1.0 for objective in objectives]))
        self._rating = Rating(self._candidates.columns, objectives, pricing.known, self._evidence)
        self._prescreen = None
        if scores is not None:
            self._prescreen = Prescreen(self._space, scores, self._candidates.columns, objectives, pricing.known)
        self._running: dict[int, Candidate] = {}
        self._promising: list[Genome] = []
        self._next = 0

    # -- the contract ------------------------------------------------------------------------------------------------

    def ask(self) -> Proposal:
        """Labelled "spread" while there is too little to model. Raises: SpaceError when nothing legal is found."""
        self._candidates.survey()
        if self._rating.modelled and len(self._evidence.results) < ENOUGH:
            return Proposal(self._spread(), "spread")
        parents = [*self._parents(), *self._promising]
        children = round((1 - GLOBAL) * FRESH) if parents else 0
        self._candidates.grow(self._candidates.child(parents) for _ in range(children))
        self._candidates.grow_anywhere(FRESH - children)
        reserve = list(self._candidates.reserve.values())
        if not reserve:
            return Proposal(self._candidates.draw(), "random")
        running = self._evidence.open(self._running)
        gains = self._rating.gains(reserve, running)
        order = np.argsort(-gains, kind="stable")
        best = [reserve[int(index)] for index in order[:PARENTS]]
        self._promising = [candidate.genome for candidate in best]
        self._candidates.cut([reserve[int(index)].genome for index in order])
        chosen = best[0]
        if self._prescreen is not None:
            chosen = self._prescreen.best(best[:SHORT], self._evidence, running)
        return Proposal(chosen.genome, "surrogate")

    def accept(self, proposal: Proposal, genome: Genome) -> int:  # noqa: ARG002 - the signature is the contract's
        """What is evaluated counts, not what was proposed."""
        return self.add(genome)

    def reject(self, proposal: Proposal, excesses: Sequence[float] = ()) -> None:
        """It is not proposed again; how far over limits it was measured to be is learnt."""
        genome = self._space.canonical(proposal.genome)
        if excesses:
            self._evidence.measured(self._candidates.of([genome])[0], excesses)
        self._candidates.saw(genome)

    def see(self, handle: int, outcome: Outcome) -> None:
        """A beginning, which counts as what trainings that began like it came to."""
        self._evidence.see(handle, self._running[handle], outcome)

    def tell(self, handle: int, outcome: Outcome | None) -> None:
        """A failure is not proposed again, and teaches nothing else."""
        self._evidence.end(handle, self._running.pop(handle), outcome)

    def add(self, genome: Genome) -> int:
        """It runs."""
        self._next += 1
        self._running[self._next] = self._candidates.of([genome])[0]
        self._candidates.saw(self._running[self._next].genome)
        return self._next

    def load(self, ended: Iterable[tuple[Genome, Outcome | None]]) -> None:
        """As if told one by one."""
        pairs = list(ended)
        for candidate, (_, outcome) in zip(self._candidates.of([genome for genome, _ in pairs]), pairs, strict=True):
            self._next += 1
            self._candidates.saw(candidate.genome)
            self._evidence.end(self._next, candidate, outcome)
        if pairs:  # other draws than those of the run before
            self._rng.seed(f"{self._seed}:{len(pairs)}")

    # -- choosing ----------------------------------------------------------------------------------------------------

    def _spread(self) -> Genome:
        """Another share of the known costs each time, from the cheap to the dear."""
        reserve = list(self._candidates.reserve.values())
        if not reserve:
            return self._candidates.draw()
        columns = self._candidates.columns
        costs = np.array([candidate.row[columns.counts : columns.costs].sum() for candidate in reserve])
        share = _halton(self._next)
        order = np.argsort(costs, kind="stable")
        return reserve[int(order[int(share * len(order))])].genome

    def _parents(self) -> list[Genome]:
        """The front, and fronts behind it until there are PARENTS; those within the limits before the others."""
        found: list[Genome] = []
        for feasible in (True, False):
            pairs = zip(self._evidence.results, self._evidence.feasible, strict=True)
            left = [result for result, keeps in pairs if keeps == feasible]
            if len(left) > PARENTS and len(left[0][1]) == 1:
                left = sorted(left, key=lambda result: float(result[1][0]))[:PARENTS]
            while left and len(found) < PARENTS:
                best = set(front([losses.tolist() for _, losses in left]))
                found += [candidate.genome for index, (candidate, _) in enumerate(left) if index in best]
                left = [result for index, result in enumerate(left) if index not in best]
        return found


def _halton(index: int) -> float:
    """Of base 2, in [0, 1)."""
    found, base = 0.0, 0.5
    index += 1
    while index:
        found += base * (index & 1)
        index, base = index >> 1, base / 2
    return found
