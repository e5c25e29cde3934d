"""Random search: legal candidates drawn from the space, nothing learnt."""

from __future__ import annotations

import random
from collections.abc import Iterable

from nas.samplers.base import Oblivious, Outcome, Proposal
from nas.space import Genome, Space


class RandomSampler(Oblivious):
    """Draws every choice evenly behind the contract of `nas.samplers.base.Sampler`; keeps nothing."""

    def __init__(self, space: Space, seed: int) -> None:
        self._space, self._seed, self._rng = space, seed, random.Random(seed)

    def ask(self) -> Proposal:
        """A legal canonical genome. Raises: SpaceError when the space has none."""
        return Proposal(self._space.sample(self._rng), "random")

    def load(self, ended: Iterable[tuple[Genome, Outcome | None]]) -> None:
        """Go on with other draws than those of the run before."""
        if count := sum(1 for _ in ended):
            self._rng = random.Random(f"{self._seed}:{count}")
