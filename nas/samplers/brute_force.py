"""Brute force: every candidate of a small space once, in random order."""

from __future__ import annotations

import random
from collections.abc import Iterable

from nas.errors import InputError
from nas.feasible import Pricing
from nas.samplers.base import Oblivious, Outcome, Proposal
from nas.space import Genome

LARGEST = 100_000  # combinations of a space that can be gone through
LOOKS = 1000  # candidates over a limit that one proposal passes over


class BruteForceSampler(Oblivious):
    """Behind the contract of `nas.samplers.base.Sampler`. What is illegal, over a limit or known is passed over."""

    def __init__(self, pricing: Pricing, seed: int) -> None:
        """Raises: InputError for a space of more than 100,000 combinations."""
        self._pricing, self._space = pricing, pricing.space
        combinations = self._space.root.count
        if combinations > LARGEST:
            raise InputError(
                f"sampler brute-force: this space has {combinations:,} combinations, and it is for {LARGEST:,} at "
                f"most: use auto, evolution or random"
                if combinations < 10**9
                else f"sampler brute-force: this space has {combinations:.1e} combinations, and it is for {LARGEST:,} "
                f"at most: use auto, evolution or random"
            )
        self._left = list(self._space.root.enumerate(len(self._space)))
        random.Random(seed).shuffle(self._left)
        self._fallback = self._left[0]
        self._known: set[Genome] = set()

    def ask(self) -> Proposal:
        """A candidate that was not proposed before; one that was when all were."""
        looks = 0
        while self._left:
            genome = self._left.pop()
            if genome in self._known or not self._space.contains(genome):
                continue
            looks += 1
            if looks >= LOOKS or not self._pricing.price(genome).excess:
                self._fallback = genome
                return Proposal(genome, "brute-force")
        return Proposal(self._fallback, "brute-force")

    def add(self, genome: Genome) -> int:
        """Remembered."""
        self._known.add(genome)
        return 0

    def load(self, ended: Iterable[tuple[Genome, Outcome | None]]) -> None:
        """The rest remains, in the order of the run before."""
        self._known.update(genome for genome, _ in ended)
