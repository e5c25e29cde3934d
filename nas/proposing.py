"""What to evaluate next: starting points first, then the sampler; never over a limit, never the same network twice."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator, Sequence
from functools import cached_property

from nas.errors import ArchitectureError, SpaceError
from nas.feasible import Priced, Pricing
from nas.samplers import Sampler
from nas.space import Genome

PROPOSALS = 40  # proposals of the sampler that are looked at before one is brought within the limits
DRAWS = 8  # candidates drawn within the limits until one is new
ENUMERABLE = 100_000  # spaces of as many genomes, legal or not, are searched through before they are called exhausted


@dataclasses.dataclass(frozen=True)
class Proposed:
    """A candidate to evaluate, with its digest, who proposed it, and the sampler's handle on it."""

    priced: Priced
    digest: str
    origin: str
    handle: int


class Proposer:
    """Finds new candidates within the limits.

    Attributes:
        rejected: proposals that were not taken, by reason.
    """

    def __init__(self, pricing: Pricing, sampler: Sampler, seed: int) -> None:
        self.rejected = {"over a limit": 0, "repeat": 0, "illegal": 0}
        self._pricing, self._space, self._sampler = pricing, pricing.space, sampler
        self._rng = random.Random(f"proposer:{seed}")
        self._starts: list[Genome] = []
        self._seen: set[str] = set()

    def saw(self, digest: str) -> None:
        """This network is in the study."""
        self._seen.add(digest)

    def knows(self, digest: str) -> bool:
        """Whether this network is in the study."""
        return digest in self._seen

    def enqueue(self, genomes: Sequence[Genome]) -> None:
        """These come before the sampler is asked; those over a limit or seen before are passed over."""
        self._starts += [self._space.canonical(genome) for genome in genomes]

    def next(self) -> Proposed | None:
        """A new candidate, which counts as seen from now on; None when none is left."""
        found = self._from_starts() or self._from_sampler()
        if found is not None:
            self._seen.add(found.digest)
        return found

    def _proposed(self, priced: Priced, origin: str, handle: int) -> Proposed:
        return Proposed(priced, self._space.identity(priced.candidate), origin, handle)

    def _from_starts(self) -> Proposed | None:
        while self._starts:
            priced = self._acceptable(self._starts.pop(0))
            if priced is not None and priced.excess == 0:
                return self._proposed(priced, "start", self._sampler.add(priced.genome))
        return None

    def _from_sampler(self) -> Proposed | None:
        over: Priced | None = None
        for _ in range(PROPOSALS):
            proposal = self._sampler.ask()
            priced = self._acceptable(proposal.genome)
            if priced is not None and priced.excess == 0:
                return self._proposed(priced, proposal.origin, self._sampler.accept(proposal, priced.genome))
            if priced is not None and (over is None or priced.excess < over.excess):
                over = priced
            self._sampler.reject(proposal)
        found, origin = self._found(over, proposal.origin)
        return None if found is None else self._proposed(found, origin, self._sampler.add(found.genome))

    def _found(self, over: Priced | None, origin: str) -> tuple[Priced | None, str]:
        """A new candidate within the limits when no proposal was one, and who it is of.

        What was learnt is walked down from the proposal that is least over the limits. Random search stays random: it
        is drawn within them, since a walk ends on their edge.
        """
        if over is not None and origin != "random" and (walked := self._walked(over)):
            return walked, origin
        return self._drawn() or self._walked(over) or self._walked(None) or self._enumerated(), "random"

    def _acceptable(self, genome: Genome) -> Priced | None:
        """The candidate with its costs unless it is illegal or was seen; over a limit it is counted and returned."""
        try:
            priced = self._pricing.price(genome)
        except (ArchitectureError, SpaceError):
            self.rejected["illegal"] += 1
            return None
        if not self._unseen(priced):
            self.rejected["repeat"] += 1
            return None
        if priced.excess:
            self.rejected["over a limit"] += 1
        return priced

    def _walked(self, start: Priced | None) -> Priced | None:
        """From there (or a random candidate), a new one within the limits."""
        here = start or self._pricing.price(self._space.sample(self._rng))
        there = self._pricing.walk_down(here, self._rng, self._unseen)
        return there if there.excess == 0 and self._unseen(there) else None

    def _drawn(self) -> Priced | None:
        """A new candidate as random as the limits let it be."""
        for _ in range(DRAWS):
            priced = self._pricing.draw(self._rng)
            if priced is None or self._unseen(priced):
                return priced
        return None

    def _enumerated(self) -> Priced | None:
        return next((priced for priced in self._everything if priced.excess == 0 and self._unseen(priced)), None)

    @cached_property
    def _everything(self) -> Iterator[Priced]:
        """What was not looked at yet; what was passed over once will not do later either."""
        if self._space.root.count > ENUMERABLE:
            return iter(())
        return (self._pricing.price(genome) for genome in self._space)

    def _unseen(self, priced: Priced) -> bool:
        return self._space.identity(priced.candidate) not in self._seen
