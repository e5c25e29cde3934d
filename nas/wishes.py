"""Candidates that somebody asked for by some of their parameters."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from nas.errors import ArchitectureError, SpaceError
from nas.feasible import Priced, Pricing
from nas.goals import Goals
from nas.measuring import Measuring
from nas.proposing import Proposer
from nas.space import Genome, Space
from nas.store.base import Store, Wish

FILLS = 200  # draws for the genes that are left open


def granted(space: Space, params: Mapping[str, Any], rng: random.Random) -> Genome:
    """A legal canonical genome with these parameters by gene path, the others drawn.

    Raises: SpaceError saying which parameter does not fit.
    """
    genes = {gene.path: index for index, gene in enumerate(space.genes)}
    for path in params:
        if path not in genes:
            raise SpaceError(f"no gene is called {path!r}")
    wanted = {genes[path]: space.genes[genes[path]].index(label) for path, label in params.items()}
    for index in [*wanted]:  # what was asked for is switched on, unless it was asked for otherwise
        gene = space.genes[index]
        while gene.parent is not None and gene.when is not None:
            wanted.setdefault(gene.parent, gene.when)
            gene = space.genes[gene.parent]
    for _ in range(FILLS):
        options = list(space.fill(space.sample(rng), rng))
        for index, option in wanted.items():
            options[index] = option
        if space.contains(options):
            return space.canonical(options)
    raise SpaceError("no legal candidate has these parameters")


class Wishes:
    """What people enqueued for a study, in their order.

    Attributes:
        highest: number of an enqueued trial: that and those below are taken. -1 when there was none.
    """

    def __init__(
        self, pricing: Pricing, goals: Goals, measuring: Measuring, proposer: Proposer, store: Store, seed: int
    ) -> None:
        """`seed`: of what a wish leaves open."""
        self._pricing, self._goals, self._measuring = pricing, goals, measuring
        self._proposer, self._store = proposer, store
        self._rng = random.Random(f"study:{seed}")
        self._waiting: list[Wish] = []
        self.highest = -1

    def __len__(self) -> int:
        return len(self._waiting)

    def look(self) -> None:
        """Take in what was enqueued since the last look. Raises: StoreError."""
        found = self._store.wishes()
        self._waiting += found
        self.highest = max(self.highest, *(wish.number for wish in found), -1)

    def next(self) -> tuple[int, Priced, str] | None:
        """Number, candidate and digest of the next that can be evaluated; what cannot is refused with the reason."""
        while self._waiting:
            wish = self._waiting.pop(0)
            try:
                priced = self._filled(wish)
            except (SpaceError, ArchitectureError) as error:
                self._store.refuse(wish, f"not in the space: {error}")
                continue
            digest = self._pricing.space.identity(priced.candidate)
            if not priced.excess and not self._proposer.knows(digest):
                priced = self._measuring(priced)
            if priced.excess:
                broken = [limit for limit, over in self._goals.excesses(priced.costs).items() if over > 0]
                self._store.refuse(wish, f"over a limit: {', '.join(broken)}")
            elif self._proposer.knows(digest):
                self._store.refuse(wish, "a repeat: the study has this network already")
            else:
                self._proposer.saw(digest)
                return wish.number, priced, digest
        return None

    def _filled(self, wish: Wish) -> Priced:
        """With what was left open drawn, within the limits and new where that is found."""
        for _ in range(FILLS):
            priced = self._pricing.price(granted(self._pricing.space, wish.params, self._rng))
            if not priced.excess and not self._proposer.knows(self._pricing.space.identity(priced.candidate)):
                break
        return priced
