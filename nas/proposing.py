"""What to evaluate next: starting points first, then the sampler; never over a limit, never the same network twice."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice

from nas.errors import ArchitectureError, InputError, SpaceError
from nas.feasible import Priced, Pricing
from nas.measuring import Measuring
from nas.samplers import Sampler
from nas.space import Genome

PROPOSALS = 40  # proposals of the sampler that are looked at before one is brought within the limits
DRAWS = 8  # candidates drawn within the limits until one is new
MEASURED = 20  # candidates measured on the way down from what is over a limit on that
CHILDREN = 12  # mutants of which the smallest is measured
LAST = 20  # candidates measured before a space that is searched through is called exhausted
PATIENCE = 30_000  # candidates drawn from a larger space before it is called exhausted
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

    def __init__(self, pricing: Pricing, sampler: Sampler, seed: int, measuring: Measuring | None = None) -> None:
        self.rejected = {"over a limit": 0, "repeat": 0, "illegal": 0}
        self._pricing, self._space, self._sampler = pricing, pricing.space, sampler
        self._rng = random.Random(f"proposer:{seed}")
        self._starts: list[Genome] = []
        self._seen: set[str] = set()
        self._measuring = measuring
        self._slow: set[str] = set()  # digests of what was measured and is over a limit
        self._nearest: Priced | None = None  # of them

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

    def require_measured(self) -> None:
        """Raises: InputError when all that was measured is over a limit, naming the nearest."""
        if self._measuring is not None and self._nearest is not None:
            limits = self._measuring.limits
            found = ", ".join(f"{limit.name}={self._nearest.costs[limit.name]:,.6g}" for limit in limits)
            raise InputError(
                f"no architecture found within {', '.join(map(str, limits))}: {len(self._slow)} were measured, and the "
                f"nearest has {found}"
            )

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
        slow: Priced | None = None
        for _ in range(PROPOSALS):
            proposal = self._sampler.ask()
            priced = self._acceptable(proposal.genome)
            if priced is not None and priced.excess == 0:
                return self._proposed(priced, proposal.origin, self._sampler.accept(proposal, priced.genome))
            if priced is not None and priced.over:
                slow = _least(slow, priced)
            elif priced is not None:
                over = _least(over, priced)
            self._sampler.reject(proposal, priced.over if priced is not None else ())
        found, origin = self._found(over, slow, proposal.origin)
        return None if found is None else self._proposed(found, origin, self._sampler.add(found.genome))

    def _found(self, over: Priced | None, slow: Priced | None, origin: str) -> tuple[Priced | None, str]:
        """A new candidate within the limits when no proposal was one, and who it is of.

        What was learnt is walked down from the proposal that is least over the limits. Random search stays random: it
        is drawn within them, since a walk ends on their edge.
        """
        if origin != "random" and (walked := self._hastened(slow) or (self._walked(over) if over else None)):
            return walked, origin
        walked = self._drawn() or self._hastened(slow) or self._walked(over) or self._walked(None)
        return walked or self._enumerated(), "random"

    def _acceptable(self, genome: Genome) -> Priced | None:
        """The candidate with its costs unless it is illegal or was seen; over a limit it is counted and returned.

        It is measured when it is within the limits on known costs.
        """
        try:
            priced = self._pricing.price(genome)
        except (ArchitectureError, SpaceError):
            self.rejected["illegal"] += 1
            return None
        if not self._unseen(priced):
            self.rejected["repeat"] += 1
            return None
        if not priced.excess:
            priced = self._measured(priced)
        if priced.excess:
            self.rejected["over a limit"] += 1
        return priced

    def _measured(self, priced: Priced) -> Priced:
        found = self._measuring(priced) if self._measuring else priced
        if found.excess:
            self._slow.add(self._space.identity(found.candidate))
            self._nearest = _least(self._nearest, found)
        return found

    def _hastened(self, slow: Priced | None) -> Priced | None:
        """From what is least over the limits on what is measured, by way of mutants, to a new candidate within them.

        Of some mutants the one of the fewest MACs (or of whatever cost is known first) is measured.
        """
        here = slow
        for _ in range(MEASURED if here else 0):
            children = [] if here is None else self._children(here)
            if not children:
                return None
            there = self._measured(min(children, key=_size))
            if not there.excess:
                return there
            here = _least(here, there)
        return None

    def _children(self, parent: Priced) -> list[Priced]:
        """Mutants within the limits on known costs that are new and not measured yet."""
        try:
            drawn = [self._pricing.price(self._space.mutate(parent.genome, self._rng)) for _ in range(CHILDREN)]
        except SpaceError:
            return []
        return [priced for priced in drawn if priced.excess == 0 and self._fresh(priced)]

    def _walked(self, start: Priced | None) -> Priced | None:
        """From there (or a random candidate), a new one within the limits."""
        here = start or self._anywhere()
        return self._checked(self._pricing.walk_down(here, self._rng, self._fresh))

    def _drawn(self) -> Priced | None:
        """A new candidate as random as the limits let it be."""
        for _ in range(DRAWS):
            priced = self._pricing.draw(self._rng)
            if priced is None:
                return None
            if checked := self._checked(priced):
                return checked
        return None

    def _checked(self, priced: Priced) -> Priced | None:
        """The candidate, measured, if it is new and within all limits."""
        if priced.excess or not self._fresh(priced):
            return None
        measured = self._measured(priced)
        return None if measured.excess else measured

    def _enumerated(self) -> Priced | None:
        small = self._space.root.count <= ENUMERABLE
        source = self._everything if small else (self._anywhere() for _ in range(PATIENCE))
        left = (priced for priced in source if priced.excess == 0 and self._fresh(priced))
        return next((checked for priced in islice(left, LAST) if (checked := self._checked(priced))), None)

    @cached_property
    def _everything(self) -> Iterator[Priced]:
        """What was not looked at yet; what was passed over once will not do later either."""
        return (self._pricing.price(genome) for genome in self._space)

    def _anywhere(self) -> Priced:
        return self._pricing.price(self._space.sample(self._rng))

    def _unseen(self, priced: Priced) -> bool:
        return self._space.identity(priced.candidate) not in self._seen

    def _fresh(self, priced: Priced) -> bool:
        """Neither seen nor known to be over a limit on what is measured."""
        digest = self._space.identity(priced.candidate)
        return digest not in self._seen and digest not in self._slow


def _least(one: Priced | None, other: Priced) -> Priced:
    return other if one is None or other.excess < one.excess else one


def _size(priced: Priced) -> float:
    return priced.costs.get("macs", next(iter(priced.costs.values()), 0.0))
